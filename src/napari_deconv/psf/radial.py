"""From a rotationally symmetric function to voxels: radial table, pixel integration, symmetry."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.special

from napari_deconv.engines.protocol import Engine

__all__ = ["expand", "pixel_weights", "table_radius"]

_Floats = npt.NDArray[np.float64]
_Plane = tuple[int, int]
_PixelSize = tuple[float, float]


def table_radius(shape: _Plane, spacing: _PixelSize) -> float:
    """Radius in µm of the farthest corner of a plane whose centre is pixel n // 2."""
    return math.hypot(*((n // 2 + 0.5) * step for n, step in zip(shape, spacing, strict=True)))


def expand(
    table: _Floats,
    step: float,
    shape: _Plane,
    spacing: _PixelSize,
    points: int,
    engine: Engine,
) -> npt.NDArray[np.float32]:
    """Integrate a radial table over the pixels of each plane.

    Parameters
    ----------
    table : ndarray of float64
        Values (z, r) at r = 0, step, 2·step, … µm, reaching three steps past `table_radius`.
    step : float
        Radial step of the table, µm.
    shape : tuple of int
        Pixels (y, x); the centre is pixel n // 2.
    spacing : tuple of float
        Pixel size (y, x), µm.
    points : int
        Gauss–Legendre points a pixel and axis; 1 samples the pixel's centre.
    engine : Engine
        Where the table is expanded.

    Returns
    -------
    ndarray of float32
        Mean of the function over each pixel, (z, y, x).
    """
    offsets, voxels = _distinct_pixels(shape, spacing)
    weights = pixel_weights(offsets, spacing, step, table.shape[1], points)
    pixels = engine.to_numpy(engine.expand(table.astype(np.float32), weights))[:, 0, :]
    # Cubic interpolation swings below zero by rounding next to the dark rings.
    pixels = np.maximum(pixels, 0.0)
    expanded: npt.NDArray[np.float32] = pixels[:, voxels].reshape(-1, *shape)
    return expanded


def pixel_weights(
    offsets: _Floats, spacing: _PixelSize, step: float, size: int, points: int
) -> scipy.sparse.csr_array:
    """Fold pixel integration and cubic (Catmull–Rom) interpolation into one matrix.

    Parameters
    ----------
    offsets : ndarray of float64
        Pixel centres (pixels, 2) as y, x in µm from the axis.
    spacing : tuple of float
        Pixel size (y, x), µm.
    step : float
        Radial step of the table, µm.
    size : int
        Radii in the table.
    points : int
        Gauss–Legendre points a pixel and axis.

    Returns
    -------
    scipy.sparse.csr_array of float32
        Shape (pixels, size); every row sums to 1.
    """
    nodes, weights = scipy.special.roots_legendre(points)
    y = np.add.outer(offsets[:, 0], nodes * spacing[0] / 2)[:, :, np.newaxis]
    x = np.add.outer(offsets[:, 1], nodes * spacing[1] / 2)[:, np.newaxis, :]
    position = np.hypot(y, x) / step
    base = np.floor(position).astype(np.intp)
    t = position - base
    taps = np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t**2 + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t**2 / 2,
        ],
        axis=-1,
    )
    values = taps * (np.multiply.outer(weights, weights) / 4)[:, :, np.newaxis]
    # The table is even in r: the tap at −step is the one at +step.
    columns = np.abs(base[..., np.newaxis] + np.arange(-1, 3))
    rows = np.broadcast_to(
        np.arange(len(offsets))[:, np.newaxis, np.newaxis, np.newaxis], columns.shape
    )
    entries = (values.astype(np.float32).ravel(), (rows.ravel(), columns.ravel()))
    return scipy.sparse.csr_array(entries, shape=(len(offsets), size))


def _distinct_pixels(shape: _Plane, spacing: _PixelSize) -> tuple[_Floats, npt.NDArray[np.intp]]:
    """Pixels that differ by more than a reflection: offsets (pixels, 2), and which of them each is.

    Square pixels leave an octant (x and y exchanged), others a quadrant.
    """
    y, x = (np.abs(np.arange(n) - n // 2) for n in shape)
    first, second = (axis.ravel() for axis in np.meshgrid(y, x, indexing="ij"))
    if spacing[0] == spacing[1]:
        first, second = np.minimum(first, second), np.maximum(first, second)
    pairs = first * (max(shape) + 1) + second
    distinct, voxels = np.unique(pairs, return_inverse=True)
    offsets = np.stack(np.divmod(distinct, max(shape) + 1), axis=1) * np.asarray(spacing)
    return offsets, voxels
