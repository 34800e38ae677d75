"""Scanning with a pinhole: confocal and STED."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from napari_deconv._checks import check_number
from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.modalities.base import (
    Excited,
    Floats,
    beam_cut_offs,
    check_wavelength,
    intensity,
)
from napari_deconv.psf.synthetic.modalities.disc import disc_bytes, disc_mean, disc_steps
from napari_deconv.psf.synthetic.optics import Optics

__all__ = ["AIRY", "LARGEST_PINHOLE", "Confocal", "Sted"]

# The first zero of the Airy pattern, in λ/NA: the radius of a pinhole of one Airy unit.
AIRY = 0.61

# In Airy units. A larger pinhole collects all light that matters, and needs tables as wide as
# itself.
LARGEST_PINHOLE = 100.0


@dataclass(frozen=True, kw_only=True)
class Confocal(Excited):
    """One focused beam and one pinhole scan the specimen: h_ex·(h_em ⊗ pinhole).

    Attributes
    ----------
    pinhole : float
        Diameter in Airy units of 1.22·λ_em/NA; `math.inf` is none.
    pinhole_radius : float
        Radius, back-projected into the specimen.

    References
    ----------
    Wilson, Confocal Microscopy, Academic Press, 1990.
    """

    pinhole: float
    pinhole_radius: float

    camera: ClassVar[bool] = False

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        airy = AIRY * optics.wavelength / optics.na
        radius = own.pop("pinhole_radius", None)
        units = 1.0 if radius is None else _pinhole(radius, "pinhole_radius", airy) / airy
        given = own.get("pinhole", units)
        own["pinhole"] = _pinhole(given, "pinhole", 1.0)
        if radius is not None and not math.isclose(own["pinhole"], units):
            raise DeconvError(
                f"pinhole={given!r} (Airy units) and pinhole_radius={radius!r} (µm) are the same "
                "thing, and differ: give one."
            )
        own["pinhole_radius"] = own["pinhole"] * airy
        return super()._checked(optics, **own)

    def beams(self) -> tuple[Optics, ...]:
        """List excitation, and detection if there is a pinhole."""
        if math.isinf(self.pinhole):
            return (self.exciting,)
        return self.exciting, self.optics

    def cut_offs(self) -> Floats:
        """Add those of excitation to those of detection, as far as the pinhole passes them."""
        return beam_cut_offs(self.exciting) + self._passed(self.optics) * beam_cut_offs(self.optics)

    def _passed(self, beam: Optics) -> float:
        """Part of a beam's frequencies up to the first zero of the pinhole's transfer function."""
        if self.pinhole_radius == 0:
            return 1.0
        return min(1.0, AIRY / self.pinhole_radius / float(beam_cut_offs(beam)[1]))

    def reach(self) -> float:
        """Tell the pinhole's radius."""
        return 0.0 if math.isinf(self.pinhole) else self.pinhole_radius

    def table_bytes(self, z: Floats, step: float, count: int, expansion: int) -> int:
        """Estimate the memory, the pinhole's included."""
        radius, cut_off = self.reach(), float(beam_cut_offs(self.exciting)[1])
        pinhole = disc_bytes(radius, step * count, count, cut_off) if radius else 0
        return super().table_bytes(z, step, count, expansion) + pinhole

    def table(self, z: Floats, step: float, count: int) -> Floats:
        """h_ex·(h_em ⊗ pinhole); without a pinhole all planes are collected alike."""
        excited = intensity(self.exciting, z, step, count)
        if math.isinf(self.pinhole):
            return excited
        wide = intensity(self.optics, z, step, count + disc_steps(self.reach(), step))
        return excited * self._through_pinhole(wide, step, count, self.optics)

    def _through_pinhole(self, table: Floats, step: float, count: int, beam: Optics) -> Floats:
        """Average a beam over the pinhole around each of `count` radii."""
        return disc_mean(table, step, self.pinhole_radius, count, float(beam_cut_offs(beam)[1]))


@dataclass(frozen=True, kw_only=True)
class Sted(Confocal):
    """A doughnut switches off the rim of a confocal spot: h_ex·(h_em ⊗ pinhole)·exp(−ς·h_d).

    The doughnut h_d is focused through a spiral phase of 2π and has the largest value 1 in its
    focal plane. The spot is about √(1 + ς) times narrower than the confocal one.

    Attributes
    ----------
    depletion : float
        Wavelength of the doughnut in vacuum.
    saturation : float
        Exponent ς of depletion at the doughnut's brightest point.

    References
    ----------
    Hell and Wichmann, Opt. Lett. 19, 780, 1994;
    Westphal and Hell, Phys. Rev. Lett. 94, 143903, 2005.
    """

    depletion: float
    saturation: float = 20.0

    spiral: ClassVar[int] = 1

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        own["depletion"] = check_wavelength(own.get("depletion"), "depletion", "0.775")
        own["saturation"] = check_number(own.get("saturation", 20.0), "saturation", 0.0, 1e4)
        return super()._checked(optics, **own)

    def cut_offs(self) -> Floats:
        """Return those of the confocal spot, √(1 + ς) times higher in the plane."""
        narrower: Floats = super().cut_offs() * np.array([1.0, math.sqrt(1 + self.saturation)])
        return narrower

    def table(self, z: Floats, step: float, count: int) -> Floats:
        """Deplete the confocal spot."""
        doughnut = self._doughnut(z, step * np.arange(count, dtype=float))
        depleting = replace(self.optics, wavelength=self.depletion)
        # Its crest lies at 0.4 λ/NA, wherever the table ends.
        radii: Floats = np.linspace(0.0, self.depletion / self.optics.na, 201)
        crest = self._doughnut(np.array([depleting.best_focus()]), radii).max()
        depleted: Floats = super().table(z, step, count) * np.exp(
            -self.saturation / crest * doughnut
        )
        return depleted

    def _doughnut(self, z: Floats, radii: Floats) -> Floats:
        """Intensity of the spiral phase: every Bessel order is one higher, and the axis dark."""
        depleting = replace(self.optics, wavelength=self.depletion)
        pupil = depleting.pupil((float(z.min()), float(z.max())), float(radii[-1]))
        axis = np.zeros_like(pupil.amplitude[:1])
        return replace(pupil, amplitude=np.concatenate([axis, pupil.amplitude])).intensity(z, radii)


def _pinhole(value: Any, name: str, airy: float) -> float:
    """Take a size from 0 to 100 Airy units, or infinity; `airy` is one in the unit of `value`."""
    if str(value) == "inf":  # JSON holds it so
        return math.inf
    largest = LARGEST_PINHOLE * airy
    number = check_number(value, name, 0.0)
    if number > largest:
        raise DeconvError(
            f"{name}={number:g} is more than {LARGEST_PINHOLE:g} Airy units, {largest:.3g}: that "
            f"collects all light, as no pinhole does; pass {name}=math.inf."
        )
    return number
