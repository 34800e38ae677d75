"""The front door to synthetic point-spread functions."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_choice, check_spacing
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.analytic import Gaussian, Lorentzian
from napari_deconv.psf.synthetic.formula import Formula
from napari_deconv.psf.synthetic.modalities import (
    MODALITIES,
    Modality,
    ModalityName,
    Sheet,
    make_modality,
    parameters_of,
)
from napari_deconv.psf.synthetic.motion import Motion
from napari_deconv.psf.synthetic.optics import BornWolf, GibsonLanni, Optics, Vectorial
from napari_deconv.psf.synthetic.sampling import check_units, steps_of, warn_of_sampling
from napari_deconv.psf.synthetic.voxels import expand_modality, require_memory

__all__ = ["Centre", "Model", "make_psf", "takes"]

Model = Literal[
    "gaussian", "lorentzian", "motion", "formula", "born_wolf", "gibson_lanni", "vectorial"
]
Centre = Literal["best_focus", "paraxial", "none"]

_SIMPLE: Mapping[str, type[Gaussian | Lorentzian | Motion | Formula]] = {
    "gaussian": Gaussian,
    "lorentzian": Lorentzian,
    "motion": Motion,
    "formula": Formula,
}
_OPTICAL: Mapping[str, type[Optics]] = {
    "born_wolf": BornWolf,
    "gibson_lanni": GibsonLanni,
    "vectorial": Vectorial,
}
_CENTRES = ("best_focus", "paraxial", "none")

# One float32 volume; the simple models are copied and masked while they are normalised.
_BYTES_PER_VOXEL, _SIMPLE_BYTES_PER_VOXEL = 4, 9


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
    zernike: Mapping[int, float] | None = None,
    modality: ModalityName = "widefield",
    excitation: float | None = None,
    pinhole: float | None = None,
    pinhole_radius: float | None = None,
    pinhole_distance: float | None = None,
    illumination_na: float | None = None,
    sheet: Sheet | None = None,
    depletion: float | None = None,
    saturation: float | None = None,
    fwhm: float | Sequence[float] | None = None,
    length: float | None = None,
    angle: float | Sequence[float] | None = None,
    formula: str | None = None,
    parameters: Mapping[str, float] | None = None,
    centre: Centre = "best_focus",
    flip_z: bool = False,
    pixel_integration: bool | None = None,
    engine: str | Engine = "auto",
) -> Psf:
    """Make the point-spread function of a microscope, of a motion, or of a simple shape.

    Parameters
    ----------
    model : str
        Optical models: ``"vectorial"``, a freely turning emitter, right at every aperture;
        ``"gibson_lanni"``, scalar, for apertures below 0.7; ``"born_wolf"``, paraxial and without
        aberration, takes only `na`, `wavelength` and `n_immersion` of the optics. Simple ones:
        ``"gaussian"`` and ``"lorentzian"`` take `fwhm`, ``"motion"`` `length` and `angle`,
        ``"formula"`` `formula` and `parameters`.
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
    zernike : mapping of int to float, optional
        Further aberrations of the objective, widefield only: coefficients in µm rms by OSA/ANSI
        index, for example ``{12: 0.05}`` for spherical aberration, 7 and 8 for coma, 3 and 5 for
        astigmatism. The angle runs from x to y. They leave `centre` where it is without them.
    modality : str
        ``"widefield"``, ``"confocal"``, ``"spinning_disk"``, ``"two_photon"``, ``"light_sheet"`` or
        ``"sted"``; see `napari_deconv.psf.synthetic.modalities`.
    excitation : float, optional
        Excitation wavelength in vacuum, µm: for all but widefield.
    pinhole, pinhole_radius : float, optional
        Confocal, spinning disk and STED: diameter in Airy units of 1.22·λ_em/NA (1), or instead the
        radius in µm, back-projected into the specimen. 0 is a closed one, `math.inf` none.
    pinhole_distance : float, optional
        Spinning disk: distance of neighbouring pinholes, back-projected, µm (2.5).
    illumination_na : float, optional
        Light sheet: aperture of the illumination; the sheet is 0.64·excitation/NA thick (1/e²).
    sheet : {"gaussian", "scanned"}, optional
        Light sheet: a Gaussian one (default), or a scanned beam that fills its aperture.
    depletion, saturation : float, optional
        STED: wavelength of the doughnut, µm, and exponent of the depletion on its crest (20).
    fwhm : float or sequence of float, optional
        Full width at half maximum in µm, in the order of `shape`.
    length : float, optional
        Length of the motion during the exposure, µm.
    angle : float or sequence of float, optional
        Direction of the motion in degrees: in the plane, from x towards y (0), and out of the plane
        towards z (0).
    formula : str, optional
        Intensity as a formula of x, y and z, the distances from the centre in µm, for example
        ``"2**(-(x**2 + y**2)/(a/2)**2)"``: numbers, ``+ - * / ** %``, comparisons, ``pi``, and the
        functions sqrt, exp, log, abs, sin, cos, tan, atan2, cosh, tanh, erf, j0, j1, hypot, min,
        max, where. It is never run as Python.
    parameters : mapping of str to float, optional
        Values of other names in the formula, for example ``{"a": 0.25}``.
    centre : {"best_focus", "paraxial", "none"}
        What lies in the middle plane: the brightest point of the axis, the paraxial focus, or
        z = 0, which is the focus at the cover slip. Larger z is deeper in the specimen.
    flip_z : bool
        For stacks recorded the other way, with larger z towards the cover slip.
    pixel_integration : bool, optional
        Integrate over the camera's pixels instead of sampling their centres; unless given, where no
        beam scans. Planes are sampled: a stack is made by moving the focus. The simple shapes are
        integrated along z as well.
    engine : str or Engine
        ``"auto"``, ``"cpu"``, ``"opencl"``, ``"opencl:<device>"``.

    Returns
    -------
    Psf
        float32, sum 1, centre voxel n // 2. Its metadata hold the model, every parameter, and for
        optical models ``focal_shift``, the distance from the paraxial to the best focus in µm, and
        ``nyquist_step`` (z, y, x).

    Raises
    ------
    DeconvError
        If a parameter is missing, impossible, or none of the model's and modality's.
    DeviceError
        If the memory does not suffice.

    Warns
    -----
    DeconvWarning
        If the voxels are larger than `napari_deconv.psf.nyquist_step`, or the window cuts off the
        cone of light, or the motion.

    Notes
    -----
    The pupil integrals of `napari_deconv.psf.synthetic.optics` are tabulated over z and r, the
    tables are combined as the modality says, and a cubic spline through the result is integrated
    over the pixels by 4×4 Gauss points, more where the pixels are larger than the Nyquist step.
    Against exact integrals the error is below 2e-6 of the peak.
    """
    given = {name: value for name, value in {
        "na": na, "wavelength": wavelength, "n_immersion": n_immersion, "n_sample": n_sample,
        "n_glass": n_glass, "n_immersion_design": n_immersion_design,
        "depth": None if np.ndim(depth) == 0 and depth == 0 else depth,
        "n_glass_design": n_glass_design, "glass_thickness": glass_thickness,
        "glass_thickness_design": glass_thickness_design, "working_distance": working_distance,
        "zernike": None if isinstance(zernike, Mapping) and not zernike else zernike,
        "excitation": excitation, "pinhole": pinhole, "pinhole_radius": pinhole_radius,
        "pinhole_distance": pinhole_distance, "illumination_na": illumination_na, "sheet": sheet,
        "depletion": depletion, "saturation": saturation, "fwhm": fwhm, "length": length,
        "angle": angle, "formula": formula, "parameters": parameters,
    }.items() if value is not None}  # fmt: skip
    check_choice(model, (*_SIMPLE, *_OPTICAL), "model")
    check_choice(centre, _CENTRES, "centre")
    check_choice(modality, tuple(MODALITIES), "modality")
    size = _check_shape(shape)
    voxel = check_spacing(spacing, len(size))
    if voxel is None:
        raise DeconvError("spacing is missing: give the voxel size (z, y, x) in µm.")
    voxel_bytes = _SIMPLE_BYTES_PER_VOXEL if model in _SIMPLE else _BYTES_PER_VOXEL
    require_memory(voxel_bytes * math.prod(size), size)
    flipped = _flag(flip_z, "flip_z", unless_given=False)
    if model in _SIMPLE:
        whole = _flag(pixel_integration, "pixel_integration", unless_given=True)
        _refuse_frame(model, modality, centre, flipped)
        return _simple_psf(model, size, voxel, given, whole)
    microscope = make_modality(modality, model, _OPTICAL[model], given)
    whole = _flag(pixel_integration, "pixel_integration", unless_given=microscope.camera)
    data, metadata = _optical_psf(
        microscope, size, voxel, centre, flipped, whole, get_engine(engine)
    )
    return Psf.of_own(data, voxel, {"model": model, "modality": modality, **metadata})


def takes(model: str, modality: str = "widefield") -> tuple[str, ...]:
    """Name the parameters of `make_psf` that a model takes beside those that all take.

    Raises
    ------
    DeconvError
        If there is no such model or modality.
    """
    check_choice(model, (*_SIMPLE, *_OPTICAL), "model")
    check_choice(modality, tuple(MODALITIES), "modality")
    if model in _SIMPLE:
        return tuple(field.name for field in fields(_SIMPLE[model]))
    aberrations = ("zernike",) if modality == "widefield" else ()
    return parameters_of(_OPTICAL[model], MODALITIES[modality]) + aberrations


def _simple_psf(
    model: str,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    given: Mapping[str, Any],
    pixel_integration: bool,
) -> Psf:
    """Sample a model that knows nothing of optics."""
    known = takes(model)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise DeconvError(
            f"The model {model!r} has no {', '.join(unknown)}: it takes {', '.join(known)}."
        )
    simple = _SIMPLE[model].from_parameters(given, spacing)
    data = simple.sample(shape, spacing, pixel_integration)
    metadata = {"model": model, "pixel_integration": pixel_integration, **asdict(simple)}
    return Psf(data, spacing, metadata)


def _optical_psf(
    microscope: Modality,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    centre: str,
    flip_z: bool,
    pixel_integration: bool,
    engine: Engine,
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Compute the PSF of a microscope, and write down how."""
    check_units(microscope, spacing)
    best, paraxial = microscope.best_focus(), microscope.optics.paraxial_focus
    focus = {"best_focus": best, "paraxial": paraxial, "none": 0.0}[centre]
    planes = shape[0] if len(shape) == 3 else 1
    offset = (np.arange(planes, dtype=float) - planes // 2) * (spacing[0] if planes > 1 else 0.0)
    z = np.asarray(focus - offset if flip_z else focus + offset)
    warn_of_sampling(microscope, spacing, stacklevel=3)
    data = expand_modality(
        microscope, shape, spacing, z,
        pixel_integration=pixel_integration, engine=engine, stacklevel=3,
    )  # fmt: skip
    return data, {
        **_plain(microscope), "centre": centre, "flip_z": flip_z,
        "pixel_integration": pixel_integration, "focal_shift": best - paraxial,
        "nyquist_step": steps_of(microscope),
    }  # fmt: skip


def _refuse_frame(model: str, modality: str, centre: str, flip_z: bool) -> None:
    """Raise `DeconvError` where something is asked of a simple model that only optics have."""
    if (modality, centre, flip_z) != ("widefield", "best_focus", False):
        raise DeconvError(
            f"The model {model!r} knows no optics: leave out modality, centre and flip_z, or take "
            "one of 'vectorial', 'gibson_lanni', 'born_wolf'."
        )


def _flag(value: Any, name: str, *, unless_given: bool) -> bool:
    """Take True or False; a text such as "no" would count as True."""
    if value is None:
        return unless_given
    if not isinstance(value, bool | np.bool_):
        raise DeconvError(f"{name}={value!r}: expected True or False.")
    return bool(value)


def _plain(microscope: Modality) -> dict[str, Any]:
    """Write down all parameters; JSON knows no infinite pinhole."""
    own = asdict(microscope)
    values: dict[str, Any] = own.pop("optics") | own
    return {name: "inf" if value == math.inf else value for name, value in values.items()}


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
