"""Bessel functions of many whole orders at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.special

__all__ = ["bessel"]

# Above the highest order by this many, the ratio of neighbours is as good as zero.
_BEYOND = 40


def bessel(orders: int, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Compute J₀ … of as many orders, by their recurrence.

    Up the orders the recurrence J_{m+1} = (2m/x)·J_m − J_{m−1} is stable while m ≤ x. From there
    on the ratio J_m/J_{m−1} = x/(2m − x·J_{m+1}/J_m) is used, which is stable down the orders.

    Parameters
    ----------
    orders : int
        How many, 1 or more.
    x : ndarray of float64
        Not negative.

    Returns
    -------
    ndarray of float64
        Shape (orders, …), absolute error below 1e-14.

    References
    ----------
    Olver and Maximon, NIST Handbook of Mathematical Functions, section 10.74(iv).
    """
    values = np.empty((orders, *x.shape))
    scipy.special.j0(x, out=values[0])
    if orders == 1:
        return values
    scipy.special.j1(x, out=values[1])
    small = x < orders
    large, few = ~small, x[small]
    ratios = _ratios(orders, few)
    for m in range(1, orders - 1):
        above = values[m + 1]
        np.divide(2 * m, x, out=above, where=large)
        np.multiply(above, values[m], out=above, where=large)
        np.subtract(above, values[m - 1], out=above, where=large)
        below, here = values[m - 1][small], values[m][small]
        up = 2 * m * here / np.maximum(few, m) - below
        above[small] = np.where(few < m, here * ratios[m + 1], up)
    return values


def _ratios(orders: int, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """J_m/J_{m−1} wherever x < m."""
    ratios = np.zeros((orders, *x.shape))
    ratio = np.zeros_like(x)
    for m in range(orders + _BEYOND, 0, -1):
        clipped = np.minimum(x, m)
        ratio = clipped / (2 * m - clipped * ratio)
        if m < orders:
            ratios[m] = ratio
    return ratios
