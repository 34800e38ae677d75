"""How wide, how round and how compact a point-spread function is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage
from scipy.interpolate import CubicSpline

from napari_deconv._gaussian_fit import GaussianFit, fit_gaussian
from napari_deconv.errors import DeconvError
from napari_deconv.psf.psf import Psf

__all__ = [
    "Profile",
    "PsfReport",
    "axis_profiles",
    "measure_psf",
    "outside_core",
    "radial_contrast",
]

_Floats = npt.NDArray[np.float64]

# Profiles are fitted within this many half-maximum widths of the centre, but in no fewer samples.
_FIT_WIDTHS = 3.0
_FIT_SAMPLES = 7

# Light farther from the centre than this many FWHM, in the ellipsoidal sense, is stray.
_CORE_WIDTHS = 3.0

# The tilt is that of the planes within one FWHM of the centre, so many FWHM to the sides.
_AXIS_WIDTHS = 1.5

# Contrast at which details are lost in noise: the convention "MTF10".
_LOST = 0.1

# Planes are padded to so many voxels: the rings of the spectrum are then narrow.
_SPECTRUM_SIZE = 256


@dataclass(frozen=True)
class PsfReport:
    """What `measure_psf` found; tuples are (z, y, x) or (y, x).

    Attributes
    ----------
    fwhm : tuple of float
        Full width at half maximum, µm, of Gaussians fitted to the profiles.
    fwhm_half_maximum : tuple of float
        Width in µm between the points where the profile has half of its peak's height above 0.
    r_squared : tuple of float
        Goodness of the fits, 1 for a Gaussian.
    centre : tuple of float
        Position of the peak in voxels.
    asymmetry : float
        FWHM x over FWHM y, minus 1.
    tilt : tuple of float
        How far the centroid of the planes moves along (y, x) per distance along z, µm/µm; ``()``
        for a plane, and where fewer than three planes lie within one FWHM of the centre.
    focal_shift : float or None
        Distance in µm along z from the middle plane, n // 2, to the centre; None for a plane.
    flux_outside : float
        Fraction of the sum outside of an ellipsoid whose semi-axes are three FWHM.
    mtf10 : float or None
        Frequency in cycles/µm at which the contrast in the plane of focus has fallen to a tenth
        (see `radial_contrast`); None if it has not up to the Nyquist frequency.
    """

    fwhm: tuple[float, ...]
    fwhm_half_maximum: tuple[float, ...]
    r_squared: tuple[float, ...]
    centre: tuple[float, ...]
    asymmetry: float
    tilt: tuple[float, ...]
    focal_shift: float | None
    flux_outside: float
    mtf10: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, tuples as lists, as JSON can hold them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def measure_psf(
    psf: Psf | npt.ArrayLike, spacing: float | Sequence[float] | None = None
) -> PsfReport:
    """Measure the widths, centre and shape of a point-spread function.

    Profiles along the axes are taken through the sub-pixel centre. A Gaussian with an offset is
    fitted to each by least squares; the half-maximum width needs no model.

    Parameters
    ----------
    psf : Psf or array_like
        The PSF, (z, y, x) or (y, x), without background.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm; needed for a bare array.

    Returns
    -------
    PsfReport
        Widths in µm, positions in voxels.

    Raises
    ------
    DeconvError
        If there is no voxel size, the array is no PSF, or it does not fall to half of its peak
        within its window.
    """
    if not isinstance(psf, Psf) or spacing is not None:
        psf = Psf(psf, spacing)
    lines = _lines(psf)
    centre = tuple(line.centre for line in lines)
    fwhm = tuple(line.fit.fwhm * step for line, step in zip(lines, psf.spacing, strict=True))
    stack = psf.ndim == 3
    return PsfReport(
        fwhm=fwhm,
        fwhm_half_maximum=tuple(
            line.half_maximum * step for line, step in zip(lines, psf.spacing, strict=True)
        ),
        r_squared=tuple(line.fit.r_squared for line in lines),
        centre=centre,
        asymmetry=fwhm[-1] / fwhm[-2] - 1,
        tilt=_tilt(psf, centre, fwhm) if stack else (),
        focal_shift=(centre[0] - psf.shape[0] // 2) * psf.spacing[0] if stack else None,
        flux_outside=_flux_outside(psf, centre, fwhm),
        mtf10=_lost_frequency(*_radial_contrast(psf, centre)),
    )


@dataclass(frozen=True, eq=False)
class Profile:
    """A line through the centre of a PSF, along one axis.

    Attributes
    ----------
    axis : str
        ``"z"``, ``"y"`` or ``"x"``.
    positions : ndarray
        Where its samples lie, µm from the centre of the fit.
    values : ndarray
        Relative to the largest one.
    fit : GaussianFit
        In µm and parts of the largest value.
    """

    axis: str
    positions: _Floats
    values: _Floats
    fit: GaussianFit


def axis_profiles(psf: Psf) -> tuple[Profile, ...]:
    """Take the profiles that `measure_psf` fits, along every axis.

    Parameters
    ----------
    psf : Psf
        The PSF.

    Raises
    ------
    DeconvError
        As `measure_psf`.
    """
    profiles = []
    for axis, line, step in zip("zyx"[-psf.ndim :], _lines(psf), psf.spacing, strict=True):
        top, fit = line.values.max(), line.fit
        scaled = replace(
            fit, amplitude=fit.amplitude / top, offset=fit.offset / top, centre=0.0,
            fwhm=fit.fwhm * step,
        )  # fmt: skip
        positions = np.arange(line.values.size, dtype=float) - line.centre
        profiles.append(Profile(axis, positions * step, line.values / top, scaled))
    return tuple(profiles)


def radial_contrast(psf: Psf) -> tuple[_Floats, _Floats]:
    """Measure how much contrast the plane of focus passes on, by spatial frequency.

    It is the modulus of the plane's Fourier transform, 1 at the frequency 0, as root mean square
    over all directions; its square is the radial power spectrum.

    Parameters
    ----------
    psf : Psf
        The PSF.

    Returns
    -------
    frequency : ndarray
        In cycles/µm, from 0 to the Nyquist frequency of the larger pixel side.
    contrast : ndarray
        Of the same length, float64.

    Raises
    ------
    DeconvError
        As `measure_psf`.
    """
    return _radial_contrast(psf, tuple(line.centre for line in _lines(psf)))


@dataclass(frozen=True)
class _Line:
    """A profile and its measures in voxels."""

    values: _Floats
    centre: float
    half_maximum: float
    fit: GaussianFit


def _lines(psf: Psf) -> list[_Line]:
    """Measure the profiles along the axes through the sub-pixel centre."""
    smooth = scipy.ndimage.gaussian_filter(psf.data, 1.0, mode="constant")
    centre = tuple(float(p) for p in np.unravel_index(np.argmax(smooth), psf.shape))
    coefficients = scipy.ndimage.spline_filter(psf.data.astype(float), order=3, mode="mirror")
    # Each round measures through the centre that the round before has found.
    for _ in range(3):
        lines = [_measure_line(coefficients, centre, axis) for axis in range(psf.ndim)]
        centre = tuple(line.centre for line in lines)
    return lines


def _measure_line(coefficients: _Floats, centre: tuple[float, ...], axis: int) -> _Line:
    """Measure the profile along one axis through a sub-pixel point of a cubic spline volume."""
    size = coefficients.shape[axis]
    points = [np.full(size, position) for position in centre]
    points[axis] = np.arange(size, dtype=float)
    profile = scipy.ndimage.map_coordinates(coefficients, points, prefilter=False, mode="mirror")
    half_maximum = _half_maximum(profile, centre[axis])
    if half_maximum is not None:
        reach = max(_FIT_WIDTHS * half_maximum, _FIT_SAMPLES / 2)
        first = max(math.ceil(centre[axis] - reach), 0)
        fit = fit_gaussian(profile[first : math.floor(centre[axis] + reach) + 1])
        if fit is not None:
            return _Line(profile, first + fit.centre, half_maximum, fit)
    raise DeconvError(
        f"The PSF has no peak with flanks along {'zyx'[axis - len(centre)]} within its {size} "
        "voxels: give a larger window, or subtract the background."
    )


def _half_maximum(profile: _Floats, peak: float) -> float | None:
    """Width in samples between the half-maximum points of a spline on either side of the peak."""
    if profile.size < 3:
        return None
    spline = CubicSpline(np.arange(profile.size), profile)
    height = max(profile.max(), spline(spline.derivative().roots(extrapolate=False)).max())
    crossings = spline.solve(height / 2, extrapolate=False)
    below, above = crossings[crossings < peak], crossings[crossings > peak]
    return float(above.min() - below.max()) if below.size and above.size else None


def outside_core(
    psf: Psf, centre: tuple[float, ...], fwhm: tuple[float, ...]
) -> npt.NDArray[np.bool_]:
    """Find the voxels outside of an ellipsoid whose semi-axes are three FWHM.

    Parameters
    ----------
    psf : Psf
        The PSF.
    centre : tuple of float
        In voxels.
    fwhm : tuple of float
        In µm.

    Returns
    -------
    ndarray of bool
        In the shape of the PSF.
    """
    squares = (
        ((np.arange(size) - middle) * step / (_CORE_WIDTHS * width)) ** 2
        for size, middle, step, width in zip(psf.shape, centre, psf.spacing, fwhm, strict=True)
    )
    return np.asarray(sum(np.ix_(*squares)) > 1)


def _flux_outside(psf: Psf, centre: tuple[float, ...], fwhm: tuple[float, ...]) -> float:
    """Fraction of the sum beyond three FWHM of the centre."""
    outside = psf.data.sum(where=outside_core(psf, centre, fwhm), dtype=float)
    return float(outside / psf.data.sum(dtype=float))


def _tilt(psf: Psf, centre: tuple[float, ...], fwhm: tuple[float, ...]) -> tuple[float, ...]:
    """Fit a line to the centroids of the planes near the centre, weighted by their peaks."""
    reach = [
        width * factor / step
        for width, factor, step in zip(fwhm, (1.0, *[_AXIS_WIDTHS] * 2), psf.spacing, strict=True)
    ]
    first, top, left = (
        max(math.ceil(middle - r), 0) for middle, r in zip(centre, reach, strict=True)
    )
    last, bottom, right = (
        math.floor(middle + r) + 1 for middle, r in zip(centre, reach, strict=True)
    )
    planes = psf.data[first:last, top:bottom, left:right].astype(float)
    peaks = planes.max(axis=(1, 2))
    if np.count_nonzero(peaks) < 3:
        return ()
    bright = planes[peaks > 0] ** 2  # what is faint around the core hardly counts
    weights = np.sqrt(peaks[peaks > 0])
    places = np.array([scipy.ndimage.center_of_mass(plane) for plane in bright])
    z = np.flatnonzero(peaks) * psf.spacing[0]
    slopes = np.polyfit(z, places * psf.spacing[1:], 1, w=weights)[0]
    return tuple(slopes.tolist())


def _radial_contrast(psf: Psf, centre: tuple[float, ...]) -> tuple[_Floats, _Floats]:
    plane = psf.data if psf.ndim == 2 else psf.data[round(centre[0])]
    shape = [max(n, _SPECTRUM_SIZE) for n in plane.shape]
    power = np.abs(scipy.fft.rfft2(plane.astype(float), shape)) ** 2
    radius = np.hypot(
        scipy.fft.fftfreq(shape[0], psf.spacing[-2])[:, np.newaxis],
        scipy.fft.rfftfreq(shape[1], psf.spacing[-1]),
    )
    width = max(1 / (n * step) for n, step in zip(shape, psf.spacing[-2:], strict=True))
    ring = np.rint(radius / width).astype(int)
    seen = ring <= 0.5 / max(psf.spacing[-2:]) / width
    counts = np.bincount(ring[seen])
    frequency = np.bincount(ring[seen], radius[seen]) / counts
    mean = np.bincount(ring[seen], power[seen]) / counts
    return frequency, np.sqrt(mean / mean[0])


def _lost_frequency(frequency: _Floats, contrast: _Floats) -> float | None:
    """Find where the contrast first falls to a tenth, by linear interpolation."""
    below = np.flatnonzero(contrast < _LOST)
    if not below.size:
        return None
    after = below[0]
    pair = slice(after - 1, after + 1)
    return float(np.interp(-_LOST, -contrast[pair], frequency[pair]))
