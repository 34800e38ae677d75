"""Least-squares fit of a Gaussian to a line profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import leastsq

__all__ = ["FWHM_PER_SIGMA", "GaussianFit", "fit_gaussian"]

FWHM_PER_SIGMA = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian with σ = 1."""

_PARAMETERS = 4
_TOLERANCE = 1e-6
_MOST_EVALUATIONS = 100
_CONVERGED = (1, 2, 3, 4)  # MINPACK's lmder


@dataclass(frozen=True)
class GaussianFit:
    """A Gaussian on an offset, A·exp(−(x − c)²/2σ²) + B, in samples of the profile.

    Attributes
    ----------
    amplitude, centre, fwhm, offset : float
        A, c, 2.3548·σ and B.
    r_squared : float
        Share of the profile's variance that the fit explains; at most 1.
    """

    amplitude: float
    centre: float
    fwhm: float
    offset: float
    r_squared: float


def fit_gaussian(profile: npt.ArrayLike) -> GaussianFit | None:
    """Fit a Gaussian on an offset to a profile.

    Parameters
    ----------
    profile : array_like
        One-dimensional, finite, equally spaced samples.

    Returns
    -------
    GaussianFit or None
        None if there is no peak to fit: too few samples, a flat profile, no convergence, or a peak
        that is negative, lies outside, or is wider than the profile.
    """
    y = np.asarray(profile, dtype=np.float64)
    x, ones = np.arange(y.size, dtype=np.float64), np.ones(y.size)
    height = np.ptp(y)
    if y.size <= _PARAMETERS or height == 0:
        return None
    above = np.count_nonzero(y > y.min() + height / 2)
    start = (height, float(np.argmax(y)), above / FWHM_PER_SIGMA, y.min())

    def residual(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        model: npt.NDArray[np.float64] = p[0] * np.exp(-0.5 * ((x - p[1]) / p[2]) ** 2) + p[3]
        return model - y

    def jacobian(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        u = (x - p[1]) / p[2]
        bell = np.exp(-0.5 * u**2)
        slope = p[0] * bell * u / p[2]
        return np.array([bell, slope, slope * u, ones])

    # leastsq, as least_squares takes four times as long to call the same MINPACK.
    with np.errstate(all="ignore"):
        found, _, about, _, status = leastsq(
            residual, start, Dfun=jacobian, col_deriv=True, full_output=True,
            maxfev=_MOST_EVALUATIONS, ftol=_TOLERANCE, xtol=_TOLERANCE, gtol=_TOLERANCE,
        )  # fmt: skip
    amplitude, centre, sigma, offset = found
    fwhm = abs(sigma) * FWHM_PER_SIGMA
    outside = not 0 <= centre <= y.size - 1
    if status not in _CONVERGED or amplitude <= 0 or outside or fwhm > y.size:
        return None
    r_squared = 1.0 - float(np.sum(about["fvec"] ** 2) / np.sum((y - y.mean()) ** 2))
    return GaussianFit(*(float(v) for v in (amplitude, centre, fwhm, offset, r_squared)))
