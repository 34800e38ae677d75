"""From objective and specimen to the pupil: the scalar widefield models.

Both models are one integral over the pupil,

    U(z, r) = ∫ A(s)·exp(−i·k·z·q(s))·J₀(k·s·r)·s ds,   I = |U|²,   s = n_i·sinθ from 0 to NA,

and differ in the axial term q(s) and the aberration A(s). All lengths are in µm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from napari_deconv.errors import DeconvError

__all__ = ["BornWolf", "GibsonLanni", "Optics", "Pupil"]

_Floats = npt.NDArray[np.float64]

# Wavelengths above this many µm are taken for nanometres.
_LONGEST_WAVELENGTH = 10.0

_MAY_BE_ZERO = ("depth", "glass_thickness", "glass_thickness_design")

# Below, the roots of the path difference cancel to nothing in double precision; objectives have
# 0.02 and more.
_SMALLEST_NA = 1e-3

# Closer to the critical angle than this, rays cross the axis arbitrarily deep and make no peak.
_NEAR_CRITICAL = 0.95


@dataclass(frozen=True)
class Pupil:
    """The pupil at quadrature nodes, so that integrals over s ds are sums.

    Attributes
    ----------
    wavenumber : float
        k = 2π/λ in vacuum, per µm.
    s : ndarray of float64
        Transverse direction n_i·sinθ.
    q : ndarray of float64
        Axial direction: defocus z adds the phase −k·z·q.
    weight : ndarray of float64
        Quadrature weights of s ds.
    amplitude : ndarray of complex128
        A(s), the aberration that does not depend on z.
    """

    wavenumber: float
    s: _Floats
    q: _Floats
    weight: _Floats
    amplitude: npt.NDArray[np.complex128]

    def waves(self, z: npt.ArrayLike) -> npt.NDArray[np.complex128]:
        """Weighted pupil at each defocus, shape (z, nodes)."""
        phase = self.wavenumber * np.multiply.outer(np.asarray(z, dtype=float), self.q)
        waves: npt.NDArray[np.complex128] = np.exp(-1j * phase) * (self.weight * self.amplitude)
        return waves

    def intensity(self, z: npt.ArrayLike, r: npt.ArrayLike) -> _Floats:
        """Compute I at each defocus z and radius r in µm, shape (z, r)."""
        waves = self.waves(z)
        radii = np.asarray(r, dtype=float)
        bessel = scipy.special.j0(self.wavenumber * np.multiply.outer(self.s, radii))
        # Two real products: a complex one would first make the real matrix complex.
        intensity: _Floats = (waves.real @ bessel) ** 2 + (waves.imag @ bessel) ** 2
        return intensity

    def plane_integral(self) -> float:
        """Compute ∫∫ I dx dy in µm², which is the same in every plane (Parseval)."""
        power = float(np.sum(self.weight * np.abs(self.amplitude) ** 2))
        return 2 * math.pi / self.wavenumber**2 * power


@dataclass(frozen=True, kw_only=True)
class Optics:
    """An objective and what it looks into; subclasses are the models.

    Attributes
    ----------
    na : float
        Numerical aperture.
    wavelength : float
        Emission wavelength in vacuum.
    n_immersion : float
        Refractive index n_i of the immersion medium.
    """

    na: float
    wavelength: float
    n_immersion: float = 1.515

    _same: ClassVar[Mapping[str, str]] = {}
    _above_na: ClassVar[tuple[str, ...]] = ("n_immersion",)

    @classmethod
    def from_parameters(cls, given: dict[str, Any]) -> Self:
        """Check what a user gave, and fill in the rest.

        Raises
        ------
        DeconvError
            If the aperture or wavelength is missing, a number is not positive, the wavelength
            looks like nanometres, the aperture is below 0.001, or it is not below every index
            light passes outside of the specimen.
        """
        values = {f.name: f.default for f in fields(cls) if f.default is not MISSING} | given
        for name, example in (("na", "1.4"), ("wavelength", "0.52 (µm)")):
            if name not in values:
                raise DeconvError(f"{name} is missing: give it, for example {name}={example}.")
        for name, source in cls._same.items():
            values.setdefault(name, values[source])
        optics = cls(**{name: _positive(value, name) for name, value in values.items()})
        if optics.wavelength > _LONGEST_WAVELENGTH:
            raise DeconvError(
                f"wavelength={optics.wavelength:g} looks like nanometres: expected µm, "
                f"wavelength={optics.wavelength / 1000:g}."
            )
        if optics.na < _SMALLEST_NA:
            raise DeconvError(
                f"na={optics.na:g} would make a spot about {optics.wavelength / optics.na:.3g} µm "
                f"wide: expected {_SMALLEST_NA:g} or more. Check na."
            )
        for name in cls._above_na:
            if optics.na >= getattr(optics, name):
                raise DeconvError(
                    f"na={optics.na:g} is not below {name}={getattr(optics, name):g}: no such cone "
                    f"of light exists there. Check na, or give {name} (air 1.0, water 1.33, "
                    "glycerol 1.47, oil and glass 1.515)."
                )
        return optics

    @property
    def wavenumber(self) -> float:
        """Vacuum wavenumber k = 2π/λ."""
        return 2 * math.pi / self.wavelength

    @property
    def axial_range(self) -> float:
        """Range of q over the pupil; over λ it is the axial cut-off frequency."""
        raise NotImplementedError

    @property
    def paraxial_focus(self) -> float:
        """Defocus z at which the central rays meet."""
        return 0.0

    def best_focus(self) -> float:
        """Find the defocus z of the largest intensity on the axis."""
        return self.paraxial_focus

    def cone_radius(self, z: float) -> float:
        """Radius of the cone of rays at defocus z."""
        raise NotImplementedError

    def pupil(self, z: tuple[float, float], radius: float) -> Pupil:
        """Place nodes that resolve every defocus between the two `z` and radii to `radius`."""
        raise NotImplementedError


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
        square, weight = _gauss_legendre(0.0, 1.0, excursion)
        return Pupil(
            self.wavenumber,
            s=self.na * np.sqrt(square),
            q=self.axial_range * square,
            weight=weight * self.na**2 / 2,
            amplitude=np.ones(square.size, dtype=complex),
        )


@dataclass(frozen=True, kw_only=True)
class GibsonLanni(Optics):
    """Scalar model of a source below a cover slip: I = |∫₀^α J₀(k·s·r)·e^{ikW}·sinθ·cosθ dθ|².

    The optical path difference is

        W = (c−z)·√(n_i²−s²) + z_p·√(n_s²−s²)
            + t_g·√(n_g²−s²) − t_g⁰·√(n_g⁰²−s²) − t_i⁰·√(n_i⁰²−s²),
        c = z_p·(1−n_i/n_s) + n_i·(t_g⁰/n_g⁰ + t_i⁰/n_i⁰ − t_g/n_g),

    so that the paraxial focus of a source at depth z_p is at z = z_p. Beyond the critical angle of
    the specimen the waves are evanescent.

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

    def _aberration(self, s: _Floats) -> npt.NDArray[np.complex128]:
        """W at z = 0, ordered so that what cancels in a corrected system cancels exactly."""
        n_i, n_i0 = self.n_immersion, self.n_immersion_design
        n_g, n_g0 = self.n_glass, self.n_glass_design

        def root(n: float) -> npt.NDArray[np.complex128]:
            axial: npt.NDArray[np.complex128] = np.sqrt(n**2 - s**2 + 0j)
            return axial

        specimen = self.depth * ((1 - n_i / self.n_sample) * root(n_i) + root(self.n_sample))
        glass = self.glass_thickness * (root(n_g) - n_i / n_g * root(n_i))
        glass0 = self.glass_thickness_design * (root(n_g0) - n_i / n_g0 * root(n_i))
        immersion = self.working_distance * (n_i / n_i0 * root(n_i) - root(n_i0))
        return specimen + (glass - glass0) + immersion

    def pupil(self, z: tuple[float, float], radius: float) -> Pupil:
        """Place nodes in the cosine of the lowest index, which makes all other roots smooth."""
        lowest = self._lowest_index
        propagating = (-1.0, math.sqrt(max(lowest**2 - self.na**2, 0.0)), lowest)
        segments = [propagating]
        if self.na > lowest:
            segments.append((1.0, 0.0, math.sqrt(self.na**2 - lowest**2)))
        parts = [self._segment(*segment, z, radius) for segment in segments]
        s = np.concatenate([s for s, _ in parts])
        return Pupil(
            self.wavenumber,
            s=s,
            q=np.sqrt(self.n_immersion**2 - s**2),
            weight=np.concatenate([weight for _, weight in parts]),
            amplitude=np.exp(1j * self.wavenumber * self._aberration(s)),
        )

    def _segment(
        self, sign: float, low: float, high: float, z: tuple[float, float], radius: float
    ) -> tuple[_Floats, _Floats]:
        """Nodes s and weights of s ds = ∓v dv for s² = n² ± v², n the lowest index."""

        def transverse(v: _Floats) -> _Floats:
            return np.sqrt(np.maximum(self._lowest_index**2 + sign * v**2, 0.0))

        trial = transverse(np.linspace(low, high, 257))
        aberration, q = self._aberration(trial).real, np.sqrt(self.n_immersion**2 - trial**2)
        path = max(float(np.abs(np.diff(aberration - plane * q)).sum()) for plane in z)
        excursion = self.wavenumber * (path + radius * float(np.ptp(trial)))
        v, weight = _gauss_legendre(low, high, excursion)
        return transverse(v), weight * v

    def _rays(self) -> tuple[_Floats, _Floats, _Floats]:
        """Directions s and q of rays from the axis to the rim, and their aberration W."""
        s = np.linspace(0.0, min(self.na, _NEAR_CRITICAL * self._lowest_index), 258)[1:]
        return s, np.sqrt(self.n_immersion**2 - s**2), self._aberration(s).real

    def cone_radius(self, z: float) -> float:
        """Radius |dW/ds| of the cone of rays at defocus z."""
        s, q, aberration = self._rays()
        return float(np.abs(np.gradient(aberration - z * q, s)).max())

    def best_focus(self) -> float:
        """Find the defocus z of the largest intensity on the axis.

        The search covers the range in which rays cross the axis, z = dW/dq.
        """
        _, q, aberration = self._rays()
        crossings = np.gradient(aberration, q)
        step = self.wavelength / (8 * self.axial_range)
        low, high = crossings.min() - 8 * step, crossings.max() + 8 * step
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


def _gauss_legendre(low: float, high: float, excursion: float) -> tuple[_Floats, _Floats]:
    """Nodes and weights for an integrand whose phase runs over `excursion` radians."""
    nodes, weights = scipy.special.roots_legendre(math.ceil(excursion / 2) + 24)
    half = (high - low) / 2
    return low + half * (nodes + 1), half * weights


def _positive(value: Any, name: str) -> float:
    """Take one positive number; depth and glass thickness may be zero."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    zero = name in _MAY_BE_ZERO
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        expected = "a number, 0 or more" if zero else "a number above 0"
        raise DeconvError(f"{name}={value!r} is not possible: expected {expected}.")
    return number
