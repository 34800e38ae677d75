"""Synthetic point-spread functions of a widefield microscope."""

from __future__ import annotations

import math
import operator
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_choice, check_spacing
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf import analytic, radial
from napari_deconv.psf.optics import BornWolf, GibsonLanni, Optics, Vectorial
from napari_deconv.psf.psf import Psf

__all__ = ["Centre", "Model", "make_psf"]

Model = Literal["gaussian", "lorentzian", "born_wolf", "gibson_lanni", "vectorial"]
Centre = Literal["best_focus", "paraxial", "none"]

_ANALYTIC = {"gaussian": analytic.gaussian, "lorentzian": analytic.lorentzian}
_OPTICAL: dict[str, type[Optics]] = {
    "born_wolf": BornWolf,
    "gibson_lanni": GibsonLanni,
    "vectorial": Vectorial,
}
_CENTRES = ("best_focus", "paraxial", "none")

# Samples per λ/NA of the radial table: the spline is then good to 1e-6 of the peak.
_RADIAL_SAMPLES = 32

# While a PSF is normalised there are a float64 and two float32 copies of it.
_BYTES_PER_VOXEL = 16

# The narrowest bell shape that is integrated over voxels, in voxels.
_NARROWEST = 0.1

# A window that holds less of a plane's light than this is reported.
_ENOUGH_LIGHT = 0.9


