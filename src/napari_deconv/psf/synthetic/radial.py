"""From functions of radius and angle to voxels: tables, pixel integration, symmetry."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.sparse
import scipy.special

from napari_deconv.engines.protocol import Engine

__all__ = ["expand", "expand_bytes", "expand_harmonics", "table_length", "table_radii"]

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


def expand_bytes(planes: int, shape: _Plane, spacing: _PixelSize, points: int) -> int:
    """Memory in which `expand` makes its matrix, and then the volume.

    Parameters are the number of planes and those of `expand`.
    """
    short, long = sorted(n // 2 + 1 for n in shape)
    distinct = short * long
    if spacing[0] == spacing[1]:
        distinct -= short * (short - 1) // 2
    pixels = math.prod(shape)
    # Measured: nine numbers for each pixel to find the distinct ones, four for each tap of these.
    matrix = 8 * pixels + 32 * 4 * points**2 * distinct
    return max(72 * pixels, matrix, (24 + 4 * planes) * (pixels + distinct))


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
        Values (z, r) at the radii of `table_radii`, not negative.
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
    weights = _weights(offsets, spacing, step, points, table.shape[1])
    pixels = engine.to_numpy(engine.expand(_spline(table, 1), weights))[:, 0, :]
    # The spline swings below zero by rounding in the dark rings.
    np.maximum(pixels, 0.0, out=pixels)
    expanded: npt.NDArray[np.float32] = np.take(pixels, voxels, axis=1).reshape(-1, *shape)
    return expanded


def expand_harmonics(
    harmonics: Mapping[int, npt.NDArray[np.complexfloating]],
    step: float,
    shape: _Plane,
    spacing: _PixelSize,
    points: int,
    engine: Engine,
) -> npt.NDArray[np.float32]:
    """Integrate Re Σ_m f_m(r)·exp(imψ) over the pixels of each plane.

    Parameters
    ----------
    harmonics : mapping of int to ndarray of complex
        Tables f_m (z, r) for m ≥ 0. The angle ψ runs from x to y.
    step, shape, spacing, points, engine
        As for `expand`.

    Returns
    -------
    ndarray of float32
        Mean of the function over each pixel, not negative, (z, y, x).
    """
    quadrant = (shape[0] // 2 + 1, shape[1] // 2 + 1)
    offsets = np.indices(quadrant).reshape(2, -1).T * np.asarray(spacing)
    columns, values, angle = _taps(offsets, spacing, step, points)
    parts: dict[tuple[int, int], npt.NDArray[np.float32]] = {}
    for m, table in harmonics.items():
        parity = -1 if m % 2 else 1
        turned = np.where(columns < 0, parity, 1) * values * np.exp(1j * m * angle)[..., np.newaxis]
        weights = _matrix(columns, turned, table.shape[1])
        # Mirrored in y the cosine stays and the sine changes sign; in x that depends on m.
        for odd, radial, part in ((0, table.real, weights.real), (1, -table.imag, weights.imag)):
            if radial.any():
                expanded = engine.to_numpy(engine.expand(_spline(radial, parity), part))
                signs = (odd, (m + odd) % 2)
                parts[signs] = parts.get(signs, np.float32(0)) + expanded.reshape(-1, *quadrant)
    return _unfold(parts, shape)


def _unfold(
    parts: dict[tuple[int, int], npt.NDArray[np.float32]], shape: _Plane
) -> npt.NDArray[np.float32]:
    """Add up quadrants (z, y, x) continued to whole planes, negative values as 0.

    Their keys tell whether they are odd in y and in x.
    """
    planes = len(next(iter(parts.values())))
    volume = np.zeros((planes, *shape), np.float32)
    for (odd_y, odd_x), quadrants in parts.items():
        y, sign_y = _mirror(shape[0], odd_y)
        x, sign_x = _mirror(shape[1], odd_x)
        sign = np.multiply.outer(sign_y, sign_x)
        for plane, quadrant in zip(volume, quadrants, strict=True):
            plane += sign * quadrant[np.ix_(y, x)]
    return np.maximum(volume, 0, out=volume)


def _mirror(size: int, odd: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Where in a quadrant each place of an axis is found, and with which sign."""
    place = np.arange(size) - size // 2
    sign = np.where(place < 0, -1 if odd else 1, 1).astype(np.float32)
    return np.abs(place), sign


def _spline(table: npt.NDArray[np.floating], parity: int) -> npt.NDArray[np.float32]:
    """Coefficients of cubic B-splines for a table that is even (1) or odd (−1) in r."""
    # The filter itself mirrors an even table.
    before = 0 if parity > 0 else 2 * _MARGIN
    extended = np.concatenate([-table[:, before:0:-1], table], axis=1)
    coefficients = scipy.ndimage.spline_filter1d(extended, order=3, axis=1, mode="mirror")
    return coefficients[:, extended.shape[1] - table.shape[1] :].astype(np.float32)


def _weights(
    offsets: _Floats, spacing: _PixelSize, step: float, points: int, radii: int
) -> scipy.sparse.csr_array:
    """Fold pixel integration and cubic B-splines into one matrix (pixels, radii)."""
    columns, values, _ = _taps(offsets, spacing, step, points)
    return _matrix(columns, values, radii)


def _taps(
    offsets: _Floats, spacing: _PixelSize, step: float, points: int
) -> tuple[npt.NDArray[np.intp], _Floats, _Floats]:
    """Cubic B-splines at the Gauss–Legendre points of pixels.

    `offsets` are pixel centres (pixels, 2) as y, x in µm from the axis. The result is which radii
    count, (pixels, points, 4), where −1 is the radius 1 mirrored; how much each counts; and the
    angle of each point from x to y, (pixels, points).
    """
    nodes, weights = scipy.special.roots_legendre(points)
    y = np.add.outer(offsets[:, 0], np.repeat(nodes, points) * spacing[0] / 2)
    x = np.add.outer(offsets[:, 1], np.tile(nodes, points) * spacing[1] / 2)
    position = np.hypot(y, x) / step
    base = np.floor(position).astype(np.intp)
    t = position - base
    values = np.stack(
        [(1 - t) ** 3, 4 + 3 * (t - 2) * t**2, 1 + 3 * t * (1 + (1 - t) * t), t**3], axis=-1
    )
    values *= np.multiply.outer(weights, weights).reshape(-1, 1) / (4 * 6)
    return base[..., np.newaxis] + np.arange(-1, 3), values, np.arctan2(y, x)


def _matrix(
    columns: npt.NDArray[np.intp], values: npt.NDArray[np.inexact], radii: int
) -> scipy.sparse.csr_array:
    """Add up the values (pixels, points, taps) of each radius, (pixels, radii)."""
    pixels, points, taps = columns.shape
    starts = np.arange(pixels + 1) * (points * taps)
    single = np.complex64 if np.iscomplexobj(values) else np.float32
    matrix = scipy.sparse.csr_array(
        (values.astype(single).ravel(), np.abs(columns).ravel(), starts), shape=(pixels, radii)
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
