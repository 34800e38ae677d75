"""How wide, how round and how compact a point-spread function is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from scipy.interpolate import CubicSpline

from napari_deconv._gaussian_fit import fit_gaussian
from napari_deconv.errors import DeconvError
from napari_deconv.psf.psf import Psf

__all__ = ["PsfReport", "measure_psf"]

_Floats = npt.NDArray[np.float64]

# Profiles are fitted within this many half-maximum widths of the centre, but in no fewer samples.
_FIT_WIDTHS = 3.0
_FIT_SAMPLES = 7

# Light farther from the centre than this many FWHM, in the ellipsoidal sense, is stray.
_CORE_WIDTHS = 3.0


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
    flux_outside : float
        Fraction of the sum outside of an ellipsoid whose semi-axes are three FWHM.
    """

    fwhm: tuple[float, ...]
    fwhm_half_maximum: tuple[float, ...]
    r_squared: tuple[float, ...]
    centre: tuple[float, ...]
    asymmetry: float
    flux_outside: float

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
    smooth = scipy.ndimage.gaussian_filter(psf.data, 1.0, mode="constant")
    centre = tuple(float(p) for p in np.unravel_index(np.argmax(smooth), psf.shape))
    coefficients = scipy.ndimage.spline_filter(psf.data.astype(float), order=3, mode="mirror")
    # Each round measures through the centre that the round before has found.
    for _ in range(3):
        lines = [_measure_line(coefficients, centre, axis) for axis in range(psf.ndim)]
        centre = tuple(line.centre for line in lines)
    fwhm = tuple(line.fwhm * step for line, step in zip(lines, psf.spacing, strict=True))
    return PsfReport(
        fwhm=fwhm,
        fwhm_half_maximum=tuple(
            line.half_maximum * step for line, step in zip(lines, psf.spacing, strict=True)
        ),
        r_squared=tuple(line.r_squared for line in lines),
        centre=centre,
        asymmetry=fwhm[-1] / fwhm[-2] - 1,
        flux_outside=_flux_outside(psf, centre, fwhm),
    )


@dataclass(frozen=True)
class _Line:
    """A profile's measures in voxels."""

    centre: float
    fwhm: float
    half_maximum: float
    r_squared: float


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
            return _Line(first + fit.centre, fit.fwhm, half_maximum, fit.r_squared)
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


def _flux_outside(psf: Psf, centre: tuple[float, ...], fwhm: tuple[float, ...]) -> float:
    """Fraction of the sum beyond three FWHM of the centre."""
    squares = (
        ((np.arange(size) - middle) * step / (_CORE_WIDTHS * width)) ** 2
        for size, middle, step, width in zip(psf.shape, centre, psf.spacing, fwhm, strict=True)
    )
    outside = sum(np.ix_(*squares)) > 1
    return float(psf.data.sum(where=outside, dtype=float) / psf.data.sum(dtype=float))
