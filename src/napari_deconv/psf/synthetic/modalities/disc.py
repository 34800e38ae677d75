"""Light through a round hole: radial tables averaged over discs."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse
from scipy.interpolate import BSpline, make_interp_spline

from napari_deconv.psf.synthetic.modalities.base import Floats

__all__ = ["disc_bytes", "disc_mean", "disc_steps"]

# Tables reach this many steps beyond the discs they are averaged over.
_MARGIN = 4

# The blur by a disc of less than this part of a table's step is 1e-7 or less.
_POINT = 1e-3

# Angles beyond those that the band limit needs: the error is then rounding.
_MORE_ANGLES = 16


def disc_mean(table: Floats, step: float, radius: float, count: int, cut_off: float) -> Floats:
    """Average a rotationally symmetric function over discs centred at the first `count` radii.

    With M(ρ) the mean over a disc of radius ρ around the axis, the divergence theorem gives the
    mean over a disc of radius a at the distance r from it as

        (1/π)·∫₀^π M(ρ)·(1 + (r/a)·cosθ) dθ,   ρ² = r² + a² + 2·r·a·cosθ.

    The integrand is periodic and as smooth as the band limit of the function: equal steps of θ
    converge exponentially.

    Parameters
    ----------
    table : ndarray of float64
        Values (z, r) at the radii 0, step, 2·step, …, which reach beyond the last disc.
    step : float
        Radial step, µm.
    radius : float
        Radius a of the discs, µm.
    count : int
        How many radii the result has.
    cut_off : float
        Highest frequency in the function, per µm.

    Returns
    -------
    ndarray of float64
        Means, (z, `count`).
    """
    if radius < _POINT * step:
        return table[:, :count]
    radii = step * np.arange(table.shape[1])
    moment = make_interp_spline(radii, table * radii, k=3, axis=1, bc_type="natural")
    mean = np.array(table)
    mean[:, 1:] = 2 * moment.antiderivative()(radii[1:]) / radii[1:] ** 2
    spline = make_interp_spline(radii, mean, k=3, axis=1, bc_type="clamped")

    r = radii[:count]
    angles = _angles(radius, float(r[-1]), cut_off)
    cosine = np.cos((np.arange(angles) + 0.5) * math.pi / angles)
    along = np.outer(r, cosine)
    distance = np.sqrt(np.maximum(r[:, np.newaxis] ** 2 + radius**2 + 2 * radius * along, 0))
    weight = (1 + along / radius) / angles
    taps = BSpline.design_matrix(distance.ravel(), spline.t, 3)
    sums = scipy.sparse.csr_array(
        (weight.ravel(), np.arange(weight.size), angles * np.arange(count + 1))
    )
    means = np.asarray((sums @ taps) @ spline.c)
    return means.T


def disc_steps(radius: float, step: float) -> int:
    """Count how many radii a table needs beyond the last disc's centre."""
    return math.ceil(radius / step) + _MARGIN


def disc_bytes(radius: float, last: float, count: int, cut_off: float) -> int:
    """Estimate the memory of `disc_mean` beside its tables; `last` is the last of the radii."""
    # Measured: a number for each angle and radius, and two for each of its four taps.
    return 150 * count * _angles(radius, last, cut_off)


def _angles(radius: float, last: float, cut_off: float) -> int:
    """How many angles resolve the highest frequency on the way around a disc."""
    return math.ceil(math.pi * cut_off * min(radius, last)) + _MORE_ANGLES
