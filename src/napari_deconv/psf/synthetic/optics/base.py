"""What all optical models share: the pupil at quadrature nodes, and the checks of parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import scipy.special

from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.bessel import bessel

__all__ = ["Complex", "Floats", "Optics", "Pupil", "gauss_legendre"]

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

# Wavelengths above this many µm are taken for nanometres.
_LONGEST_WAVELENGTH = 10.0

_MAY_BE_ZERO = ("depth", "glass_thickness", "glass_thickness_design")

# Vacuum has 1, diamond 2.4, silicon 3.9.
_LOWEST_INDEX, _HIGHEST_INDEX = 1.0, 5.0

# Below, the roots of the path difference cancel to nothing in double precision; objectives have
# 0.02 and more.
_SMALLEST_NA = 1e-3

# Decimals of a defocus in µm: mirrored planes are equal to less than this.
_SAME_PLANE = 12


@dataclass(frozen=True)
class Pupil:
    """The pupil at quadrature nodes, so that integrals over s ds are sums.

    Attributes
    ----------
    wavenumber : float
        k = 2π/λ in vacuum, per µm.
    focus : float
        Defocus in µm that has no phase: the paraxial focus.
    s : ndarray of float64
        Transverse direction n_i·sinθ.
    q : ndarray of float64
        Axial direction: defocus z adds the phase −k·(z − focus)·q.
    weight : ndarray of float64
        Quadrature weights of s ds.
    amplitude : ndarray of complex128
        A_m(s) of each Bessel order m, (orders, nodes): what does not depend on z.
    """

    wavenumber: float
    focus: float
    s: Floats
    q: Floats
    weight: Floats
    amplitude: Complex

    @property
    def symmetric(self) -> bool:
        """Whether planes at the same distance from the focus are alike."""
        return not self.amplitude.imag.any()

    def defocused(self, z: npt.ArrayLike) -> Complex:
        """Weighted phase exp(−i·k·(z − focus)·q) of each plane, shape (z, nodes)."""
        distance = np.asarray(z, dtype=float) - self.focus
        phase = self.wavenumber * np.multiply.outer(distance, self.q)
        waves: Complex = np.exp(-1j * phase) * self.weight
        return waves

    def intensity(self, z: npt.ArrayLike, r: npt.ArrayLike) -> Floats:
        """Compute I at each defocus z and radius r in µm, shape (z, r)."""
        distance = np.asarray(z, dtype=float) - self.focus
        if self.symmetric:
            distance = np.abs(distance).round(_SAME_PLANE)
        distinct, planes = np.unique(distance, return_inverse=True)
        waves = self.defocused(self.focus + distinct)
        radii = np.asarray(r, dtype=float)
        argument = self.wavenumber * np.multiply.outer(self.s, radii)
        intensity = np.zeros((distinct.size, radii.size))
        functions = bessel(len(self.amplitude), argument)
        for amplitude, function in zip(self.amplitude, functions, strict=True):
            weighted = waves * amplitude
            # As real numbers: else the product would first make the Bessel functions complex.
            parts = np.concatenate([weighted.real, weighted.imag]) @ function
            intensity += (parts**2).reshape(2, *intensity.shape).sum(axis=0)
        return intensity[planes]

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
    orders : int
        How many Bessel orders the model has.
    """

    na: float
    wavelength: float
    n_immersion: float = 1.515

    orders: ClassVar[int] = 1
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
                f"wide: expected {_SMALLEST_NA:g} or more."
            )
        for name in cls._above_na:
            if optics.na >= getattr(optics, name):
                raise DeconvError(
                    f"na={optics.na:g} is not below {name}={getattr(optics, name):g}: no such cone "
                    f"of light exists there. Check it, or give {name} (air 1.0, water 1.33, "
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


def gauss_legendre(low: float, high: float, excursion: float) -> tuple[Floats, Floats]:
    """Nodes and weights for an integrand whose phase runs over `excursion` radians."""
    nodes, weights = scipy.special.roots_legendre(math.ceil(excursion / 2) + 24)
    half = (high - low) / 2
    return low + half * (nodes + 1), half * weights


def _positive(value: Any, name: str) -> float:
    """Take one positive number; depth and glass thickness may be zero."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    zero = name in _MAY_BE_ZERO
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        expected = "a number, 0 or more" if zero else "a number above 0"
        raise DeconvError(f"{name}={value!r} is not possible: expected {expected}.")
    if name.startswith("n_") and not _LOWEST_INDEX <= number <= _HIGHEST_INDEX:
        raise DeconvError(
            f"{name}={value!r} is not possible: no medium refracts light as much, or less than 1.0 "
            "(air)."
        )
    return number
