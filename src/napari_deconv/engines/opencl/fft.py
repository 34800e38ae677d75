"""Convolution on an OpenCL device, by our own transforms or by pyclesperanto's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from napari_deconv.engines.opencl.device import Kernels, cle, device_work, sizes, source
from napari_deconv.engines.opencl.plan import Plan, radices
from napari_deconv.engines.protocol import Array, Shape
from napari_deconv.errors import DeviceError

__all__ = ["LibraryFft", "PlannedFft"]


class PlannedFft:
    """Transforms on one grid, planned once, with one spectrum to work in.

    A convolution takes five kernels: x and y, then z forth, times the OTF and z back, then y and x.
    Each reads and writes the spectrum once, where there is something to read and where it is
    needed. The lengths must be those that `plan.supports` allows.
    """

    def __init__(self, grid: Shape, kernels: Kernels) -> None:
        self.grid = grid
        self._kernels = kernels
        self._half = grid[2] // 2 + 1
        self._z, self._y, self._x = (_Axis(length, kernels) for length in grid)
        self._spectrum = self._empty()

    def _empty(self) -> Array:
        return self._kernels.empty((*self.grid[:2], 2 * self._half))

    def spectrum(self, image: Array) -> Array:
        out = self._empty()
        self._planes(image, out)
        self._along_z("forward_columns", image.shape[0], self.grid[0], spectrum=out)
        return out

    def convolve(self, image: Array, otf: Array, out: Array) -> None:
        self._filter(image, otf, 1.0, out)

    def correlate(self, image: Array, otf: Array, out: Array) -> None:
        self._filter(image, otf, -1.0, out)

    def _filter(self, image: Array, otf: Array, sign: float, out: Array) -> None:
        spectrum = self._spectrum
        self._planes(image, spectrum)
        self._along_z(
            "filter_columns", image.shape[0], out.shape[0], spectrum=spectrum, otf=otf,
            scale=self._scale, sign=sign,
        )  # fmt: skip
        self._planes_back(spectrum, out)

    # Weights that depend on z alone commute with the transforms along x and y, which are therefore
    # done once for all strata.
    def convolve_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        spectrum, total, size_z = self._spectrum, self._total, self.grid[0]
        self._planes(image, spectrum)
        for stratum, otf in enumerate(otfs):
            self._along_z(
                "add_filtered_stratum", image.shape[0], size_z, spectrum=spectrum, otf=otf,
                scale=self._scale, weights=weights, stratum=stratum, sum=total,
            )  # fmt: skip
        self._along_z("inverse_columns", size_z, out.shape[0], spectrum=total)
        self._planes_back(total, out)

    def correlate_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        spectrum, light, size_z = self._spectrum, self._total, self.grid[0]
        self._planes(image, light)
        self._along_z("forward_columns", image.shape[0], size_z, spectrum=light)
        for stratum, otf in enumerate(otfs):
            self._along_z(
                "add_weighed_stratum", size_z, out.shape[0], spectrum=light, otf=otf,
                scale=self._scale, weights=weights, stratum=stratum, sum=spectrum,
            )  # fmt: skip
        self._planes_back(spectrum, out)

    @cached_property
    def _total(self) -> Array:
        """A second spectrum, for models that sum over several."""
        return self._empty()

    @property
    def _scale(self) -> float:
        return 1.0 / float(np.prod(self.grid, dtype=float))

    def _planes(self, image: Array, spectrum: Array) -> None:
        """Transform x and y of the planes of an image that is 0 outside its own shape."""
        planes, rows, _ = image.shape
        self._rows("forward_rows", image.shape, image=image, spectrum=spectrum)
        self._y.columns(
            "forward_columns", planes * self._half, self._half, rows, self.grid[1],
            spectrum=spectrum,
        )  # fmt: skip

    def _planes_back(self, spectrum: Array, out: Array) -> None:
        """Transform y and x back, for the voxels of `out` only."""
        planes, rows, _ = out.shape
        self._y.columns(
            "inverse_columns", planes * self._half, self._half, self.grid[1], rows,
            spectrum=spectrum,
        )  # fmt: skip
        self._rows("inverse_rows", out.shape, spectrum=spectrum, image=out)

    def _along_z(
        self, kernel: str, given: int, wanted: int, spectrum: Array, **parameters: Any
    ) -> None:
        plane = self.grid[1] * self._half
        self._z.columns(kernel, plane, plane, given, wanted, spectrum=spectrum, **parameters)

    def _rows(self, kernel: str, shape: Shape, **buffers: Array) -> None:
        self._x.rows(kernel, shape, self.grid[1], **buffers)


class _Axis:
    """One axis of a grid: its plan, and how its kernels are launched."""

    def __init__(self, length: int, kernels: Kernels) -> None:
        self._kernels = kernels
        self._plan = Plan.make(length, kernels.local_bytes)
        self._turns = kernels.push(self._plan.turns.view(np.float32).reshape(1, 1, -1))

    def rows(self, kernel: str, shape: Shape, grid_y: int, **buffers: Array) -> None:
        """Transform the rows of an image of `shape` on planes of `grid_y` rows, two as one."""
        plan, (size_z, size_y, size_x) = self._plan, shape
        count = size_z * size_y
        self._kernels.launch_groups(
            source("fft", "fft_rows", **plan.defines), kernel,
            (1, plan.span(-(-count // 2)), plan.items), (1, plan.lines, plan.items),
            **buffers, turns=self._turns, rows=count, size_y=size_y, size_x=size_x, grid_y=grid_y,
        )  # fmt: skip

    def columns(
        self, kernel: str, count: int, width: int, given: int, wanted: int, *, spectrum: Array,
        **parameters: Any,
    ) -> None:  # fmt: skip
        """Transform `count` columns, neighbours of `width` at a time."""
        plan = self._plan
        self._kernels.launch_groups(
            source("fft", "fft_columns", **plan.defines), kernel,
            (1, plan.items, plan.span(count)), (1, plan.items, plan.lines),
            spectrum=spectrum, turns=self._turns, columns=count, width=width, given=given,
            wanted=wanted, **parameters,
        )  # fmt: skip


# Above this length pyclesperanto 0.25 writes beyond its memory where prime factors are large.
_LONGEST = 4096


class LibraryFft:
    """Transforms of any lengths by pyclesperanto, with one spectrum and one image to work in.

    It makes a plan at each call, which takes milliseconds.

    Raises
    ------
    DeviceError
        If it would crash, or transform wrongly as it does planes of a single row.
    """

    def __init__(self, grid: Shape, kernels: Kernels) -> None:
        rows_alone = grid[1] == 1 < grid[0]
        if rows_alone or any(length > _LONGEST and not radices(length) for length in grid):
            raise DeviceError(
                f"Fourier transforms of {grid} voxels cannot be computed on "
                f"{kernels.device.name}: crop the image to {tuple(map(_smooth, grid))} voxels, "
                "whose only prime factors are 2, 3, 5 and 7, choose another boundary than "
                "'circular', or use engine='cpu'."
            )
        self.grid = grid
        self._kernels = kernels
        self._image = kernels.empty(grid)
        self._spectrum = self.spectrum(self._image)

    def spectrum(self, image: Array) -> Array:
        with device_work(self._kernels.device):
            return cle().fft.fft(self._on_grid(image), device=self._kernels.handle)

    def convolve(self, image: Array, otf: Array, out: Array) -> None:
        self._filter(image, otf, "multiply", out)

    def correlate(self, image: Array, otf: Array, out: Array) -> None:
        self._filter(image, otf, "multiply_conjugate", out)

    def convolve_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        spectrum, total, kernels = self._spectrum, self._total, self._kernels
        frequencies = int(spectrum.size) // 2
        for stratum, otf in enumerate(otfs):
            kernels.launch(
                "strata", "weigh", self._image.size, image=image, weights=weights, stratum=stratum,
                out=self._image, **sizes("n", self._image),
            )  # fmt: skip
            with device_work(kernels.device):
                cle().fft.fft(self._image, spectrum, device=kernels.handle)
            kernels.launch(
                "spectra", "add_product", frequencies, spectrum=spectrum, otf=otf, term=stratum,
                total=total, n=frequencies,
            )  # fmt: skip
        self._back(total, out)

    def correlate_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        spectrum, light, kernels = self._spectrum, self._total, self._kernels
        frequencies = int(spectrum.size) // 2
        with device_work(kernels.device):
            cle().fft.fft(self._on_grid(image), light, device=kernels.handle)
        for stratum, otf in enumerate(otfs):
            kernels.launch(
                "spectra", "product_with_conjugate", frequencies, spectrum=light, otf=otf,
                out=spectrum, n=frequencies,
            )  # fmt: skip
            with device_work(kernels.device):
                cle().fft.ifft(spectrum, self._image, device=kernels.handle)
            kernels.launch(
                "strata", "add_weighed", out.size, image=self._image, weights=weights,
                stratum=stratum, out=out, **sizes("n", out),
            )  # fmt: skip

    def _filter(self, image: Array, otf: Array, product: str, out: Array) -> None:
        spectrum, kernels = self._spectrum, self._kernels
        frequencies = int(spectrum.size) // 2
        with device_work(kernels.device):
            cle().fft.fft(self._on_grid(image), spectrum, device=kernels.handle)
            kernels.launch(
                "spectra", product, frequencies, spectrum=spectrum, otf=otf, n=frequencies
            )
        self._back(spectrum, out)

    def _back(self, spectrum: Array, out: Array) -> None:
        whole = tuple(out.shape) == self.grid
        result = out if whole else self._image
        with device_work(self._kernels.device):
            cle().fft.ifft(spectrum, result, device=self._kernels.handle)
        if not whole:
            self._kernels.launch(
                "layout", "crop", out.size, image=result, **sizes("n", result), out=out,
                **sizes("m", out),
            )  # fmt: skip

    @cached_property
    def _total(self) -> Array:
        """A second spectrum, for models that sum over several."""
        return self._kernels.empty(self._spectrum.shape)

    def _on_grid(self, image: Array) -> Array:
        if tuple(image.shape) == self.grid:
            return image
        self._kernels.launch(
            "layout", "embed", self._image.size, image=image, **sizes("m", image), out=self._image,
            **sizes("n", self._image),
        )  # fmt: skip
        return self._image


def _smooth(length: int) -> int:
    """Find the largest length up to this one that has steps."""
    return next(size for size in range(length, 0, -1) if radices(size))
