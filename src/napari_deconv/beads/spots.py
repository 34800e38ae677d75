"""Bright spots of about the size of a bead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label

from napari_deconv._checks import as_volume
from napari_deconv._gaussian_fit import FWHM_PER_SIGMA, fit_gaussian
from napari_deconv._noise import smallest_height
from napari_deconv.beads.measure import is_hot_pixel
from napari_deconv.engines.protocol import Array, Engine

__all__ = ["centres", "find_spots", "spot_size"]

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_TOP_PERCENTILE = 99.9
_TOP_SHARE = 0.1

_BRIGHTEST = 50
_NOISE_SIGMA = 1.0  # voxels
_BACKGROUND_SIGMA = 10.0  # voxels
_APART = 3.0  # voxels
_WORST_FIT = 0.5  # R²
_AS_GOOD = 0.1  # R² below the best


def find_spots(
    image: Floats, fwhm: Doubles, threshold: float | None, engine: Engine
) -> tuple[Doubles, Floats]:
    """Find local maxima of a difference of Gaussians, at least one FWHM apart.

    Parameters
    ----------
    image : ndarray of float32 (z, y, x) or (y, x)
        The image.
    fwhm : ndarray (3,) or (2,)
        Expected full width at half maximum in voxels.
    threshold : float, optional
        Height above its surroundings, in grey values, that a spot must have. Default: the largest
        of 6 times the noise, 5 steps of the grey values and 10 % of the 99.9 percentile.
    engine : Engine
        Where to compute.

    Returns
    -------
    positions : ndarray (n, 3) or (n, 2)
        In voxels.
    heights : ndarray (n,)
        Above their surroundings, in grey values.
    """
    response, peaks = _difference_of_gaussians(image, fwhm, engine)
    if threshold is None:
        bright = float(np.percentile(response, _TOP_PERCENTILE))
        threshold = max(smallest_height(response, image), _TOP_SHARE * bright)
    peaks &= response > threshold
    regions, _ = label(peaks, np.ones((3,) * peaks.ndim))  # equal voxels that touch are one
    positions = centres(regions)
    return positions, response[tuple(np.rint(positions).astype(int).T)]


def spot_size(image: Floats, engine: Engine) -> Doubles | None:
    """Measure the FWHM in voxels of the brightest spots: the median of the best Gaussian fits.

    Returns
    -------
    ndarray (3,) or (2,), or None
        None if nothing in the image looks like a spot.
    """
    source = _upload(image, engine)
    fine = engine.gaussian(source, _lift(np.full(image.ndim, _NOISE_SIGMA)))
    coarse = engine.gaussian(source, _lift(np.full(image.ndim, _BACKGROUND_SIGMA)))
    engine.combine(fine, 1.0, coarse, -1.0, source)
    contrast, peaks = _maxima(source, np.full(image.ndim, _APART), image.shape, engine)
    places = np.argwhere(peaks & (contrast > smallest_height(contrast, image)))
    brightest = np.argsort(-contrast[tuple(places.T)], kind="stable")[:_BRIGHTEST]
    fits = [_fit_spot(place, image, contrast) for place in places[brightest]]
    sizes = np.array([size for size, _ in fits]).reshape(-1, image.ndim)
    quality = np.array([r_squared for _, r_squared in fits])
    best = quality.max(initial=0.0)
    if best < _WORST_FIT:
        return None
    typical: Doubles = np.median(sizes[quality > best - _AS_GOOD], axis=0)
    return typical


def _fit_spot(
    place: npt.NDArray[np.intp], image: Floats, contrast: Floats
) -> tuple[Doubles, float]:
    """FWHM along each axis, fitted over ±1.5 of the width at half contrast, and the lowest R²."""
    size = np.zeros(image.ndim)
    quality = 1.0
    for axis, centre in enumerate(place):
        line = tuple(slice(None) if i == axis else p for i, p in enumerate(place))
        below = np.flatnonzero(contrast[line] < contrast[tuple(place)] / 2)
        left = int(below[below < centre].max(initial=-1))
        right = int(below[below > centre].min(initial=image.shape[axis]))
        reach = int(np.ceil(1.5 * (right - left)))
        fit = fit_gaussian(image[line][max(0, centre - reach) : centre + reach + 1])
        if fit is None:
            return size, 0.0
        size[axis] = fit.fwhm
        quality = min(quality, fit.r_squared)
    return size, 0.0 if is_hot_pixel(size) else quality


def _difference_of_gaussians(
    image: Floats, fwhm: Doubles, engine: Engine
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Band-pass at the size of a bead, scaled so that a Gaussian bead keeps its height."""
    sigma = fwhm / FWHM_PER_SIGMA
    source = _upload(image, engine)
    narrow = engine.gaussian(source, _lift(sigma / np.sqrt(2)))
    wide = engine.gaussian(source, _lift(sigma * np.sqrt(2)))
    engine.combine(narrow, 1.0, wide, -1.0, source)
    response, peaks = _maxima(source, fwhm, image.shape, engine)
    # A Gaussian of width σ on n axes, blurred by σ/√2 and by σ·√2, is (2/3)^(n/2) and (1/3)^(n/2)
    # as high.
    kept = (2 / 3) ** (image.ndim / 2) - (1 / 3) ** (image.ndim / 2)
    response /= kept
    return response, peaks


def _maxima(
    source: Array, separation: Doubles, shape: tuple[int, ...], engine: Engine
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Bring an image to the host together with its local maxima."""
    size = tuple(int(2 * np.rint(length)) + 1 for length in _lift(separation))
    values = engine.to_numpy(source).reshape(shape)
    return values, values == engine.to_numpy(engine.maximum(source, size)).reshape(shape)


def centres(regions: npt.NDArray[np.integer]) -> Doubles:
    """Centres of the regions 1, 2, … of an image, in voxels."""
    axes = np.nonzero(regions)
    region = regions[axes] - 1
    sizes = np.bincount(region)
    return np.stack([np.bincount(region, axis) / sizes for axis in axes], axis=1)


def _upload(image: Floats, engine: Engine) -> Array:
    engine.require(6 * image.nbytes, image.nbytes, "Detecting beads")
    return engine.asarray(as_volume(image))


def _lift(lengths: Doubles) -> tuple[float, ...]:
    return (0.0,) * (3 - len(lengths)) + tuple(lengths.tolist())
