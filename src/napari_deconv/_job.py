"""A deconvolution's parameters, checked and prepared before anything is computed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume, check_array, check_choice, check_finite, check_image
from napari_deconv._result import Deconvolution
from napari_deconv._run import Options, Run
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.prepare import prepare_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.checkpoint import Checkpoint
from napari_deconv.solvers.regularization import REGULARIZATIONS

__all__ = ["BOUNDARIES", "METHODS", "Job", "prepare"]

Float = npt.NDArray[np.float32]

METHODS = ("richardson_lucy", "wiener", "inverse")
BOUNDARIES = ("padded", "circular", "reflect", "zero")

_DEFAULT_WEIGHT = {"richardson_lucy": 2e-3, "wiener": 1e-2, "inverse": 1e-2}


@dataclass(frozen=True)
class Job:
    """A deconvolution, checked and prepared: one or more volumes with the same options."""

    image: npt.NDArray[Any]
    psf: Psf | Float
    options: Options
    background: npt.NDArray[Any] | None
    mask: npt.NDArray[np.bool_] | None
    initial: npt.NDArray[Any] | list[Checkpoint] | None
    leading: tuple[int, ...]
    parameters: dict[str, Any]

    @property
    def frames(self) -> list[tuple[int, ...]]:
        return list(np.ndindex(self.leading))

    def run(self, frame: tuple[int, ...]) -> Run:
        """Make the run of one volume."""
        initial = self.initial
        if isinstance(initial, list):
            start: Any = initial[self.frames.index(frame)]
        else:
            start = None if initial is None else initial[frame]
        one_for_all = self.background is None or self.background.ndim == 0
        return Run(
            self.image[frame],
            self.options,
            self.background if one_for_all else self.background[frame],  # type: ignore[index]
            None if self.mask is None else self.mask[frame],
            start,
        )


def prepare(
    image: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    method: str,
    iterations: int,
    spacing: float | Sequence[float] | None,
    background: str | float | npt.ArrayLike,
    boundary: str,
    mask: npt.ArrayLike | None,
    acceleration: str | None,
    regularization: str | None,
    regularization_weight: float | None,
    initial: npt.ArrayLike | Deconvolution | None,
    centre_psf: bool,
    engine: str | Engine,
) -> Job:
    """Check everything before anything is computed."""
    check_choice(method, METHODS, "method")
    check_choice(boundary, BOUNDARIES, "boundary")
    check_choice(acceleration, ACCELERATIONS, "acceleration")
    check_choice(regularization, REGULARIZATIONS, "regularization")
    steps = _whole(iterations, "iterations")
    given = regularization_weight
    weight = _positive(_DEFAULT_WEIGHT[method] if given is None else given)
    array = check_array(image)
    data, voxel = prepare_psf(psf, array.ndim, spacing, centre_psf)
    ndim = data.ndim
    allowed = _mask(mask, array.shape, method)
    offset = _background(background, array.shape)
    relative = (1.0,) * (3 - ndim) + (voxel or (1.0,) * ndim)
    options = Options(
        method, steps, boundary, acceleration, regularization, weight, as_volume(data), relative,
        get_engine(engine),
    )  # fmt: skip
    parameters = {
        "method": method, "iterations": steps, "spacing": voxel,
        "background": background if isinstance(background, str) else np.asarray(background)[()],
        "boundary": boundary, "mask": None if allowed is None else allowed,
        "acceleration": acceleration, "regularization": regularization,
        "regularization_weight": weight, "centre_psf": centre_psf,
        "initial": f"a result of {initial.iterations} iterations"
        if isinstance(initial, Deconvolution)
        else None if initial is None else np.asarray(initial),
    }  # fmt: skip
    used = Psf(data, voxel, psf.metadata if isinstance(psf, Psf) else {}) if voxel else data
    light = _light(array, allowed, method)
    start = _initial(initial, array.shape, acceleration)
    leading = array.shape[:-ndim]
    return Job(light, used, options, offset, allowed, start, leading, parameters)


def _light(
    array: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, method: str
) -> npt.NDArray[Any]:
    """Make the data finite and, for Richardson–Lucy, not negative."""
    if mask is not None:
        array = np.where(mask, array, array.dtype.type(0))
    check_finite(array)
    if array.min() == array.max():
        _say("The image is constant: there is nothing to deconvolve in it.")
    negative = int(np.count_nonzero(array < 0))
    if negative and method == "richardson_lucy":
        _say(
            f"{negative} of {array.size} voxels are below 0 and count as 0: light is not negative. "
            "Better give the image before background subtraction, and the background."
        )
        return np.asarray(np.maximum(array, 0))
    return array


def _mask(
    mask: npt.ArrayLike | None, shape: tuple[int, ...], method: str
) -> npt.NDArray[np.bool_] | None:
    if mask is None:
        return None
    if method != "richardson_lucy":
        raise DeconvError(f"method={method!r} takes no mask: use 'richardson_lucy'.")
    array = np.asarray(mask, bool)
    try:
        allowed = np.broadcast_to(array, shape)
    except ValueError:
        raise DeconvError(f"The mask has shape {array.shape}, the image {shape}.") from None
    if not allowed.any():
        raise DeconvError("The mask leaves out every voxel: it is True where voxels count.")
    return allowed


def _background(
    background: str | float | npt.ArrayLike, shape: tuple[int, ...]
) -> npt.NDArray[Any] | None:
    if isinstance(background, str):
        check_choice(background, ("auto",), "background")
        return None
    values = np.asarray(background)
    if values.dtype.kind not in "buif" or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise DeconvError(
            f"background={background!r} is not light: expected 'auto', a number of at least 0, or "
            "an array of such numbers."
        )
    if values.ndim == 0:
        return values
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise DeconvError(f"The background has shape {values.shape}, the image {shape}.") from None


def _initial(
    initial: npt.ArrayLike | Deconvolution | None, shape: tuple[int, ...], acceleration: str | None
) -> npt.NDArray[Any] | list[Checkpoint] | None:
    if initial is None:
        return None
    if isinstance(initial, Deconvolution):
        same = initial.recipe["parameters"]["acceleration"] == acceleration
        if same and initial.image.shape == shape and all(initial._checkpoints):
            return initial._checkpoints
        initial = initial.image
    start = check_image(initial, "initial estimate")
    if start.shape != shape:
        raise DeconvError(f"The initial estimate has shape {start.shape}, the image {shape}.")
    return start


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise DeconvError(f"{name}={value!r}: expected a whole number of at least 1.")
    return int(value)


def _positive(value: Any) -> float:
    if not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
        raise DeconvError(f"regularization_weight={value!r}: expected a number above 0.")
    return float(value)


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
