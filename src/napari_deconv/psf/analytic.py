"""Bell-shaped PSFs given by their widths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import scipy.special

__all__ = ["gaussian", "lorentzian"]

_Floats = npt.NDArray[np.float32]

# FWHM of a Gaussian in standard deviations.
_FWHM = 2 * math.sqrt(2 * math.log(2))


def gaussian(
    shape: Sequence[int], spacing: Sequence[float], fwhm: Sequence[float], integrate: bool
) -> _Floats:
    """Sample exp(−Σ xᵢ²/(2σᵢ²)), σ = FWHM/2.3548, or integrate it over each voxel.

    Parameters
    ----------
    shape : sequence of int
        Voxels; the centre is voxel n // 2.
    spacing, fwhm : sequence of float
        Voxel size and full width at half maximum of each axis, µm.
    integrate : bool
        Integrate over the voxels instead of sampling their centres.

    Returns
    -------
    ndarray of float32
        Of the given shape, the largest value 1.
    """
    profiles = []
    for size, step, width in zip(shape, spacing, fwhm, strict=True):
        sigma = width / _FWHM
        x = (np.arange(size) - size // 2) * step
        if integrate:
            edges = np.append(x - step / 2, x[-1] + step / 2) / sigma
            profile = np.diff(scipy.special.ndtr(edges))
        else:
            profile = np.exp(-((x / sigma) ** 2) / 2)
        profiles.append(profile / profile.max())
    *others, x = np.ix_(*profiles)
    data: _Floats = np.multiply(math.prod(others), x, dtype=np.float32, casting="same_kind")
    return data


def lorentzian(
    shape: Sequence[int], spacing: Sequence[float], fwhm: Sequence[float], integrate: bool
) -> _Floats:
    """Sample 1/(1 + Σ (2xᵢ/FWHMᵢ)²), or integrate it over each voxel (Gauss–Legendre).

    Parameters and result as for `gaussian`, but for the largest value.
    """
    axes = []
    for size, step, width in zip(shape, spacing, fwhm, strict=True):
        points = 3 + math.ceil(2 * step / width) if integrate else 1
        nodes, weights = scipy.special.roots_legendre(points)
        x = np.add.outer(nodes * step / 2, np.arange(size // 2 + 1) * step)
        axes.append(list(zip((2 * x / width) ** 2, weights, strict=True)))
    # The function is even in every axis: one octant holds it all.
    octant = sum(
        math.prod(weight for _, weight in point)
        / (1 + sum(np.ix_(*(square for square, _ in point))))
        for point in product(*axes)
    )
    mirror = np.ix_(*(np.abs(np.arange(size) - size // 2) for size in shape))
    data: _Floats = np.asarray(octant, np.float32)[mirror]
    return data
