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
    """Hx = h ⊗ x on a periodic grid; Hᵀ multiplies by the conjugate OTF.

    With a grid of at least image + PSF − 1 voxels, and data on the image's voxels only, it is the
    non-circulant model of Bertero & Boccacci (Astron. Astrophys. 437, 369, 2005): what surrounds
    the image is part of the estimate.

    Parameters
    ----------
    engine : Engine
        Where to compute.
    kernel : ndarray of float32
        h on the grid (z, y, x), its origin at voxel 0 (see `centred_at_origin`), sum 1.
    """

    def __init__(self, engine: Engine, kernel: npt.NDArray[np.float32]) -> None:
        self.engine = engine
        self.grid: Shape = kernel.shape
        self.otf = engine.rfft(engine.asarray(kernel))
        self._spectrum = engine.rfft(engine.full(self.grid, 0.0))

    def apply(self, estimate: Array, out: Array) -> None:
        """Hx = F⁻¹[OTF·F x] into `out`."""
        self.engine.rfft_into(estimate, self._spectrum)
        self.engine.multiply(self._spectrum, self.otf)
        self.engine.irfft_into(self._spectrum, out)

    def adjoint(self, residual: Array, out: Array) -> None:
        """Hᵀr = F⁻¹[OTF*·F r] into `out`."""
        self.engine.rfft_into(residual, self._spectrum)
        self.engine.multiply_conjugate(self._spectrum, self.otf)
        self.engine.irfft_into(self._spectrum, out)

    def filter_wiener(self, data: Array, penalty: Array, out: Array) -> None:
        """Wiener-filter: F⁻¹[F y·OTF*/(|OTF|² + P)], P on the half spectrum."""
        self.engine.rfft_into(data, self._spectrum)
        self.engine.wiener(self._spectrum, self.otf, penalty)
        self.engine.irfft_into(self._spectrum, out)

    def filter_inverse(self, data: Array, epsilon: float, out: Array) -> None:
        """Filter inversely: F⁻¹[F y/(OTF + ε)], no frequency amplified more than 2/ε times."""
        self.engine.rfft_into(data, self._spectrum)
        self.engine.inverse(self._spectrum, self.otf, epsilon)
        self.engine.irfft_into(self._spectrum, out)
