"""How data differ from their model: what a Richardson–Lucy step projects back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.forward import Observation

__all__ = ["Anscombe", "Damped", "Likelihood", "Poisson"]


class Likelihood(Protocol):
    """Turns light into the ratio r of x ← x/N · Hᵀ[M·r], which is 1 where the model is right."""

    def ratio(self, engine: Engine, light: Array, observation: Observation) -> None:
        """Hx ← M·r, in place; 0 where masked."""
        ...


class Poisson:
    """r = y/u, u = Hx + b: the likelihood of photon counts (Richardson 1972; Lucy 1974)."""

    def ratio(self, engine: Engine, light: Array, observation: Observation) -> None:
        """Hx ← y/u; y is 0 where masked."""
        engine.ratio(light, observation.data, observation.background, observation.floor)


@dataclass(frozen=True)
class Damped:
    """r = 1 + D⁹(10 − 9D)·(y − u)/u, D = min(2/T²·(y·ln(y/u) − y + u), 1), in photons.

    (White, in: The Restoration of HST Images and Spectra II, STScI 1994, p. 104; with N = 10, as in
    MATLAB's ``deconvlucy``.) Where data and model differ by less than T standard deviations, D is
    below 1 and the likelihood nearly flat: noise in smooth parts is not fitted, however long one
    iterates, nor is the sum of the image beyond what noise lets tell. What differs by more is as in
    Richardson–Lucy.

    Parameters
    ----------
    damping : float
        T in standard deviations; about 3.
    photon : float
        One photon in the units of the data.
    """

    damping: float
    photon: float

    def ratio(self, engine: Engine, light: Array, observation: Observation) -> None:
        """Hx ← M·r."""
        seen, threshold = observation, self.photon * self.damping**2 / 2
        engine.damped_ratio(light, seen.data, seen.background, seen.mask, seen.floor, threshold)


@dataclass(frozen=True)
class Anscombe:
    """r = √((y + c)/(u + c)), c = 3/8 + σ², in photons: noise of the camera besides the photons'.

    2√(y + c) of Poisson data with Gaussian noise σ has a standard deviation of about 1 (Murtagh,
    Starck & Bijaoui, Astron. Astrophys. Suppl. 112, 179, 1995; Anscombe, Biometrika 35, 246, 1948).
    A step with r stays where ½‖2√(y + c) − 2√(u + c)‖² is least, and is about half as long as one
    of Richardson–Lucy.

    Parameters
    ----------
    read_noise : float
        Standard deviation of the camera's noise, in the units of the data.
    photon : float
        One photon in the units of the data.
    """

    read_noise: float
    photon: float

    def ratio(self, engine: Engine, light: Array, observation: Observation) -> None:
        """Hx ← M·r."""
        seen, offset = observation, 3 / 8 * self.photon + self.read_noise**2 / self.photon
        engine.stabilized_ratio(light, seen.data, seen.background, seen.mask, offset)
