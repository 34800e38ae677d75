"""How far a filter sees: as far as its kernel reaches."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_deconv.engines.limits import threads
from napari_deconv.forward import centred_at_origin

__all__ = ["filter_reach"]

# Of Σ|k|, that lies beyond.
_SHARE = 0.005

# A kernel's grid: in PSFs, to begin with; in voxels, up to where it grows; in radii, once the
# kernel has fallen off.
_PSFS, _VOXELS, _RADII = 4, 2**23, 4


def filter_reach(
    psfs: Sequence[npt.NDArray[np.float32]], weight: float, space: Sequence[int]
) -> tuple[int, ...]:
    """Tell how many voxels Wiener's filter sees around each one, along each space axis.

    Beyond lies 0.5 % of Σ|k| of its kernel k = F⁻¹[H*/(|H|² + K)], which falls off the slower the
    smaller K is. Of a widefield PSF it falls off least for what is the same all along y or x: so
    it is computed for such specimens, from the PSF summed along that axis.

    Measured by cutting slices (z, x) of simulated specimens in widefield, NA 0.8, as parts of the
    maximum by which tiles differ from the whole, farther than this from the outer border: across
    at most 2e-4, 5e-4, 3e-4 and 5e-4 for K = 0.1, 0.01, 0.003 and 0.001, along z 6e-4, 6e-4 and
    9e-4 for 0.1, 0.03 and 0.01. With 2 % beyond, across, it would be 1e-3 and 3e-3 for 0.01 and
    0.003.

    Parameters
    ----------
    psfs : sequence of ndarray
        (z, y, x).
    weight : float
        K.
    space : sequence of int
        Voxels of the image along its space axes, (z, y, x) or (y, x): what is beyond all of them
        need not be seen.
    """
    nz, *across = (1,) * (3 - len(space)) + tuple(space)
    farthest = np.zeros(3, int)
    for psf in psfs:
        for axis, n in zip((1, 2), across, strict=True):
            z, along = _radii(psf.sum(axis=3 - axis, dtype=np.float64), weight, (nz, n))
            farthest[[0, axis]] = np.maximum(farthest[[0, axis]], (z, along))
    return tuple(farthest[3 - len(space) :].tolist())


def _radii(psf: npt.NDArray[np.float64], weight: float, image: tuple[int, int]) -> tuple[int, int]:
    """Find the radii of a kernel along both axes of a slice, on a grid that is large enough."""
    whole = [2 * n + m for n, m in zip(image, psf.shape, strict=True)]
    grid = [min(_PSFS * m, n) for m, n in zip(psf.shape, whole, strict=True)]
    while True:
        kernel = _kernel(psf, weight, grid)
        radii = _radius(kernel.sum(1)), _radius(kernel.sum(0))
        goes_on = [
            _RADII * radius > n and n < all_
            for radius, n, all_ in zip(radii, grid, whole, strict=True)
        ]
        grown = False
        for axis in np.flatnonzero(goes_on):
            if 2 * prod(grid) <= _VOXELS:
                grid[axis], grown = min(2 * grid[axis], whole[axis]), True
        if not grown:
            break
    z, across = (n if far else r for far, n, r in zip(goes_on, image, radii, strict=True))
    return z, across


def _kernel(
    psf: npt.NDArray[np.float64], weight: float, grid: Sequence[int]
) -> npt.NDArray[np.float32]:
    """|k| on a grid of at least this size, from its first voxel on, periodic."""
    shape = (1, *(scipy.fft.next_fast_len(n, real=True) for n in grid))
    otf = scipy.fft.rfftn(centred_at_origin(psf[np.newaxis] / psf.sum(), shape), workers=threads())
    wiener = otf.conj() / (np.abs(otf) ** 2 + np.float32(weight))
    kernel: npt.NDArray[np.float32] = scipy.fft.irfftn(wiener, shape, workers=threads())[0]
    return np.abs(kernel)


def _radius(profile: npt.NDArray[np.float32]) -> int:
    """Find the distance from the first sample that all but the share is within, both ways round."""
    at = np.minimum(np.arange(profile.size), profile.size - np.arange(profile.size))
    light = np.bincount(at, weights=profile)
    beyond = light.sum() - np.cumsum(light)
    return int(np.count_nonzero(beyond >= _SHARE * light.sum()))
