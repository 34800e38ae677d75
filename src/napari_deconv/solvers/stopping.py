"""When to stop iterating: before the noise is fitted, and with a reason.

A rule is told at every check, each fifth iteration, how well the model u = Hx + b fits the data.
It is handed plain numbers and knows no arrays; what it needs besides the discrepancy
D = 2·mean[y·ln(y/u) − y + u], y and u in photons, it says in `holds_out`.
"""

from __future__ import annotations

from functools import cache
from math import inf
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.ndimage

__all__ = [
    "STOPS",
    "Consensus",
    "Discrepancy",
    "Endless",
    "Quality",
    "Stopping",
    "expected_discrepancy",
    "make_stopping",
]

STOPS = (None, "discrepancy", "quality", "consensus")


class Stopping(Protocol):
    """Tells when a run has gone on for long enough."""

    holds_out: bool
    """Whether to reconstruct from a part of the photons, and to tell how well the rest is met."""
    best: int | None
    """Iteration whose estimate to give back; None for the last one. The estimate is to be kept when
    this becomes the iteration just checked."""

    def check(self, iteration: int, discrepancy: float, held_out: float) -> str | None:
        """Judge an estimate.

        Parameters
        ----------
        iteration : int
            Steps done; 0 for the start, then growing.
        discrepancy : float
            D between the data that are fitted and the model.
        held_out : float
            The same for the photons kept aside, in any unit; NaN unless `holds_out`.

        Returns
        -------
        str or None
            Why to stop now; None to go on.
        """
        ...


class Endless:
    """Go on to the last iteration."""

    holds_out = False
    best: int | None = None

    def check(self, iteration: int, discrepancy: float, held_out: float) -> str | None:
        """Go on."""
        return None


class Discrepancy:
    """Stop when the model is as far from the data as noise alone would be: D ≤ E[D].

    (Bertero, Boccacci, Talenti, Zanella & Zanni, Inverse Probl. 26, 105004, 2010.)

    Parameters
    ----------
    expected : float
        E[D] of the true model, from `expected_discrepancy`; 1 for more than some ten photons a
        voxel.
    """

    holds_out = False
    best: int | None = None
    _MINIMUM = 5

    def __init__(self, expected: float = 1.0) -> None:
        self._expected = expected

    def check(self, iteration: int, discrepancy: float, held_out: float) -> str | None:
        """Compare D with what noise makes."""
        if iteration < self._MINIMUM or discrepancy > self._expected:
            return None
        return (
            f"stopped after {iteration} iterations: the blurred estimate differs from the image by "
            f"no more than photon noise does (discrepancy {discrepancy:.3f}, noise alone "
            f"{self._expected:.3f})"
        )


class Quality:
    """Stop when the fit hardly improves: Q = D₀/D grows by less than 1 % from check to check."""

    holds_out = False
    best: int | None = None
    _MINIMUM = 10
    _LEAST_GAIN = 0.01

    def __init__(self) -> None:
        self._last = inf

    def check(self, iteration: int, discrepancy: float, held_out: float) -> str | None:
        """Compare Q with that of the last check."""
        # ΔQ/Q with Q = D₀/D, whatever D₀.
        gain = 1 - discrepancy / self._last
        self._last = discrepancy
        if iteration < self._MINIMUM or gain >= self._LEAST_GAIN:
            return None
        return (
            f"stopped after {iteration} iterations: the last ones made the fit to the image better "
            f"by less than {self._LEAST_GAIN:.0%} (quality)"
        )


class Consensus:
    """Stop when the estimate no longer comes nearer to photons it has not seen.

    The photons are split at random into two images of the same specimen with independent noise. One
    is deconvolved, the other tells whether a step found more of the specimen or only fitted the
    noise. The estimate that met it best is the result (Coakley, IEEE Trans. Nucl. Sci. 38, 9,
    1991). See `split_photons`.
    """

    holds_out = True
    _MINIMUM = 5

    def __init__(self) -> None:
        self.best: int | None = None
        self._least = inf

    def check(self, iteration: int, discrepancy: float, held_out: float) -> str | None:
        """Compare with the best check so far."""
        if iteration < self._MINIMUM:
            return None
        if held_out < self._least:
            self.best, self._least = iteration, held_out
            return None
        return (
            f"stopped after {iteration} iterations with the result of iteration {self.best}: what "
            "came after it was only noise (consensus)"
        )


def make_stopping(name: str | None, expected: float = 1.0) -> Stopping:
    """Make one of `STOPS`; `expected` is what ``"discrepancy"`` compares with."""
    if name == "discrepancy":
        return Discrepancy(expected)
    if name == "quality":
        return Quality()
    return Consensus() if name == "consensus" else Endless()


def expected_discrepancy(
    photons: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None = None
) -> float:
    """Expect the discrepancy D between an image and its true model: 1 but for few photons.

    E[2(y·ln(y/u) − y + u)] for y ~ Poisson(u) is 1 + 1/(6u) for large u, has a maximum of 1.16 at
    1.4 photons and tends to 0 in the dark. It is averaged over the voxels, u taken as the mean of 3
    voxels along each axis.

    Parameters
    ----------
    photons : ndarray
        The image in photons (z, y, x) or (y, x), not negative.
    mask : ndarray of bool, optional
        Of the same shape; False leaves voxels out.
    """
    light, expected = _deviances()
    mean = scipy.ndimage.uniform_filter(photons.astype(np.float32), 3)
    values = np.interp(np.log(np.maximum(mean, light[0])), np.log(light), expected)
    return float(values.mean() if mask is None else values[mask].mean())


@cache
def _deviances() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Tabulate E[2(y·ln(y/u) − y + u)], y ~ Poisson(u), for u from 1e-5 to 1000 photons."""
    light = np.geomspace(1e-5, 1e3, 161)
    expected = 1 + 1 / (6 * light) + 1 / (6 * light**2)
    counts = np.arange(1, 200)
    log_factorial = np.cumsum(np.log(counts))
    for index in np.flatnonzero(light < 50):
        u = light[index]
        probability = np.exp(counts * np.log(u) - u - log_factorial)
        # E[u − y] = 0, and y·ln y vanishes at y = 0.
        expected[index] = 2 * np.sum(probability * counts * np.log(counts / u))
    return light, expected
