"""The vectorial model of an emitter that turns freely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from napari_deconv.psf.synthetic.optics.base import Complex, Floats
from napari_deconv.psf.synthetic.optics.layers import Layers, axial

__all__ = ["Vectorial"]


@dataclass(frozen=True, kw_only=True)
class Vectorial(Layers):
    """An isotropic emitter, the mean over all directions of a dipole: I = |I₀|² + 2|I₁|² + |I₂|².

    Its integrals are

        I₀ = ∫ (t_s + t_p·cosθ_s)·J₀(k·s·r)·e^{ikW}·√cosθ·sinθ dθ,
        I₁ = ∫ t_p·(n_i/n_s)·sinθ·J₁(k·s·r)·e^{ikW}·√cosθ·sinθ dθ,
        I₂ = ∫ (t_s − t_p·cosθ_s)·J₂(k·s·r)·e^{ikW}·√cosθ·sinθ dθ,

    with cosθ_s = √(n_s²−s²)/n_s and t_s, t_p the products of the Fresnel coefficients from the
    immersion medium through the cover slip into the specimen.

    References
    ----------
    Aguet et al., Opt. Express 17, 6829, 2009.
    """

    orders: ClassVar[int] = 3

    def _transmission(self, s: Floats) -> Complex:
        n_i, n_g, n_s = self.n_immersion, self.n_glass, self.n_sample
        u_i, u_g, u_s = (axial(n, s) for n in (n_i, n_g, n_s))  # u = n·cosθ
        t_s = 2 * u_i / (u_i + u_g) * (2 * u_g / (u_g + u_s))
        t_p = _fresnel_p(n_i, u_i, n_g, u_g) * _fresnel_p(n_g, u_g, n_s, u_s)
        cos_s = u_s / n_s
        # s ds = n_i²·sinθ·cosθ dθ: over it, √cosθ·sinθ dθ is 1/√cosθ.
        return np.stack(
            [t_s + t_p * cos_s, math.sqrt(2) * t_p * s / n_s, t_s - t_p * cos_s]
        ) / np.sqrt(u_i / n_i)


def _fresnel_p(n1: float, u1: Complex, n2: float, u2: Complex) -> Complex:
    """Transmission 2·n₁·cosθ₁/(n₂·cosθ₁ + n₁·cosθ₂) of light in the plane of incidence."""
    return 2 * u1 / (n2 / n1 * u1 + n1 / n2 * u2)
