"""Filters, and filters made of an OTF, on the device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from napari_deconv.engines.opencl.device import Kernels, sizes, stride
from napari_deconv.engines.protocol import Array, Lines, Shape

__all__ = ["Filters"]


class Filters(Kernels):
    """Filters reflect at the edges."""

    # -- an OTF becomes a filter, in place -------------------------------------------------------
    def wiener(self, otf: Array, penalty: Array) -> None:
        n = int(otf.size) // 2
        self.launch(
            "spectra", "wiener", n, otf=otf, penalty=penalty, penalty_stride=stride(penalty), n=n
        )

    def inverse(self, otf: Array, epsilon: float) -> None:
        n = int(otf.size) // 2
        self.launch("spectra", "inverse", n, otf=otf, epsilon=float(epsilon), n=n)

    # -- filters -----------------------------------------------------------------------------
    def gaussian(self, image: Array, sigma: tuple[float, ...]) -> Array:
        for axis, width in enumerate(sigma):
            if width <= 0:
                continue
            radius = int(4.0 * width + 0.5)
            weights = _folded(width, radius, image.shape[axis])
            out = self.empty(image.shape)
            self.launch(
                "filters", "correlate_axis", out.size, image=image,
                weights=self.push(weights[np.newaxis]), out=out, radius=radius,
                taps=len(weights), axis=axis, **sizes("n", out),
            )  # fmt: skip
            image = out
        return image

    def minimum(self, image: Array, size: Shape) -> Array:
        return self._box("minimum_axis", image, size)

    def maximum(self, image: Array, size: Shape) -> Array:
        return self._box("maximum_axis", image, size)

    def _box(self, kernel: str, image: Array, size: Shape) -> Array:
        for axis, length in enumerate(size):
            if length <= 1:
                continue
            out = self.empty(image.shape)
            self.launch(
                "filters", kernel, out.size, image=image, out=out, radius=int(length) // 2,
                axis=axis, **sizes("n", out),
            )  # fmt: skip
            image = out
        return image

    def rolling_ball(self, image: Array, heights: npt.NDArray[Any]) -> Array:
        inside = np.isfinite(heights)
        apex = heights[tuple(size // 2 for size in heights.shape)]
        offsets = np.argwhere(inside) - np.array(heights.shape) // 2
        out = self.empty(image.shape)
        self.launch(
            "filters", "rolling_ball", out.size, image=image,
            offsets=self.push(offsets.astype(np.int32).reshape(1, -1, 3)),
            drops=self._row(apex - heights[inside]),
            count=len(offsets), out=out, **sizes("n", out),
        )  # fmt: skip
        return out

    # -- from grid to grid -----------------------------------------------------------------------
    def crop(self, image: Array, box: tuple[slice, slice, slice]) -> Array:
        spans = [range(n)[part] for n, part in zip(image.shape, box, strict=True)]
        out = self.empty(tuple(map(len, spans)))
        first = {f"first_{axis}": span.start for axis, span in zip("zyx", spans, strict=True)}
        self.launch(
            "grids", "crop", out.size, image=image, **sizes("m", image), **first, out=out,
            **sizes("n", out),
        )  # fmt: skip
        return out

    def interpolate(self, image: Array, lines: Lines, out: Array) -> None:
        tables: dict[str, Array] = {}
        for name, line in zip("zyx", lines, strict=True):
            places = np.stack([line.below, line.above]).astype(np.int32)
            tables[f"places_{name}"] = self.push(places[np.newaxis])
            tables[f"part_{name}"] = self._row(line.part)
        self.launch(
            "grids", "interpolate", out.size, image=image, **sizes("m", image), **tables,
            out=out, **sizes("n", out),
        )  # fmt: skip

    # -- radial tables -------------------------------------------------------------------------
    def expand(self, table: npt.NDArray[Any], weights: scipy.sparse.csr_array) -> Array:
        pixels, radii = weights.shape
        planes = table.shape[0]
        out = self.empty((planes, 1, pixels))
        self.launch(
            "expand", "expand", out.size,
            table=self.push(table[:, np.newaxis, :].astype(np.float32)),
            starts=self.push(weights.indptr.astype(np.int32).reshape(1, 1, -1)),
            columns=self.push(weights.indices.astype(np.int32).reshape(1, 1, -1)),
            values=self._row(weights.data), out=out,
            radii=int(radii), pixels=int(pixels), n=int(out.size),
        )  # fmt: skip
        return out

    def _row(self, values: npt.NDArray[Any]) -> Array:
        return self.push(values.astype(np.float32).reshape(1, 1, -1))


@lru_cache(16)
def _folded(sigma: float, radius: int, length: int) -> npt.NDArray[np.float32]:
    """Weights of a Gaussian for each place along an axis, with what is reflected at its ends.

    Returns
    -------
    ndarray of float32 (taps, length)
        Of the voxels from ``min(max(place - radius, 0), length - taps)`` on.
    """
    taps = min(2 * radius + 1, length)
    offsets = np.arange(-radius, radius + 1)[:, np.newaxis]
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    places = np.arange(length)
    voxels = (places + offsets) % (2 * length)
    voxels = np.minimum(voxels, 2 * length - 1 - voxels) - np.clip(
        places - radius, 0, length - taps
    )
    folded = np.zeros((taps, length))
    np.add.at(folded, (voxels, places), weights / weights.sum())
    return folded.astype(np.float32)