def make_psf(
    model: Model,
    *,
    shape: Sequence[int],
    spacing: float | Sequence[float],
    na: float | None = None,
    wavelength: float | None = None,
    n_immersion: float | None = None,
    n_sample: float | None = None,
    n_glass: float | None = None,
    depth: float = 0.0,
    n_immersion_design: float | None = None,
    n_glass_design: float | None = None,
    glass_thickness: float | None = None,
    glass_thickness_design: float | None = None,
    working_distance: float | None = None,
    fwhm: float | Sequence[float] | None = None,
    centre: Centre = "best_focus",
    pixel_integration: bool = True,
    engine: str | Engine = "auto",
) -> Psf:
    """Make the point-spread function of a widefield microscope, or a bell-shaped one.

    Parameters
    ----------
    model : {"gaussian", "lorentzian", "born_wolf", "gibson_lanni", "vectorial"}
        The first two need `fwhm` and nothing else. ``"born_wolf"`` is paraxial and unaberrated and
        takes `na`, `wavelength` and `n_immersion`. ``"gibson_lanni"`` is scalar, holds at high
        aperture, knows mismatched media, and takes all of the optical parameters; so does
        ``"vectorial"``, which adds the polarisation of a freely turning emitter.
    shape : sequence of int
        Voxels (z, y, x), or (y, x) for the plane in focus.
    spacing : float or sequence of float
        Voxel size in µm, in the order of `shape`.
    na : float
        Numerical aperture.
    wavelength : float
        Emission wavelength in vacuum, µm.
    n_immersion, n_sample, n_glass : float, optional
        Refractive indices of the immersion medium (1.515), the specimen (that of the immersion
        medium) and the cover slip (1.515).
    depth : float
        Depth of the source below the cover slip, µm.
    n_immersion_design, n_glass_design : float, optional
        Indices that the objective is corrected for (the actual ones).
    glass_thickness, glass_thickness_design : float, optional
        Thickness of the cover slip (170 µm) and the one the objective is corrected for (the actual
        one).
    working_distance : float, optional
        Thickness of the immersion layer that the objective is corrected for, µm (150).
    fwhm : float or sequence of float, optional
        Full width at half maximum in µm, in the order of `shape`, for the bell shapes.
    centre : {"best_focus", "paraxial", "none"}
        What lies in the middle plane: the brightest point of the axis, the paraxial focus, or
        z = 0, which is the focus at the cover slip. Larger z is deeper in the specimen.
    pixel_integration : bool
        Integrate over the camera's pixels instead of sampling their centres. Planes are sampled:
        a stack is made by moving the focus. The bell shapes are integrated along z as well.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"``, ``"opencl:<device>"``.

    Returns
    -------
    Psf
        float32, sum 1, centre voxel n // 2. Its metadata hold the model, every parameter, and for
        optical models ``focal_shift``, the distance from the paraxial to the best focus in µm.

    Raises
    ------
    DeconvError
        If a parameter is missing, impossible, or none of the model's.
    DeviceError
        If the memory does not suffice.

    Warns
    -----
    DeconvWarning
        If the voxels are larger than the Nyquist step, λ/(4·NA) and λ/(2·(n−u₁)) with
        u₁ = √(n²−NA²), or the window cuts off the cone of light.

    Notes
    -----
    The pupil integrals of `napari_deconv.psf.optics` are tabulated over z and r; a cubic spline
    through the table is integrated over the pixels by 3×3 Gauss points, more where the pixels are
    larger than the Nyquist step. Against exact integrals the error is below 3e-5 of the peak.
    """
    check_choice(model, (*_ANALYTIC, *_OPTICAL), "model")
    check_choice(centre, _CENTRES, "centre")
    size = _check_shape(shape)
    voxel = check_spacing(spacing, len(size))
    if voxel is None:
        raise DeconvError("spacing is missing: give the voxel size (z, y, x) in µm.")
    _require(_BYTES_PER_VOXEL * math.prod(size), size)
    optical = {
        "na": na, "wavelength": wavelength, "n_immersion": n_immersion, "n_sample": n_sample,
        "n_glass": n_glass, "depth": depth or None, "n_immersion_design": n_immersion_design,
        "n_glass_design": n_glass_design, "glass_thickness": glass_thickness,
        "glass_thickness_design": glass_thickness_design, "working_distance": working_distance,
    }  # fmt: skip
    given = {name: value for name, value in (optical | {"fwhm": fwhm}).items() if value is not None}
    metadata: dict[str, Any] = {"model": model, "pixel_integration": pixel_integration}
    if model in _ANALYTIC:
        _refuse_others(model, given, ("fwhm",))
        widths = _check_fwhm(fwhm, len(size))
        if min(np.divide(widths, voxel)) < _NARROWEST:
            raise DeconvError(
                f"fwhm={fwhm!r} µm is less than a tenth of a voxel, spacing={spacing!r}: that is "
                "a point. Check that both are in µm."
            )
        bell = _ANALYTIC[model](size, voxel, widths, pixel_integration)
        return Psf(bell, voxel, metadata | {"fwhm": widths})
    _refuse_others(model, given, tuple(field.name for field in fields(_OPTICAL[model])))
    optics = _OPTICAL[model].from_parameters(given)
    best = optics.best_focus()
    focus = {"best_focus": best, "paraxial": optics.paraxial_focus, "none": 0.0}[centre]
    _warn_of_sampling(optics, voxel)
    data = _widefield(optics, size, voxel, focus, pixel_integration, get_engine(engine))
    metadata |= asdict(optics) | {"centre": centre, "focal_shift": best - optics.paraxial_focus}
    return Psf(data, voxel, metadata)


