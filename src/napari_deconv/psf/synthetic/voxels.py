"""From a modality's radial table to voxels, and what is said about their window."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import numpy.typing as npt

from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvWarning
from napari_deconv.psf.synthetic import radial
from napari_deconv.psf.synthetic.modalities import Modality
from napari_deconv.psf.synthetic.sampling import steps_of

__all__ = ["expand_modality", "require_memory"]

_Floats = npt.NDArray[np.float64]

# Radial steps of the table in a Nyquist step: the spline is then good to 1e-6 of the peak.
_RADIAL_SAMPLES = 8

# A window that holds less of a plane's light than this is reported.
_ENOUGH_LIGHT = 0.9

# A window that is too small is told to be larger by this factor at least.
_LARGER = 1.2

# Planes that are darker than this part of the brightest one may lose what they have.
_DARK = 0.01


def expand_modality(
    modality: Modality,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    z: _Floats,
    *,
    pixel_integration: bool,
    engine: Engine,
    stacklevel: int,
) -> npt.NDArray[np.float32]:
    """Sample a PSF at each defocus `z`, or integrate it over the pixels of each plane.

    Parameters
    ----------
    modality : Modality
        The microscope.
    shape : tuple of int
        Voxels (z, y, x), or (y, x) for one plane; the axis is at pixel n // 2.
    spacing : tuple of float
        Voxel size in the order of `shape`, µm.
    z : ndarray of float64
        Defocus of each plane, µm.
    pixel_integration : bool
        Integrate over the pixels instead of sampling their centres.
    engine : Engine
        Where the table is expanded.
    stacklevel : int
        Of warnings, as the caller would give it.

    Returns
    -------
    ndarray of float32
        Of the given shape, not normalised.

    Raises
    ------
    DeconvError
        If no light reaches the window.
    DeviceError
        If the memory does not suffice.

    Warns
    -----
    DeconvWarning
        If the window cuts off the cone of light.
    """
    plane, pixel = (shape[-2], shape[-1]), (spacing[-2], spacing[-1])
    nyquist = steps_of(modality)[-1]
    step = nyquist / _RADIAL_SAMPLES
    points = 3 + math.ceil(max(pixel) / nyquist) if pixel_integration else 1
    count = radial.table_length(plane, pixel, step)
    expansion = radial.expand_bytes(z.size, plane, pixel, points)
    require_memory(modality.table_bytes(z, step, count, expansion), shape)
    data, light = modality.expand(z, step, plane, pixel, points, engine)
    kept = data.sum(axis=(1, 2), dtype=float) * math.prod(pixel)
    _warn_of_window(kept, light, z, modality, plane, pixel, stacklevel + 1)
    return data.reshape(shape)


def require_memory(nbytes: int, shape: tuple[int, ...]) -> None:
    """Raise `DeviceError` if the computer lacks memory; most of the work is not on the device."""
    purpose = f"A PSF of {' × '.join(map(str, shape))} voxels"
    get_engine("cpu").require(min(nbytes, sys.maxsize), 0, purpose)


def _warn_of_window(
    kept: _Floats,
    light: _Floats,
    z: _Floats,
    modality: Modality,
    plane: tuple[int, int],
    pixel: tuple[float, float],
    stacklevel: int,
) -> None:
    """Warn if a plane has lost much of its light past the sides of the window."""
    part = np.where(light > _DARK * light.max(), kept / np.maximum(light, sys.float_info.min), 1.0)
    worst = int(np.argmin(part))
    if part[worst] >= _ENOUGH_LIGHT:
        return
    width = 2 * modality.cone_radius(float(z[worst]))
    # What the rays do not tell is the light around them: the window has to grow anyway.
    sizes = [max(width / step, _LARGER * n) for n, step in zip(plane, pixel, strict=True)]
    needed = " × ".join(str(math.ceil(size)) for size in sizes)
    warnings.warn(
        f"The window cuts off the cone of light: the plane {abs(z[worst] - z[z.size // 2]):.3g} µm "
        f"from the middle keeps only {part[worst]:.0%} of it. Use fewer planes, or about {needed} "
        "pixels (y × x).",
        DeconvWarning,
        stacklevel=stacklevel + 1,
    )
