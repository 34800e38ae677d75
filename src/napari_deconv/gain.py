"""Camera gain: how many grey values a photon makes, from the noise of a single image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from scipy.stats.qmc import Halton

from napari_deconv._checks import as_volume, check_image, check_number
from napari_deconv._noise import grey_step
from napari_deconv.errors import DeconvError

__all__ = ["CameraGain", "Noise", "estimate_gain", "gain_of", "noise_boxes", "noise_in", "noise_of"]

Floats = npt.NDArray[np.float64]
Box = tuple[slice, ...]

# Voxels that are looked at: all of an image up to this size, else those in so many boxes of some
# planes, of 16 × 16 tiles along y and x and what their differences need.
_VOXELS = 2**24
_BOXES = 64
_BOX = (4, 16 * 16 + 4, 16 * 16 + 4)

_TILE = 16  # pixels along y and x
_FEWEST_TILES = 16
_ROUNDS = 12
_OUTLIER = 3.0  # standard deviations of a tile's variance
_FIT_SHARE = 0.5  # of the tiles must lie on the line
_PRECISE = 0.15  # relative standard error of a gain to rely on
_COUNTED = 0.85  # grey steps a photon, and more: every photon shows
_CORRELATED = 1.5  # ratio of coarse to fine noise variance
_SIGMA_PER_MAD = 1.4826
# Fourth difference, of unit noise gain: nothing up to a cubic passes.
_DIFFERENCE = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70)
# Σρ² along both axes: so many neighbouring values of the residual count as one.
_CORRELATION = float(np.sum(np.correlate(_DIFFERENCE, _DIFFERENCE, "full") ** 2)) ** 2


@dataclass(frozen=True)
class CameraGain:
    """What a camera makes of photons: grey value = gain × photons + offset.

    Attributes
    ----------
    gain : float
        Grey values a photon.
    offset : float
        Grey value at which the noise would vanish: the camera's value without light, less the
        variance of its read-out noise / gain. (image − offset) / gain is as noisy as photons.
    error : float
        Standard error of the gain.
    """

    gain: float
    offset: float
    error: float


@dataclass(frozen=True)
class Noise:
    """The noise in tiles of 16 × 16 pixels of a part of an image.

    Attributes
    ----------
    mean, variance, coarse : ndarray of float64
        Mean of each tile, its noise variance, and the same from pixels two apart.
    step : float
        Smallest difference between grey values; 0 where there is none.
    """

    mean: Floats
    variance: Floats
    coarse: Floats
    step: float


def estimate_gain(image: npt.ArrayLike, *, offset: float | None = None) -> CameraGain:
    """Estimate a camera's gain from the noise of one image.

    The variance of photon noise grows with brightness: variance = gain × (mean − offset). Mean and
    variance are taken in tiles of 16 × 16 pixels, the variance from fourth differences along y and
    x, which structures as smooth as a microscope's PSF hardly pass. A line is fitted to the tiles,
    leaving out those too far from it (cf. Foi et al., IEEE Trans. Image Process. 17, 1737, 2008).
    Of an image of more than 17 million voxels these are the tiles in 64 places all over it.

    Parameters
    ----------
    image : array_like
        (y, x) or (z, y, x), any real dtype, as it came from the camera. Tiles with a voxel of the
        highest value are left out, as they may be saturated.
    offset : float, optional
        Grey value without light, if known; 0 for photon counters. Without it, it is estimated.

    Returns
    -------
    CameraGain
        Gain, offset and the gain's precision.

    Raises
    ------
    DeconvError
        If the image is no plane or volume, or too small; if its noise is not that of photons:
        nearly none, hidden by coarse grey values, not growing with brightness, or alike in
        neighbouring pixels, as after filtering, interpolation or lossy compression; or if all its
        parts are too alike in brightness to tell gain from offset.
    """
    array = check_image(image)
    if offset is not None:
        offset = check_number(offset, "offset")
    if array.ndim > 3 or min(array.shape[-2:]) < _TILE + 4:
        raise DeconvError(
            f"The image has shape {array.shape}: to estimate the gain, give one plane (y, x) or "
            f"volume (z, y, x) of at least {_TILE + 4} × {_TILE + 4} pixels a plane."
        )
    return gain_of(noise_of(array), offset)


def noise_of(image: npt.NDArray[Any]) -> list[Noise]:
    """Measure the noise of an image, (y, x) or (z, y, x), in all of its `noise_boxes`."""
    largest = float(image.max())
    return [noise_in(image[box], largest) for box in noise_boxes(image.shape)]


def noise_boxes(shape: tuple[int, ...]) -> list[Box]:
    """Choose where the noise of an image is looked at, by a Halton sequence if it is large."""
    if prod(shape) <= _VOXELS:
        return [(slice(None),) * len(shape)]
    # A plane is a volume of one.
    space = (1,) * (3 - len(shape)) + shape
    sides = np.minimum(space, _BOX)
    points = Halton(3, scramble=False).random(_BOXES)
    starts = (points * (space - sides + 1)).astype(int)
    return [
        tuple(slice(a, a + m) for a, m in zip(start, sides.tolist(), strict=True))[-len(shape) :]
        for start in starts.tolist()
    ]


def noise_in(part: npt.NDArray[Any], largest: float) -> Noise:
    """Measure the noise in a part of an image, (y, x) or (z, y, x), whose brightest voxel is known.

    Tiles with a voxel as bright are left out.
    """
    planes = [_tiles(plane.astype(np.float64), largest) for plane in as_volume(part)]
    mean, variance, coarse = (np.concatenate(values) for values in zip(*planes, strict=True))
    return Noise(mean, variance, coarse, grey_step(part))


def gain_of(parts: Sequence[Noise], offset: float | None) -> CameraGain:
    """Estimate the gain from the noise of an image's parts, as `estimate_gain` does.

    Raises
    ------
    DeconvError
        As `estimate_gain`.
    """
    mean, variance, coarse = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("mean", "variance", "coarse")
    )
    if mean.size < _FEWEST_TILES:
        raise DeconvError(
            f"Only {mean.size} tiles of {_TILE} × {_TILE} pixels are noisy and not saturated, at "
            f"least {_FEWEST_TILES} are needed to estimate the gain: give a larger image, or the "
            "gain itself (grey values a photon)."
        )
    if np.quantile(coarse / variance, 0.1) > _CORRELATED:
        raise DeconvError(
            "The gain cannot be estimated: the noise is alike in neighbouring pixels, as after "
            "filtering, interpolation or lossy compression, or there is nearly none. Give the raw "
            "image, or the gain itself (grey values a photon)."
        )
    result = _fit(mean, variance, offset)
    step = min((part.step for part in parts if part.step), default=0.0)
    if result.gain < _COUNTED * step and np.median(variance) < step**2 / 2:
        raise DeconvError(
            f"The gain cannot be estimated: grey values are {step:.3g} apart, which hides noise of "
            f"±{np.sqrt(np.median(variance)):.2g}. Give the gain (grey values a photon)."
        )
    return result


def _tiles(plane: Floats, largest: float) -> tuple[Floats, Floats, Floats]:
    """Mean, noise variance, and the same from pixels two apart, of each usable tile."""
    fine, coarse = (_blocks(_difference(plane, step) ** 2).mean((1, 3)).ravel() for step in (1, 2))
    mean = _blocks(plane).mean((1, 3)).ravel()
    saturated = _blocks(plane == largest).any((1, 3)).ravel()
    usable = ~saturated & (fine > 0)
    return mean[usable], fine[usable], coarse[usable]


def _difference(plane: Floats, step: int) -> Floats:
    """Fourth difference along y and x of pixels `step` apart."""
    taps = np.zeros(4 * step + 1)
    taps[::step] = _DIFFERENCE
    for axis in (0, 1):
        plane = scipy.ndimage.correlate1d(plane, taps, axis, mode="reflect")
    return plane


def _blocks(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """View as (tiles along y, pixels, tiles along x, pixels), without the edges."""
    rows, columns = (max(n - 4, 0) // _TILE for n in plane.shape)
    inside = plane[2 : 2 + rows * _TILE, 2 : 2 + columns * _TILE]
    return inside.reshape(rows, _TILE, columns, _TILE)


def _fit(mean: Floats, variance: Floats, offset: float | None) -> CameraGain:
    """Fit variance = gain × (mean − offset), each tile weighted by 1 / its fitted variance²."""
    columns = np.stack([mean, np.ones_like(mean)], axis=1)
    if offset is not None:
        columns = mean[:, None] - offset
    typical = float(np.median(variance))
    expected = np.full(mean.shape, typical)
    kept = variance < 4 * typical
    for _ in range(_ROUNDS):
        rows = columns[kept] / expected[kept, None]
        covariance = np.linalg.pinv(rows.T @ rows)
        line = covariance @ rows.T @ (variance[kept] / expected[kept])
        gain = float(line[0])
        expected = np.maximum(columns @ line, 1e-3 * typical)
        departure = np.abs(variance / expected - 1)
        # A sample variance's own scatter, and that of few photons: 1 / (photons in the tile).
        scatter = np.sqrt(2 * _CORRELATION + gain**2 / expected) / _TILE
        kept = departure < _OUTLIER * scatter
        if np.count_nonzero(kept) < _FIT_SHARE * kept.size:
            raise DeconvError(
                "The gain cannot be estimated: the image's noise does not grow with its brightness "
                "as that of photons does, or there is nearly none. Give the gain (grey values a "
                "photon)."
            )
    error = _SIGMA_PER_MAD * float(np.median(departure) * np.sqrt(covariance[0, 0]))
    if gain <= 0 or error > _PRECISE * gain:
        raise DeconvError(
            "The gain cannot be estimated: the image's parts are too alike in brightness, or their "
            "noise does not grow with it as that of photons does. Give the offset (grey value "
            "without light), or the gain itself (grey values a photon)."
        )
    return CameraGain(gain, float(-line[1] / gain) if offset is None else offset, error)
