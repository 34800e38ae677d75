"""Scalar models: one amplitude, the same for all polarisations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_deconv.psf.synthetic.optics.base import Complex, Floats, Optics, Pupil, gauss_legendre
from napari_deconv.psf.synthetic.optics.layers import Layers

__all__ = ["BornWolf", "GibsonLanni"]


@dataclass(frozen=True, kw_only=True)
class BornWolf(Optics):
    """Paraxial and unaberrated: I = |∫₀¹ J₀(k·NA·r·ρ)·exp(−i·k·NA²·z·ρ²/(2n))·ρ dρ|².

    References
    ----------
    Born and Wolf, Principles of Optics, section 8.8.
    """

    @property
    def axial_range(self) -> float:
        """NA²/(2n)."""
        return self.na**2 / (2 * self.n_immersion)

    def cone_radius(self, z: float) -> float:
        """Radius |z|·NA/n of the cone of rays at defocus z."""
        return abs(z) * self.na / self.n_immersion

    def pupil(self, z: tuple[float, float], radius: float) -> Pupil:
        """Place nodes in ρ², in which the phase is linear."""
        defocus = max(abs(z[0]), abs(z[1]))
        excursion = self.wavenumber * (defocus * self.axial_range + radius * self.na)
        square, weight = gauss_legendre(0.0, 1.0, excursion)
        return Pupil(
            self.wavenumber,
            focus=0.0,
            s=self.na * np.sqrt(square),
            q=self.axial_range * square,
            weight=weight * self.na**2 / 2,
            amplitude=np.ones((1, square.size), dtype=complex),
        )


@dataclass(frozen=True, kw_only=True)
class GibsonLanni(Layers):
    """I = |∫₀^α J₀(k·s·r)·e^{ikW}·sinθ·cosθ dθ|², where s ds = n_i²·sinθ·cosθ dθ.

    References
    ----------
    Gibson and Lanni, J. Opt. Soc. Am. A 9, 154, 1992.
    """

    def _transmission(self, s: Floats) -> Complex:
        return np.ones((1, s.size), dtype=complex)
