"""An objective that looks through immersion medium and cover slip into a specimen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.optimize

from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.optics.base import Complex, Floats, Optics, Pupil, gauss_legendre

__all__ = ["Layers"]

# Closer to the critical angle than this, rays cross the axis arbitrarily deep and make no peak.
_NEAR_CRITICAL = 0.95

# The longest search for the focus, in eighths of a period along the axis.
_MOST_PLANES = 4000


@dataclass(frozen=True, kw_only=True)
class Layers(Optics):
    """A source below a cover slip, with the optical path difference of Gibson and Lanni.

    It is

        W = (c−z)·√(n_i²−s²) + z_p·√(n_s²−s²)
            + t_g·√(n_g²−s²) − t_g⁰·√(n_g⁰²−s²) − t_i⁰·√(n_i⁰²−s²),
        c = z_p·(1−n_i/n_s) + n_i·(t_g⁰/n_g⁰ + t_i⁰/n_i⁰ − t_g/n_g),

    so that the paraxial focus of a source at depth z_p is at z = z_p. Beyond the critical angle of
    the specimen the waves are evanescent. Subclasses say how much of each wave passes.

    Attributes
    ----------
    n_sample, n_glass : float
        Indices n_s of the specimen and n_g of the cover slip.
    n_glass_design, n_immersion_design : float
        Indices n_g⁰, n_i⁰ that the objective is corrected for.
    depth : float
        Depth z_p of the source below the cover slip.
    glass_thickness, glass_thickness_design : float
        Thickness of the cover slip, t_g, and the one the objective is corrected for, t_g⁰.
    working_distance : float
        Thickness t_i⁰ of the immersion layer that the objective is corrected for.

    References
    ----------
    Gibson and Lanni, J. Opt. Soc. Am. A 9, 154, 1992;
    Aguet et al., Opt. Express 17, 6829, 2009 (the focus coordinate).
    """

    n_sample: float
    n_glass: float = 1.515
    n_glass_design: float
    n_immersion_design: float
    depth: float = 0.0
    glass_thickness: float = 170.0
    glass_thickness_design: float
    working_distance: float = 150.0

    _same: ClassVar[Mapping[str, str]] = {
        "n_sample": "n_immersion",
        "n_glass_design": "n_glass",
        "n_immersion_design": "n_immersion",
        "glass_thickness_design": "glass_thickness",
    }
    _above_na: ClassVar[tuple[str, ...]] = (
        "n_immersion", "n_immersion_design", "n_glass", "n_glass_design",
    )  # fmt: skip

    @property
    def axial_range(self) -> float:
        """n_i − u₁, u₁ = √(n_i² − NA²)."""
        return self.n_immersion - math.sqrt(self.n_immersion**2 - self.na**2)

    @property
    def paraxial_focus(self) -> float:
        """The depth of the source."""
        return self.depth

    @property
    def _lowest_index(self) -> float:
        return min(
            self.n_sample, self.n_immersion, self.n_immersion_design,
            self.n_glass, self.n_glass_design,
        )  # fmt: skip

    def _transmission(self, s: Floats) -> Complex:
        """Amplitudes of the waves of a unit source, (orders, directions), without their path."""
        raise NotImplementedError

    def _aberration(self, s: Floats) -> Complex:
        """W at the paraxial focus z = z_p.

        What cancels in a corrected system does so exactly: there, each layer's path is

            t·(√(n²−s²) − (n_i/n)·√(n_i²−s²)).
        """
        n_i = self.n_immersion

        def path(n: float) -> Complex:
            return axial(n, s) - n_i / n * axial(n_i, s)

        specimen = self.depth * path(self.n_sample)
        glass = self.glass_thickness * path(self.n_glass)
        glass0 = self.glass_thickness_design * path(self.n_glass_design)
        immersion0 = self.working_distance * path(self.n_immersion_design)
        return specimen + (glass - glass0) - immersion0

    def pupil(self, z: tuple[float, float], radius: float) -> Pupil:
        """Place nodes in the cosine of the lowest index, which makes all other roots smooth."""
        lowest = self._lowest_index
        propagating = (-1.0, math.sqrt(max(lowest**2 - self.na**2, 0.0)), lowest)
        segments = [propagating]
        if self.na > lowest:
            segments.append((1.0, 0.0, math.sqrt(self.na**2 - lowest**2)))
        parts = [self._segment(*segment, z, radius) for segment in segments]
        s = np.concatenate([s for s, _ in parts])
        wave = np.exp(1j * self.wavenumber * self._aberration(s))
        return Pupil(
            self.wavenumber,
            focus=self.paraxial_focus,
            s=s,
            q=np.sqrt(self.n_immersion**2 - s**2),
            weight=np.concatenate([weight for _, weight in parts]),
            amplitude=self._transmission(s) * wave,
        )

    def _segment(
        self, sign: float, low: float, high: float, z: tuple[float, float], radius: float
    ) -> tuple[Floats, Floats]:
        """Nodes s and weights of s ds = ∓v dv for s² = n² ± v², n the lowest index."""

        def transverse(v: Floats) -> Floats:
            return np.sqrt(np.maximum(self._lowest_index**2 + sign * v**2, 0.0))

        trial = transverse(np.linspace(low, high, 257))
        aberration, q = self._aberration(trial).real, np.sqrt(self.n_immersion**2 - trial**2)
        defocus = [plane - self.paraxial_focus for plane in z]
        path = max(float(np.abs(np.diff(aberration - plane * q)).sum()) for plane in defocus)
        excursion = self.wavenumber * (path + radius * float(np.ptp(trial)))
        v, weight = gauss_legendre(low, high, excursion)
        return transverse(v), weight * v

    def _rays(self) -> tuple[Floats, Floats, Floats]:
        """Directions s and q of rays from the axis to the rim, and their aberration W."""
        s = np.linspace(0.0, min(self.na, _NEAR_CRITICAL * self._lowest_index), 258)[1:]
        return s, np.sqrt(self.n_immersion**2 - s**2), self._aberration(s).real

    def cone_radius(self, z: float) -> float:
        """Radius |dW/ds| of the cone of rays at defocus z."""
        s, q, aberration = self._rays()
        return float(np.abs(np.gradient(aberration - (z - self.paraxial_focus) * q, s)).max())

    def best_focus(self) -> float:
        """Find the defocus z of the largest intensity on the axis.

        The search covers the range in which rays cross the axis, z = z_p + dW/dq.

        Raises
        ------
        DeconvError
            If that range is so large that there is no focus.
        """
        _, q, aberration = self._rays()
        crossings = self.paraxial_focus + np.gradient(aberration, q)
        step = self.wavelength / (8 * self.axial_range)
        low, high = crossings.min() - 8 * step, crossings.max() + 8 * step
        if high - low > _MOST_PLANES * step:
            raise DeconvError(
                f"The rays meet the axis all over {high - low:.3g} µm: with depth={self.depth:g}, "
                f"n_sample={self.n_sample:g} and what else the objective is not corrected for "
                "there is no image. Check that lengths are in µm and indices right."
            )
        z = np.linspace(low, high, 1 + math.ceil((high - low) / step))
        pupil = self.pupil((low, high), 0.0)
        peak = int(np.argmax(pupil.intensity(z, [0.0])))
        best = scipy.optimize.minimize_scalar(
            lambda z: -pupil.intensity(z, [0.0]).item(),
            bounds=(z[peak] - step, z[peak] + step),
            options={"xatol": 1e-9},
        )
        # A picometre is beyond the optimum's precision; + 0.0 makes −0 a plain 0.
        return round(float(best.x), 6) + 0.0


def axial(n: float, s: Floats) -> Complex:
    """√(n² − s²), imaginary where the wave is evanescent."""
    root: Complex = np.sqrt(n**2 - s**2 + 0j)
    return root
