"""The true object behind an image of beads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

__all__ = ["BLUR", "draw_beads"]

BLUR = 0.5
"""σ in voxels of the Gaussian that stands for a point: it lets a point lie between voxels."""

# A sphere is the mean of points on a cubic lattice with this many across.
_LATTICE = 13


def draw_beads(
    shape: Sequence[int],
    positions: npt.NDArray[np.float64],
    flux: npt.NDArray[np.float64],
    diameter: Sequence[float],
) -> npt.NDArray[np.float32]:
    """Draw beads as spheres at sub-voxel positions, each ⊗ a Gaussian of σ = `BLUR` voxels.

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
    reach = np.ceil(np.asarray(diameter) / 2 + 4 * BLUR).astype(int)
    sum_over_points = "pz,py,px->zyx" if ndim == 3 else "py,px->yx"
    for position, amount in zip(positions, flux, strict=True):
        nearest = np.rint(position).astype(int)
        profiles = []
        for axis in range(ndim):
            offsets = np.arange(-reach[axis], reach[axis] + 1)
            distance = offsets - (position - nearest)[axis] - points[:, axis, np.newaxis]
            profile = np.exp(-0.5 * (distance / BLUR) ** 2)
            profiles.append(profile / profile.sum(axis=1, keepdims=True))
        patch = np.einsum(sum_over_points, *profiles, optimize=True) * (amount / len(points))
        low, high = nearest - reach, nearest + reach + 1
        kept = [slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, shape, strict=True)]
        inner = [slice(k.start - a, k.stop - a) for k, a in zip(kept, low, strict=True)]
        if all(k.stop > k.start for k in kept):
            drawn[tuple(kept)] += patch[tuple(inner)]
    return drawn


def _sphere() -> npt.NDArray[np.float64]:
    """Lattice points (n, 3) inside the unit sphere."""
    steps = (2 * np.arange(_LATTICE) + 1 - _LATTICE) / _LATTICE
    lattice = np.array(list(product(steps, repeat=3)))
    inside: npt.NDArray[np.float64] = lattice[(lattice**2).sum(axis=1) <= 1]
    # A unit sphere's variance along an axis is 1/5.
    inside *= np.sqrt(0.2 / (inside[:, 0] ** 2).mean())
    return inside
