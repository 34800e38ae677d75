"""A widefield microscope whose pupil has Zernike aberrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic import radial
from napari_deconv.psf.synthetic.aberrations import check_zernike, harmonics, wavefront
from napari_deconv.psf.synthetic.modalities.base import Floats, Modality, Pixel, Plane
from napari_deconv.psf.synthetic.optics import Optics

__all__ = ["Aberrated"]

# Harmonics, each a table, and one block of the fields that they are made of, measured.
_TABLES = 60
_BLOCK_BYTES = 40_000_000


@dataclass(frozen=True, kw_only=True)
class Aberrated(Modality):
    """Widefield with aberrations that no thickness or index explains.

    Attributes
    ----------
    zernike : dict of int to float
        Coefficients in µm (rms) by OSA/ANSI index.
    """

    zernike: Mapping[int, float]

    @classmethod
    def _checked(cls, optics: Optics, **own: Any) -> Self:
        zernike = own["zernike"]
        if not isinstance(zernike, Mapping):
            raise DeconvError(
                f"zernike={zernike!r}: expected OSA/ANSI indices with coefficients in µm rms, for "
                "example {12: 0.05} for spherical aberration."
            )
        return super()._checked(optics, zernike=check_zernike(zernike, optics.wavelength))

    def table_bytes(self, z: Floats, step: float, count: int, expansion: int) -> int:
        """Estimate the memory, that of the harmonics included."""
        tables = 8 * _TABLES * z.size * count + _BLOCK_BYTES * self.optics.orders
        # A quadrant of complex taps instead of an octant of real ones.
        return super().table_bytes(z, step, count, 4 * expansion) + tables

    def cone_radius(self, z: float) -> float:
        """Radius of the light at defocus z; rays go along the slope of the wavefront."""
        rho, phi = np.linspace(0.0, 1.0, 65), np.linspace(0.0, 2 * np.pi, 64, endpoint=False)
        error = wavefront(self.zernike, rho[:, np.newaxis], phi)
        slope = float(np.abs(np.gradient(error, rho, axis=0)).max())
        return super().cone_radius(z) + slope / self.optics.na

    def expand(
        self, z: Floats, step: float, plane: Plane, pixel: Pixel, points: int, engine: Engine
    ) -> tuple[npt.NDArray[np.float32], Floats]:
        """Integrate the PSF over the pixels of each plane, harmonic by harmonic."""
        radii = radial.table_radii(plane, pixel, step)
        pupil = self.optics.pupil((float(z.min()), float(z.max())), float(radii[-1]))
        ascending = np.argsort(z)
        tables = harmonics(self.optics, self.zernike, z[ascending], radii)
        data = radial.expand_harmonics(tables, step, plane, pixel, points, engine)
        return data[np.argsort(ascending)], np.full(z.size, pupil.plane_integral())
