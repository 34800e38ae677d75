"""Convolution with one PSF through the FFT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array, Engine, Shape

__all__ = ["Convolution", "centred_at_origin", "fast_shape"]


def fast_shape(shape: Sequence[int]) -> Shape:
    """Round each size up to an even one with no prime factor above 7; 1 stays 1."""
    return tuple(size if size == 1 else _fast_length(size) for size in shape)


def _fast_length(size: int) -> int:
    size += size % 2
    while not _is_smooth(size):
        size += 2
    return size


def _is_smooth(size: int) -> bool:
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            size //= prime
    return size == 1


def centred_at_origin(
    kernel: npt.NDArray[np.float32], grid: Sequence[int]
) -> npt.NDArray[np.float32]:
    """Lay a kernel on a periodic grid with its voxel n // 2 at the origin.

    A kernel larger than the grid is folded onto it, as periodic convolution does.
    """
    for axis, size in enumerate(grid):
        folded = np.zeros((*kernel.shape[:axis], size, *kernel.shape[axis + 1 :]), np.float32)
        rows, values = np.moveaxis(folded, axis, 0), np.moveaxis(kernel, axis, 0)
        places = (np.arange(len(values)) - len(values) // 2) % size
        for start in range(0, len(values), size):
            rows[places[start : start + size]] += values[start : start + size]
        kernel = folded
    return kernel


class Convolution:
    """Hx = h ⊗ x on a periodic grid, seen on the image; Hᵀ multiplies by the conjugate OTF.

    With a grid of at least image + PSF − 1 voxels it is the non-circulant model of Bertero &
    Boccacci (Astron. Astrophys. 437, 369, 2005): what surrounds the image is part of the estimate.

    Parameters
    ----------
    engine : Engine
        Where to compute.
    kernel : ndarray of float32
        h on the grid (z, y, x), its origin at voxel 0 (see `centred_at_origin`), sum 1.
    shape : tuple of int
        Shape of the image, at most that of the grid.
    """

    def __init__(self, engine: Engine, kernel: npt.NDArray[np.float32], shape: Shape) -> None:
        self.engine = engine
        self.grid: Shape = kernel.shape
        self.shape = shape
        self.fft = engine.fft(self.grid)
        self.otf = self.fft.spectrum(engine.asarray(kernel))

    def apply(self, estimate: Array, out: Array) -> None:
        """Hx = F⁻¹[OTF·F x] into `out`, on the image."""
        self.fft.convolve(estimate, self.otf, out)

    def adjoint(self, light: Array, out: Array) -> None:
        """Hᵀy = F⁻¹[OTF*·F y] into `out`, on the grid."""
        self.fft.correlate(light, self.otf, out)
