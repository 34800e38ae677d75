"""Real Fourier transforms on an OpenCL device, by pyclesperanto."""

from __future__ import annotations

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

    def _filter(self, image: Array, otf: Array, product: str, out: Array) -> None:
        spectrum, kernels = self._spectrum, self._kernels
        whole = tuple(out.shape) == self.grid
        result = out if whole else self._image
        frequencies = int(spectrum.size) // 2
        with device_work(kernels.device):
            cle().fft.fft(self._on_grid(image), spectrum, device=kernels.handle)
            kernels.launch(
                "spectra", product, frequencies, spectrum=spectrum, otf=otf, n=frequencies
            )
            cle().fft.ifft(spectrum, result, device=kernels.handle)
        if not whole:
            kernels.launch(
                "layout", "crop", out.size, image=result, **sizes("n", result), out=out,
                **sizes("m", out),
            )  # fmt: skip

    def _on_grid(self, image: Array) -> Array:
        if tuple(image.shape) == self.grid:
            return image
        self._kernels.launch(
            "layout", "embed", self._image.size, image=image, **sizes("m", image), out=self._image,
            **sizes("n", self._image),
        )  # fmt: skip
        return self._image
