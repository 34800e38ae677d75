"""The true object behind an image of beads.

A point is a cubic B-spline β³ at its sub-voxel position: its sum, centre and variance are exact
wherever it lies between the voxels. Solving image = object ⊗ p for p then gives the PSF's spline
coefficients, h(r) = Σ pₖ·β³(r − k), and `spline_values` the PSF itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d

from napari_deconv.beads.rendering import cubic_spline

__all__ = ["draw_beads", "spline_values"]

# Voxels from the centre of a cubic B-spline where it is 0.
_SUPPORT = 2

# A sphere is the mean of points on a cubic lattice with this many across.
_LATTICE = 13


def draw_beads(
    shape: Sequence[int],
    positions: npt.NDArray[np.float64],
    flux: npt.NDArray[np.float64],
    diameter: Sequence[float],
) -> npt.NDArray[np.float32]:
    """Draw beads as spheres at sub-voxel positions, each ⊗ β³.

    Parameters
    ----------
    shape : sequence of int
        (z, y, x) or (y, x).
    positions : ndarray (n, 3) or (n, 2)
        Centres in voxels.
    flux : ndarray (n,)
        Sum of each bead.
    diameter : sequence of float
        Of the beads along each axis, in voxels; 0 for points.

    Returns
    -------
    ndarray of float32
        The object; what lies outside is cut off.
    """
    drawn = np.zeros(shape, np.float32)
    ndim = len(shape)
    # In a plane a bead is the projection of its sphere.
    points = _sphere()[:, -ndim:] * np.asarray(diameter) / 2
    reach = np.ceil(np.asarray(diameter) / 2).astype(int) + _SUPPORT
    sum_over_points = "pz,py,px->zyx" if ndim == 3 else "py,px->yx"
    for position, amount in zip(positions, flux, strict=True):
        nearest = np.rint(position).astype(int)
        profiles = []
        for axis in range(ndim):
            offsets = np.arange(-reach[axis], reach[axis] + 1)
            distance = offsets - (position - nearest)[axis] - points[:, axis, np.newaxis]
            profiles.append(cubic_spline(distance))
        patch = np.einsum(sum_over_points, *profiles, optimize=True) * (amount / len(points))
        low, high = nearest - reach, nearest + reach + 1
        kept = [slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, shape, strict=True)]
        inner = [slice(k.start - a, k.stop - a) for k, a in zip(kept, low, strict=True)]
        if all(k.stop > k.start for k in kept):
            drawn[tuple(kept)] += patch[tuple(inner)]
    return drawn


def spline_values(coefficients: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Give Σ pₖ·β³(r − k) at the voxels r; coefficients are 0 outside."""
    values = coefficients
    for axis in range(values.ndim):
        values = convolve1d(values, cubic_spline(np.array([-1.0, 0, 1])), axis, mode="constant")
    return values


def _sphere() -> npt.NDArray[np.float64]:
    """Lattice points (n, 3) inside the unit sphere."""
    steps = (2 * np.arange(_LATTICE) + 1 - _LATTICE) / _LATTICE
    lattice = np.array(list(product(steps, repeat=3)))
    inside: npt.NDArray[np.float64] = lattice[(lattice**2).sum(axis=1) <= 1]
    # A unit sphere's variance along an axis is 1/5.
    inside *= np.sqrt(0.2 / (inside[:, 0] ** 2).mean())
    return inside
