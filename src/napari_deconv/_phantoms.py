"""Objects to simulate: drawn with sub-voxel precision, positions in voxels, axes (z, y, x)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import numpy.typing as npt

__all__ = [
    "ball_points",
    "box",
    "cubic_taps",
    "deposit",
    "ellipsoid",
    "filament_points",
    "linear_taps",
    "rosette",
]

Floats = npt.NDArray[np.float64]
Taps = Callable[[Floats], list[tuple[int, Floats]]]


def linear_taps(fraction: Floats) -> list[tuple[int, Floats]]:
    """Weights of a point's 2 nearest voxels: never negative, broadens by up to half a voxel."""
    return [(0, 1 - fraction), (1, fraction)]


def cubic_taps(fraction: Floats) -> list[tuple[int, Floats]]:
    """Weights of the 4 nearest voxels of a point, after Keys (IEEE Trans. ASSP 29, 1153, 1981).

    They keep a point's position and its width (second moment 0), and dip below 0 beside it.
    """
    t = fraction
    return [
        (-1, t * (-1 + t * (2 - t)) / 2),
        (0, 1 + t * t * (-5 + 3 * t) / 2),
        (1, t * (1 + t * (4 - 3 * t)) / 2),
        (2, t * t * (t - 1) / 2),
    ]


def deposit(
    shape: tuple[int, ...], positions: Floats, weights: npt.ArrayLike, taps: Taps = linear_taps
) -> Floats:
    """Add points into a volume.

    Parameters
    ----------
    shape : tuple of int
        The volume's shape (z, y, x).
    positions : ndarray
        (n, 3) in voxels; what lies outside of the volume is left out.
    weights : array_like
        Flux of each point, or one for all.
    taps : callable
        `linear_taps` or `cubic_taps`: how a point is shared among its neighbours on an axis.

    Returns
    -------
    ndarray
        float64; the sum is that of the weights inside.
    """
    weights = np.broadcast_to(weights, len(positions))
    first = np.floor(positions).astype(np.intp)
    axes = [taps(fraction) for fraction in (positions - first).T]
    volume = np.zeros(shape)
    for corner in product(*axes):
        index = first + [offset for offset, _ in corner]
        inside = np.all((index >= 0) & (index < shape), axis=1)
        share = weights * np.prod([weight for _, weight in corner], axis=0)
        flat = np.ravel_multi_index(tuple(index[inside].T), shape)
        volume += np.bincount(flat, share[inside], volume.size).reshape(shape)
    return volume


def ball_points(radius: Floats, number: int, rng: np.random.Generator) -> Floats:
    """Fill a ball evenly with points, in pairs opposite to each other so that its centre is exact.

    Parameters
    ----------
    radius : ndarray
        Semi-axes (z, y, x) in voxels.
    number : int
        Points, an even number.
    rng : numpy.random.Generator
        Source of the positions.
    """
    direction = rng.normal(size=(number // 2, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    half = direction * np.cbrt(rng.random((number // 2, 1)))
    return np.concatenate([half, -half]) * radius


def filament_points(
    start: Floats,
    direction: Floats,
    steps: int,
    bend: float,
    ceiling: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> Floats:
    """Let filaments grow with slowly turning directions under a ceiling.

    Parameters
    ----------
    start, direction : ndarray
        (n, 3), any unit of length; the length of `direction` is that of a step.
    steps : int
        Points of each filament.
    bend : float
        Standard deviation of the turn in a step, in steps.
    ceiling : callable
        Highest z allowed at positions (n, 3); the lowest is 0.
    rng : numpy.random.Generator
        Source of the turns.

    Returns
    -------
    ndarray
        (steps, n, 3)
    """
    points = np.empty((steps, *start.shape))
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    position, turn = start.copy(), np.zeros_like(start)
    for step in range(steps):
        turn = 0.95 * turn + bend * length * rng.normal(size=start.shape) * (0.3, 1, 1)
        direction = direction + turn
        direction *= length / np.linalg.norm(direction, axis=1, keepdims=True)
        position = position + direction
        position[:, 0] = np.clip(position[:, 0], 0, ceiling(position))
        points[step] = position
    return points


def ellipsoid(shape: tuple[int, ...], centre: Floats, radius: Floats) -> Floats:
    """Fill an ellipsoid, 1 inside and 0 outside, its edge softened over about a voxel."""
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    distance = np.zeros(shape)
    for axis, middle, semi_axis in zip(grid, centre, radius, strict=True):
        distance += ((axis - middle) / semi_axis) ** 2
    filled: Floats = np.clip((1 - np.sqrt(distance)) * np.min(radius) + 0.5, 0, 1)
    return filled


def box(shape: tuple[int, ...], low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Fill a box between two corners in voxels; each voxel holds the part of it that is covered."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    z, y, x = (
        np.clip(np.minimum(np.arange(n) + 0.5, hi) - np.maximum(np.arange(n) - 0.5, lo), 0, 1)
        for n, lo, hi in zip(shape, low, high, strict=True)
    )
    covered: Floats = z[:, None, None] * y[:, None] * x
    return covered


def rosette(shape: tuple[int, ...], centre: Floats, radius: float, spokes: int) -> Floats:
    """Draw a disc of radial spokes (Siemens star) in a plane; each pixel holds what is covered."""
    fine = 8
    y, x = (
        (np.arange(n * fine) + 0.5) / fine - 0.5 - c for n, c in zip(shape, centre, strict=True)
    )
    spoke = np.cos(spokes * np.arctan2(y[:, None], x)) > 0
    covered = spoke & (np.hypot(y[:, None], x) < radius)
    share: Floats = covered.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))
    return share
