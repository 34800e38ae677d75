"""Bessel functions of many whole orders at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.special

__all__ = ["bessel"]

# Above the highest order by this many, the ratio of neighbours is as good as zero.
_BEYOND = 40


def bessel(orders: int, x: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """Compute J₀(x), J₁(x), … one after the other, by their recurrence.

    Up the orders the recurrence J_{m+1} = (2m/x)·J_m − J_{m−1} is stable while m ≤ x. From there
    on the ratio J_m/J_{m−1} = x/(2m − x·J_{m+1}/J_m) is used, which is stable down the orders.

    Parameters
    ----------
    orders : int
        How many, 1 or more.
    x : ndarray of float64
        Not negative.

    Yields
    ------
    ndarray of float64
        As x, absolute error below 1e-13.

    References
    ----------
    Olver and Maximon, NIST Handbook of Mathematical Functions, section 10.74(iv).
    """
    below = scipy.special.j0(x)
    yield below
    if orders == 1:
        return
    here = scipy.special.j1(x)
    yield here
    small = x < orders
    large, few = ~small, x[small]
    ratios = _ratios(orders, few)
    for m in range(1, orders - 1):
        above = np.zeros_like(x)
        np.divide(2 * m, x, out=above, where=large)
        above *= here
        above -= below
        up = 2 * m / np.maximum(few, m) * here[small] - below[small]
        above[small] = np.where(few < m, here[small] * ratios[m + 1], up)
        yield above
        below, here = here, above


def _ratios(orders: int, x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """J_m/J_{m−1} of each order m, right wherever x < m."""
    ratios = np.zeros((orders, *x.shape))
    ratio = np.zeros_like(x)
    for m in range(orders + _BEYOND, 0, -1):
        clipped = np.minimum(x, m)
        ratio = clipped / (2 * m - clipped * ratio)
        if m < orders:
            ratios[m] = ratio
    return ratios