def _widefield(
    optics: Optics,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    focus: float,
    pixel_integration: bool,
    engine: Engine,
) -> npt.NDArray[np.float32]:
    """Sample the intensity around the defocus `focus`; a plane where `shape` has two axes."""
    planes = shape[0] if len(shape) == 3 else 1
    plane, pixel = (shape[-2], shape[-1]), (spacing[-2], spacing[-1])
    z = focus + (np.arange(planes) - planes // 2) * (spacing[0] if planes > 1 else 0.0)
    step = optics.wavelength / (_RADIAL_SAMPLES * optics.na)
    nyquist = optics.wavelength / (4 * optics.na)
    points = 2 + math.ceil(max(pixel) / nyquist) if pixel_integration else 1
    matrix = radial.matrix_bytes(plane, pixel, points)
    _require(_table_bytes(optics, z, radial.table_length(plane, pixel, step), step, matrix), shape)
    radii = radial.table_radii(plane, pixel, step)
    pupil = optics.pupil((z[0], z[-1]), radii[-1])
    data = radial.expand(pupil.intensity(z, radii), step, plane, pixel, points, engine)
    light = data.sum(axis=(1, 2), dtype=float) * math.prod(pixel) / pupil.plane_integral()
    _warn_of_window(light, z, optics, pixel)
    return data.reshape(shape)


def _table_bytes(
    optics: Optics, z: npt.NDArray[np.floating], radii: int, step: float, matrix: int
) -> int:
    """Memory for the pupil integrals, and then for their table and the matrix it is expanded by."""
    defocus = float(np.abs(z - optics.paraxial_focus).max())
    excursion = optics.wavenumber * (defocus * optics.axial_range + radii * step * optics.na)
    nodes = math.ceil(excursion / 2)
    # Measured numbers of float64 arrays that exist at the same time.
    return max(
        8 * ((optics.orders + 1) * nodes * radii + 5 * nodes * z.size + 3 * z.size * radii),
        8 * 2 * z.size * radii + matrix,
    )


def _require(nbytes: int, shape: tuple[int, ...]) -> None:
    """Raise `DeviceError` if the computer lacks memory; most of the work is not on the device."""
    purpose = f"A PSF of {' × '.join(map(str, shape))} voxels"
    get_engine("cpu").require(min(nbytes, sys.maxsize), 0, purpose)


def _warn_of_sampling(optics: Optics, spacing: tuple[float, ...]) -> None:
    """Warn if the voxels are larger than the optics' Nyquist steps."""
    lateral = optics.wavelength / (4 * optics.na)
    axial = optics.wavelength / (2 * optics.axial_range)
    limits = (axial, lateral, lateral)[-len(spacing) :]
    if any(step > limit * (1 + 1e-6) for step, limit in zip(spacing, limits, strict=True)):
        warnings.warn(
            f"The voxels are {_micrometres(spacing)}; this objective resolves details that need "
            f"{_micrometres(limits)} or smaller: the PSF is undersampled.",
            DeconvWarning,
            stacklevel=3,
        )


def _warn_of_window(
    light: npt.NDArray[np.floating],
    z: npt.NDArray[np.floating],
    optics: Optics,
    pixel: tuple[float, float],
) -> None:
    """Warn if a plane has lost much of its light past the sides of the window."""
    worst = int(np.argmin(light))
    if light[worst] >= _ENOUGH_LIGHT:
        return
    width = 2 * (optics.cone_radius(float(z[worst])) + optics.wavelength / optics.na)
    needed = " × ".join(str(math.ceil(width / step)) for step in pixel)
    warnings.warn(
        f"The window cuts off the cone of light: the plane {abs(z[worst] - z[z.size // 2]):.3g} µm "
        f"from the middle keeps only {light[worst]:.0%} of it. Use fewer planes, or about {needed} "
        "pixels (y × x).",
        DeconvWarning,
        stacklevel=4,
    )


def _refuse_others(model: str, given: dict[str, Any], known: tuple[str, ...]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise DeconvError(
            f"The model {model!r} has no {', '.join(unknown)}: it takes {', '.join(known)}."
        )


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        size = tuple(operator.index(n) for n in shape)
    except TypeError:
        size = ()
    if len(size) not in (2, 3) or min(size) < 1:
        raise DeconvError(
            f"shape={shape!r} is not a shape: expected whole numbers above 0, (z, y, x) or (y, x)."
        )
    return size


def _check_fwhm(fwhm: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """One width per axis."""
    try:
        widths = tuple(np.broadcast_to(np.asarray(fwhm, dtype=float), (ndim,)).tolist())
    except (TypeError, ValueError):
        widths = (math.nan,)
    if not all(math.isfinite(width) and width > 0 for width in widths):
        raise DeconvError(
            f"fwhm={fwhm!r} is no width: expected {ndim} numbers above 0, in µm and in the order "
            "of the shape, or one for all axes."
        )
    return widths


def _micrometres(lengths: tuple[float, ...]) -> str:
    return " × ".join(f"{length:.3g}" for length in lengths) + " µm"
