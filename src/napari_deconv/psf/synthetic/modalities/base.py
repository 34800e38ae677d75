"""What all modalities share: their parameters, the focused beam, the brightest point."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from napari_deconv._checks import check_number
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic import radial
from napari_deconv.psf.synthetic.optics import Optics

__all__ = [
    "Excited",
    "Floats",
    "Modality",
    "Pixel",
    "Plane",
    "beam_cut_offs",
    "check_wavelength",
    "intensity",
]

Floats = npt.NDArray[np.float64]
Plane = tuple[int, int]
Pixel = tuple[float, float]

# In µm; larger numbers are taken for nanometres.
_LONGEST_WAVELENGTH, _SHORTEST_WAVELENGTH = 10.0, 0.01

# A spline through this many planes a period of the axial cut-off finds the brightest point.
_PLANES_A_PERIOD = 16


@dataclass(frozen=True, kw_only=True)
class Modality:
    """A widefield microscope; the other modalities are its subclasses.

    Attributes
    ----------
    optics : Optics
        The objective at the wavelength that is imaged.
    """

    optics: Optics

    camera: ClassVar[bool] = True
    """Whether pixels integrate; where a beam scans they sample."""

    spiral: ClassVar[int] = 0
    """How many Bessel orders a beam has above those of the model."""

    @classmethod
    def own(cls) -> tuple[str, ...]:
        """Names of the parameters that the modality adds to those of the model."""
        return tuple(field.name for field in fields(cls) if field.name != "optics")

    @classmethod
    def from_parameters(cls, model: type[Optics], given: Mapping[str, Any]) -> Self:
        """Check what a user gave, and fill in the rest.

        Raises
        ------
        DeconvError
            If something is missing or impossible.
        """
        own = {name: given[name] for name in cls.own() if name in given}
        optics = {name: value for name, value in given.items() if name not in own}
        return cls._checked(optics=model.from_parameters(optics), **own)

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        """Make one of checked optics and the unchecked parameters of the modality."""
        return cls(optics=optics, **own)

    def cut_offs(self) -> Floats:
        """Highest axial and lateral frequency, per µm."""
        return beam_cut_offs(self.optics)

    def beams(self) -> tuple[Optics, ...]:
        """List the focused beams whose common focus is the brightest point."""
        return (self.optics,)

    def reach(self) -> float:
        """Tell how far beyond the last radius of a table its factors have to be known."""
        return 0.0

    def table(self, z: Floats, step: float, count: int) -> Floats:
        """Compute the PSF at each defocus z and the radii 0, step, … of `count`, shape (z, r)."""
        return intensity(self.optics, z, step, count)

    def table_bytes(self, z: Floats, step: float, count: int, expansion: int) -> int:
        """Estimate the memory for the pupil integrals, then for their table and its expansion."""
        optics = min(self.beams(), key=lambda beam: beam.wavelength)
        focus = optics.paraxial_focus
        radii = count + math.ceil(self.reach() / step)
        excursion = optics.wavenumber * (
            float(np.abs(z - focus).max()) * optics.axial_range + radii * step * optics.na
        )
        nodes = math.ceil(excursion / 2) + 24
        planes = z.size
        if optics.pupil((focus, focus), 0.0).symmetric:
            planes = np.unique(np.abs(z - focus).round(9)).size
        # Measured numbers of float64 arrays that exist at the same time.
        functions = 1.25 * (optics.orders + self.spiral) + 0.75
        integrals = functions * nodes * radii + 6 * (nodes + radii) * planes
        integrals = int(min(integrals, sys.maxsize))
        return max(8 * integrals, 8 * 2 * z.size * radii + expansion)

    def cone_radius(self, z: float) -> float:
        """Radius of the light at defocus z: the rays, and a rim of diffraction."""
        return max(beam.cone_radius(z) + beam.wavelength / beam.na for beam in self.beams())

    def plane_light(self, z: Floats, table: Floats, step: float) -> Floats:
        """Integrate each plane of a table over x and y; exact where theory knows the result."""
        return np.ones(z.size)

    def expand(
        self, z: Floats, step: float, plane: Plane, pixel: Pixel, points: int, engine: Engine
    ) -> tuple[npt.NDArray[np.float32], Floats]:
        """Integrate the PSF over the pixels of each plane (see `radial.expand`).

        Returns
        -------
        data : ndarray of float32
            Mean over each pixel, (z, y, x).
        light : ndarray of float64
            What the whole of each plane sums up to, times the area of a pixel.

        Raises
        ------
        DeconvError
            If there is no light in these planes.
        """
        table = self.table(z, step, radial.table_length(plane, pixel, step))
        brightest = float(table.max())
        if not brightest > 0:
            raise DeconvError(
                "No light reaches the window: its planes are too far from the focus. Use "
                "centre='best_focus'."
            )
        light = self.plane_light(z, table, step) / brightest
        table /= brightest
        return radial.expand(table, step, plane, pixel, points, engine), light

    def best_focus(self) -> float:
        """Find the defocus z of the largest intensity on the axis."""
        foci = sorted(beam.best_focus() for beam in self.beams())
        if foci[0] == foci[-1]:
            return foci[0]
        axial, lateral = self.cut_offs()
        margin = 1 / axial
        planes = 2 + math.ceil((foci[-1] - foci[0] + 2 * margin) * axial * _PLANES_A_PERIOD)
        z = np.linspace(foci[0] - margin, foci[-1] + margin, planes)
        line = CubicSpline(z, self.table(z, 1 / (16 * lateral), 2)[:, 0])
        extrema = line.derivative().roots(extrapolate=False)
        return round(float(extrema[np.argmax(line(extrema))]), 6)


@dataclass(frozen=True, kw_only=True)
class Excited(Modality):
    """A modality with a wavelength of excitation, and light that theory does not sum.

    Attributes
    ----------
    excitation : float
        Wavelength in vacuum.
    """

    excitation: float

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        own["excitation"] = check_wavelength(own.get("excitation"), "excitation", "0.488")
        return super()._checked(optics, **own)

    @property
    def exciting(self) -> Optics:
        """The objective at the wavelength of excitation."""
        return replace(self.optics, wavelength=self.excitation)

    def plane_light(self, z: Floats, table: Floats, step: float) -> Floats:
        """Integrate a table as far as it goes."""
        light: Floats = 2 * math.pi * step**2 * (table @ np.arange(table.shape[1], dtype=float))
        return light


def intensity(optics: Optics, z: Floats, step: float, count: int) -> Floats:
    """Tabulate a focused beam, its integral over each plane 1."""
    radii = step * np.arange(count)
    pupil = optics.pupil((float(z.min()), float(z.max())), float(radii[-1]))
    return pupil.intensity(z, radii) / pupil.plane_integral()


def beam_cut_offs(optics: Optics) -> Floats:
    """Highest axial and lateral frequency of a focused beam, per µm."""
    return np.array([optics.axial_range, 2 * optics.na]) / optics.wavelength


def check_wavelength(value: Any, name: str, example: str) -> float:
    """Take a wavelength in µm, or raise `DeconvError`."""
    if value is None:
        raise DeconvError(f"{name} is missing: give it, for example {name}={example} (µm).")
    number = check_number(value, name, 0.0)
    if number > _LONGEST_WAVELENGTH:
        raise DeconvError(
            f"{name}={number:g} looks like nanometres: expected µm, {name}={number / 1000:g}."
        )
    if number < _SHORTEST_WAVELENGTH:
        raise DeconvError(f"{name}={number:g} is no wavelength of light: expected µm, as 0.488.")
    return number
