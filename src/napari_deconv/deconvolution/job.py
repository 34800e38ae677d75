"""A deconvolution's parameters, checked and prepared before anything is computed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import (
    as_volume,
    check_array,
    check_background,
    check_choice,
    check_finite,
    check_image,
    check_whole,
)
from napari_deconv.deconvolution.levels import MOST_LEVELS
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import Options, Run
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.prepare import crop_to_support, prepare_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.position import Checkpoint
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
    initial: npt.NDArray[Any] | None
    checkpoints: list[Checkpoint]
    leading: tuple[int, ...]
    parameters: dict[str, Any]

    @property
    def frames(self) -> list[tuple[int, ...]]:
        """Index of each volume on the axes in front."""
        return list(np.ndindex(self.leading))

    def run(self, frame: tuple[int, ...]) -> Run:
        """Make the run of one volume."""
        number = self.frames.index(frame)
        background = self.background
        if background is not None and background.ndim > 0:
            background = background[frame]
        return Run(
            self.image[frame],
            self.options,
            background,
            None if self.mask is None else self.mask[frame],
            None if self.initial is None else self.initial[frame],
            self.checkpoints[number] if self.checkpoints else {},
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
    levels: int | str,
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
    steps = check_whole(iterations, "iterations")
    weight = _weight(regularization_weight, method, regularization)
    array = check_array(image)
    data, voxel = prepare_psf(psf, array.ndim, spacing, centre_psf)
    if boundary != "circular":
        data = crop_to_support(data)
    ndim = data.ndim
    allowed = _mask(mask, array.shape, method)
    light = _light(array, allowed, method)
    offset = None if _is_auto(background) else check_background(background, light)
    relative = (1.0,) * (3 - ndim) + (voxel or (1.0,) * ndim)
    options = Options(
        method, steps, boundary, acceleration, _levels(levels), regularization, weight,
        as_volume(data), relative, get_engine(engine),
    )  # fmt: skip
    parameters = {
        "method": method, "iterations": steps, "spacing": voxel,
        "background": background if isinstance(background, str) else np.asarray(background)[()],
        "boundary": boundary, "mask": None if allowed is None else allowed,
        "acceleration": acceleration, "levels": levels, "regularization": regularization,
        "regularization_weight": regularization_weight, "centre_psf": centre_psf,
        "initial": f"a result of {initial.iterations} iterations"
        if isinstance(initial, Deconvolution)
        else None if initial is None else np.asarray(initial),
    }  # fmt: skip
    used = Psf(data, voxel, psf.metadata if isinstance(psf, Psf) else {}) if voxel else data
    start = _initial(initial, array.shape)
    checkpoints = initial._checkpoints if isinstance(initial, Deconvolution) else []
    leading = array.shape[:-ndim]
    return Job(light, used, options, offset, allowed, start, checkpoints, leading, parameters)


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
    array = np.asarray(mask)
    if array.dtype.kind not in "buif" or not np.isin(array, (0, 1)).all():
        raise DeconvError("The mask is not one: expected True or 1 where voxels count, else 0.")
    try:
        allowed = np.broadcast_to(array.astype(bool), shape)
    except ValueError:
        raise DeconvError(f"The mask has shape {array.shape}, the image {shape}.") from None
    if not allowed.any():
        raise DeconvError("The mask leaves out every voxel: it is True where voxels count.")
    return allowed


def _is_auto(background: str | npt.ArrayLike) -> bool:
    if isinstance(background, str):
        check_choice(background, ("auto",), "background")
        return True
    return False


def _initial(
    initial: npt.ArrayLike | Deconvolution | None, shape: tuple[int, ...]
) -> npt.NDArray[Any] | None:
    if initial is None:
        return None
    estimate = initial.image if isinstance(initial, Deconvolution) else initial
    start = check_image(estimate, "initial estimate")
    if start.shape != shape:
        raise DeconvError(f"The initial estimate has shape {start.shape}, the image {shape}.")
    return start


def _levels(levels: int | str) -> int:
    if levels == "auto":
        return MOST_LEVELS
    if isinstance(levels, str):
        raise DeconvError(f"levels={levels!r}: expected 'auto' or a whole number from 1.")
    return check_whole(levels, "levels")


def _weight(given: float | None, method: str, regularization: str | None) -> float:
    if method != "richardson_lucy" and regularization is not None:
        raise DeconvError(f"method={method!r} takes no regularization: use 'richardson_lucy'.")
    weight = _DEFAULT_WEIGHT[method] if given is None else given
    if not isinstance(weight, int | float | np.number) or not 0 < weight < math.inf:
        raise DeconvError(f"regularization_weight={weight!r}: expected a number above 0.")
    if method == "richardson_lucy" and regularization is None and given is not None:
        raise DeconvError("regularization_weight has no effect without regularization='tv'.")
    return float(weight)


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
