"""The light sheet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import scipy.special

from napari_deconv._checks import check_choice, check_number
from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.modalities.base import Excited, Floats, beam_cut_offs, intensity
from napari_deconv.psf.synthetic.optics import Optics

__all__ = ["LightSheet", "Sheet"]

Sheet = Literal["gaussian", "scanned"]


@dataclass(frozen=True, kw_only=True)
class LightSheet(Excited):
    """A sheet from the side lights the plane in focus: h_em·E(z).

    Attributes
    ----------
    illumination_na : float
        Numerical aperture NA_i of the illumination.
    sheet : {"gaussian", "scanned"}
        A Gaussian sheet, E = exp(−2·z²/w²), is 2·w = 2·λ_ex/(π·NA_i) = 0.64·λ_ex/NA_i thick; a
        scanned Gaussian beam leaves the same. ``"scanned"`` is a scanned beam that fills its round
        aperture: the line spread function of an Airy disc, E = (3π/8)·H₁(2v)/v², v = k·NA_i·z, H₁
        a Struve function.

    References
    ----------
    H. Struve, Ann. Phys. 17, 1008, 1882 (the image of a line).
    """

    illumination_na: float
    sheet: Sheet = "gaussian"

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        if "illumination_na" not in own:
            raise DeconvError(
                "illumination_na is missing: give the aperture of the light sheet, for example "
                "illumination_na=0.1; a sheet of thickness d (1/e²) has 0.64·excitation/d."
            )
        check_choice(own.get("sheet", "gaussian"), ("gaussian", "scanned"), "sheet")
        na = own["illumination_na"] = check_number(own["illumination_na"], "illumination_na", 0.0)
        if not 1e-3 <= na < optics.n_immersion:
            raise DeconvError(
                f"illumination_na={na:g} is no aperture: expected a number from 0.001 to below "
                f"n_immersion={optics.n_immersion:g}."
            )
        return super()._checked(optics, **own)

    def cut_offs(self) -> Floats:
        """Return those of detection, and along z that of the sheet added."""
        sheet = 2 * self.illumination_na / self.excitation
        cut_offs: Floats = beam_cut_offs(self.optics) + np.array([sheet, 0.0])
        return cut_offs

    def table(self, z: Floats, step: float, count: int) -> Floats:
        """h_em·E(z), the sheet in the best focus."""
        return intensity(self.optics, z, step, count) * self._light(z)[:, np.newaxis]

    def plane_light(self, z: Floats, table: Floats, step: float) -> Floats:
        """As much as the sheet gives."""
        return self._light(z)

    def _light(self, z: Floats) -> Floats:
        """E(z)."""
        v = 2 * math.pi / self.excitation * self.illumination_na * (z - self.optics.best_focus())
        if self.sheet == "gaussian":
            gaussian: Floats = np.exp(-(v**2) / 2)
            return gaussian
        v = np.maximum(np.abs(v), 1e-4)
        airy: Floats = 3 * math.pi / 8 * scipy.special.struve(1, 2 * v) / v**2
        return airy
