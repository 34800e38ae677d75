"""A deconvolution's parameters, checked and prepared before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import (
    check_array,
    check_background,
    check_finite,
    check_image,
)
from napari_deconv.deconvolution.methods import METHODS
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.points import prepare_psfs
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import Run
from napari_deconv.deconvolution.settings import check_settings, is_auto
from napari_deconv.deconvolution.volume import grid_of, memory_of
from napari_deconv.deconvolution.words import CONSTANT, NO_MASK, NOTHING_COUNTS, below_zero
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.position import Checkpoint

__all__ = ["Job", "check_mask", "prepare"]

Float = npt.NDArray[np.float32]


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

    @property
    def memory(self) -> int:
        """Bytes that the largest step takes on the device."""
        options = self.options
        ndim = self.image.ndim - len(self.leading)
        shape = (1,) * (3 - ndim) + self.image.shape[len(self.leading) :]
        grid = grid_of(shape, options.psfs[0].shape, options.boundary)
        return memory_of(grid, options.arrays + len(options.psfs) - 1)

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
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    background: str | float | npt.ArrayLike,
    mask: npt.ArrayLike | None,
    spacing: float | Sequence[float] | None,
    depths: Sequence[float] | None,
    centre_psf: bool,
    initial: npt.ArrayLike | Deconvolution | None,
    engine: str | Engine,
    **given: Any,
) -> Job:
    """Check everything before anything is computed; `given` is what `check_settings` takes."""
    settings = check_settings(mask=mask, depths=depths, **given)
    method = settings["method"]
    array = check_array(image)
    points = prepare_psfs(psf, array.ndim, spacing, centre_psf, depths, settings["boundary"])
    allowed = check_mask(mask, array.shape)
    light = _light(array, allowed, METHODS[method].positive)
    offset = None if is_auto(background) else check_background(background, light)
    options = Options(**settings, **points.settings, engine=get_engine(engine))
    parameters = given | {
        "spacing": points.spacing,
        "background": background if isinstance(background, str) else np.asarray(background)[()],
        "mask": allowed,
        "depths": depths,
        "centre_psf": centre_psf,
        "initial": f"a result of {initial.iterations} iterations"
        if isinstance(initial, Deconvolution)
        else None if initial is None else np.asarray(initial),
    }  # fmt: skip
    start = _initial(initial, array.shape)
    checkpoints = initial._checkpoints if isinstance(initial, Deconvolution) else []
    leading = array.shape[: -points.ndim]
    return Job(
        light, points.used, options, offset, allowed, start, checkpoints, leading, parameters
    )


def _light(
    array: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, positive: bool
) -> npt.NDArray[Any]:
    """Make the data finite and, for methods that take photon counts, not negative."""
    if mask is not None:
        array = np.where(mask, array, array.dtype.type(0))
    check_finite(array)
    if array.min() == array.max():
        _say(CONSTANT)
    negative = int(np.count_nonzero(array < 0))
    if negative and positive:
        _say(below_zero(negative, array.size))
        return np.asarray(np.maximum(array, 0))
    return array


def check_mask(mask: npt.ArrayLike | None, shape: tuple[int, ...]) -> npt.NDArray[np.bool_] | None:
    """Take a mask as an array of an image's shape, True where voxels count.

    Raises
    ------
    DeconvError
        If it is no mask, does not fit the shape, or leaves out everything.
    """
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype.kind not in "buif" or not np.isin(array, (0, 1)).all():
        raise DeconvError(NO_MASK)
    try:
        allowed = np.broadcast_to(array.astype(bool), shape)
    except ValueError:
        raise DeconvError(f"The mask has shape {array.shape}, the image {shape}.") from None
    if not allowed.any():
        raise DeconvError(NOTHING_COUNTS)
    return allowed


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


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
