"""From a rotationally symmetric function to voxels: radial table, pixel integration, symmetry."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.sparse
import scipy.special

from napari_deconv.engines.protocol import Engine

__all__ = ["expand", "matrix_bytes", "table_length", "table_radii"]

_Floats = npt.NDArray[np.float64]
_Plane = tuple[int, int]
_PixelSize = tuple[float, float]

# The spline's unknown slope at the end of the table dies out within this many steps.
_MARGIN = 12


def table_length(shape: _Plane, spacing: _PixelSize, step: float) -> int:
    """How many radii `table_radii` gives."""
    corner = math.hypot(*((n // 2 + 0.5) * size for n, size in zip(shape, spacing, strict=True)))
    return math.ceil(corner / step) + _MARGIN


def table_radii(shape: _Plane, spacing: _PixelSize, step: float) -> _Floats:
    """Radii in µm that a table needs for a plane whose centre is pixel n // 2.

    Parameters
    ----------
    shape : tuple of int
        Pixels (y, x).
    spacing : tuple of float
        Pixel size (y, x), µm.
    step : float
        Radial step, µm.

    Returns
    -------
    ndarray of float64
        0, step, 2·step, … beyond the farthest corner.
    """
    radii: _Floats = step * np.arange(table_length(shape, spacing, step), dtype=float)
    return radii


def matrix_bytes(shape: _Plane, spacing: _PixelSize, points: int) -> int:
    """Memory in which `expand` finds the distinct pixels and makes their matrix.

    Parameters are those of `expand`.
    """
    short, long = sorted(n // 2 + 1 for n in shape)
    distinct = short * long
    if spacing[0] == spacing[1]:
        distinct -= short * (short - 1) // 2
    # Measured: nine numbers for each pixel, then five for each tap.
    return 72 * math.prod(shape) + 40 * 4 * points**2 * distinct


def expand(
    table: _Floats,
    step: float,
    shape: _Plane,
    spacing: _PixelSize,
    points: int,
    engine: Engine,
) -> npt.NDArray[np.float32]:
    """Integrate a radial table over the pixels of each plane.

    Between the radii the table is a cubic spline, even at r = 0.

    Parameters
    ----------
    table : ndarray of float64
        Values (z, r) at the radii of `table_radii`.
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
    weights = _pixel_weights(offsets, spacing, step, table.shape[1], points)
    coefficients = scipy.ndimage.spline_filter1d(table, order=3, axis=1, mode="mirror")
    pixels = engine.to_numpy(engine.expand(coefficients.astype(np.float32), weights))[:, 0, :]
    # The spline swings below zero by rounding in the dark rings.
    pixels = np.maximum(pixels, 0.0)
    expanded: npt.NDArray[np.float32] = pixels[:, voxels].reshape(-1, *shape)
    return expanded


def _pixel_weights(
    offsets: _Floats, spacing: _PixelSize, step: float, radii: int, points: int
) -> scipy.sparse.csr_array:
    """Fold pixel integration and cubic B-splines into one matrix (pixels, radii).

    `offsets` are pixel centres (pixels, 2) as y, x in µm from the axis.
    """
    nodes, weights = scipy.special.roots_legendre(points)
    y = np.add.outer(offsets[:, 0], nodes * spacing[0] / 2)[:, :, np.newaxis]
    x = np.add.outer(offsets[:, 1], nodes * spacing[1] / 2)[:, np.newaxis, :]
    position = np.hypot(y, x) / step
    base = np.floor(position).astype(np.intp)
    t = position - base
    taps = np.stack(
        [(1 - t) ** 3, 4 + 3 * (t - 2) * t**2, 1 + 3 * t * (1 + (1 - t) * t), t**3], axis=-1
    )
    taps /= 6
    values = taps * (np.multiply.outer(weights, weights) / 4)[:, :, np.newaxis]
    # The table is even in r: the tap at −step is the one at +step.
    columns = np.abs(base[..., np.newaxis] + np.arange(-1, 3))
    starts = np.arange(len(offsets) + 1) * (4 * points**2)
    matrix = scipy.sparse.csr_array(
        (values.astype(np.float32).ravel(), columns.ravel(), starts), shape=(len(offsets), radii)
    )
    matrix.sum_duplicates()
    return matrix


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
