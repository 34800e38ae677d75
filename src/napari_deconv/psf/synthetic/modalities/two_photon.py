"""Two-photon excitation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from napari_deconv.psf.synthetic.modalities.base import (
    Excited,
    Floats,
    beam_cut_offs,
    check_wavelength,
    intensity,
)
from napari_deconv.psf.synthetic.optics import Optics

__all__ = ["TwoPhoton"]


@dataclass(frozen=True, kw_only=True)
class TwoPhoton(Excited):
    """Two photons excite, all light counts: h_ex². The wavelength of emission plays no part.

    References
    ----------
    Denk et al., Science 248, 73, 1990.
    """

    camera: ClassVar[bool] = False

    @classmethod
    def from_parameters(cls, model: type[Optics], given: Mapping[str, Any]) -> Self:
        """Check what a user gave; without a wavelength the optics are those of excitation."""
        excitation = check_wavelength(given.get("excitation"), "excitation", "0.8")
        return super().from_parameters(model, {"wavelength": excitation, **given})

    def beams(self) -> tuple[Optics, ...]:
        """List the excitation."""
        return (self.exciting,)

    def cut_offs(self) -> Floats:
        """Return twice those of the excitation."""
        return 2 * beam_cut_offs(self.exciting)

    def table(self, z: Floats, step: float, count: int) -> Floats:
        """h_ex²."""
        squared: Floats = intensity(self.exciting, z, step, count) ** 2
        return squared
