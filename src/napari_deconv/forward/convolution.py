"""Convolution with one PSF through the FFT."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array, Engine, Shape

__all__ = ["Convolution", "centred_at_origin", "fast_shape"]


# Time of a transform over its length, and what each prime factor of the length adds to it: fitted
# to SciPy's complex float32 transforms of 48 to 600 samples within 3 % (benchmarks/lengths.py).
_COSTS = {2: 0.05, 3: 0.14, 5: 0.20, 7: 0.28}


def fast_shape(shape: Sequence[int]) -> Shape:
    """Take for each size the even one from there on that transforms fastest; 1 stays 1.

    Only primes up to 7 divide it, and its cost is n·(1 + Σ c_p) with measured c_p.
    """
    return tuple(size if size == 1 else _fast_length(size) for size in shape)


def _fast_length(size: int) -> int:
    # Some even product of small primes lies within a fifth of any size.
    candidates = range(size + size % 2, size + size // 5 + 3, 2)
    return min(candidates, key=_cost)


def _cost(length: int) -> float:
    part, rest = 1.0, length
    for prime, cost in _COSTS.items():
        while rest % prime == 0:
            part += cost
            rest //= prime
    return length * part if rest == 1 else inf


def centred_at_origin(
    kernel: npt.NDArray[np.float32], grid: Sequence[int], centre: Sequence[int] | None = None
) -> npt.NDArray[np.float32]:
    """Lay a kernel on a periodic grid with its voxel `centre`, else n // 2, at the origin.

    A kernel larger than the grid is folded onto it, as periodic convolution does.
    """
    places = []
    for axis, size in enumerate(grid):
        length = kernel.shape[axis]
        middle = length // 2 if centre is None else centre[axis]
        place = (np.arange(length) - middle) % size
        if length > size:
            kernel, place = _folded(kernel, axis, place, size), np.arange(size)
        places.append(place)
    laid = np.zeros(tuple(grid), np.float32)
    laid[np.ix_(*places)] = kernel
    return laid


def _folded(
    kernel: npt.NDArray[np.float32], axis: int, place: npt.NDArray[np.intp], size: int
) -> npt.NDArray[np.float32]:
    folded = np.zeros((*kernel.shape[:axis], size, *kernel.shape[axis + 1 :]), np.float32)
    rows, values = np.moveaxis(folded, axis, 0), np.moveaxis(kernel, axis, 0)
    for start in range(0, len(values), size):
        rows[place[start : start + size]] += values[start : start + size]
    return folded


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
