"""Real Fourier transforms on an OpenCL device, by pyclesperanto."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from napari_deconv.engines.opencl.device import Kernels, cle, device_work, sizes
from napari_deconv.engines.protocol import Array, Shape

__all__ = ["OpenclFft"]


class OpenclFft:
    """Transforms on one grid, with one spectrum and one image to work in."""

    def __init__(self, grid: Shape, kernels: Kernels) -> None:
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
