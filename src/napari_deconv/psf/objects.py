"""The true object behind an image of beads.

A point is a cubic B-spline β³ at its sub-voxel position: its sum, centre and variance are exact
wherever it lies between the voxels. Solving image = object ⊗ p for p then gives the PSF's spline
coefficients, h(r) = Σ pₖ·β³(r − k), and `spline_values` the PSF itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d

from napari_deconv.beads.rendering import cubic_spline

__all__ = ["Bead", "draw_beads", "make_beads", "spline_values"]

# Voxels from the centre of a cubic B-spline where it is 0.
_SUPPORT = 2

# A sphere is the mean of points on a cubic lattice with this many across.
_LATTICE = 13


class Bead(NamedTuple):
    """A bead of unit flux, as far as it lies in the image, and where that is."""

    place: tuple[slice, ...]
    light: npt.NDArray[np.float32]


def make_beads(
    shape: Sequence[int], positions: npt.NDArray[np.float64], diameter: Sequence[float]
) -> list[Bead]:
    """Make spheres of unit flux at sub-voxel positions, each ⊗ β³.

    Parameters
    ----------
    shape : sequence of int
        Of the image, (z, y, x) or (y, x).
    positions : ndarray (n, 3) or (n, 2)
        Centres in voxels.
    diameter : sequence of float
        Of the beads along each axis, in voxels; 0 for points.

    Returns
    -------
    list of Bead
        One for each position; what lies outside of the image is cut off.
    """
    ndim = len(shape)
    # In a plane a bead is the projection of its sphere.
    points = _sphere()[:, -ndim:] * np.asarray(diameter) / 2
    reach = np.ceil(np.asarray(diameter) / 2).astype(int) + _SUPPORT
    sum_over_points = "pz,py,px->zyx" if ndim == 3 else "py,px->yx"
    beads = []
    for position in positions:
        nearest = np.rint(position).astype(int)
        profiles = []
        for axis in range(ndim):
            offsets = np.arange(-reach[axis], reach[axis] + 1)
            distance = offsets - (position - nearest)[axis] - points[:, axis, np.newaxis]
            profiles.append(cubic_spline(distance))
        patch = np.einsum(sum_over_points, *profiles, optimize=True) / len(points)
        low = nearest - reach
        begin, end = np.clip([low, low + patch.shape], 0, shape)
        inner = tuple(slice(a, b) for a, b in zip(begin - low, end - low, strict=True))
        place = tuple(slice(a, b) for a, b in zip(begin, end, strict=True))
        beads.append(Bead(place, patch[inner].astype(np.float32)))
    return beads


def draw_beads(
    shape: Sequence[int], beads: Sequence[Bead], flux: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Draw beads into an empty image of a shape, each with its flux."""
    drawn = np.zeros(shape, np.float32)
    for bead, amount in zip(beads, flux, strict=True):
        drawn[bead.place] += np.float32(amount) * bead.light
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
