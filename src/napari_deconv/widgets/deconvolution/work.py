"""What is computed in the thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np

from napari_deconv._progress import Callback, Progress
from napari_deconv.background import estimate_background
from napari_deconv.blocks.background import sample_background
from napari_deconv.deconvolution import Deconvolution, deconvolve
from napari_deconv.widgets.common.parts import Part, read_psf
from napari_deconv.widgets.common.results import Limits, contrast

__all__ = ["deconvolve_part", "planes_of", "preview_part", "with_contrast"]


def planes_of(psf: Part, given: Mapping[str, Any]) -> int:
    """Count the planes that a PSF has at the voxel size of the image."""
    if psf.ndim < 3:
        return 1
    steps = given["psf_spacing"]
    return max(1, round(psf.shape[0] * steps[0] / given["spacing"][0]))


def deconvolve_part(
    source: Part,
    psf: Part,
    *,
    psf_spacing: Any,
    own_psf: bool,
    leave_out: Part | None = None,
    callback: Callback | None = None,
    **parameters: Any,
) -> Deconvolution:
    """Deconvolve; see `read_psf` for the PSF.

    Where the background is a part, it is that of all the volume that this is of.
    """
    points = read_psf(psf, psf_spacing, own_psf)
    if isinstance(parameters["background"], Part):
        part, axes = parameters["background"], np.ndim(points)
        parameters["background"] = _level_around(part, axes, leave_out, callback)
    if leave_out is not None:
        parameters["mask"] = np.asarray(leave_out) == 0
    return deconvolve(np.asarray(source), points, callback=callback, **parameters)


def with_contrast(
    job: Callable[..., Deconvolution], callback: Callback
) -> tuple[Deconvolution, Limits]:
    """Do it, and find how its result is to be shown: in the window's thread it would be a halt."""
    result = job(callback=callback)
    return result, contrast(result.image, 0)


def _level_around(
    part: Part, axes: int, leave_out: Part | None, callback: Callback | None
) -> float | str:
    """Find the automatic background of a volume, of which a part is deconvolved."""
    mask = None
    if leave_out is not None:
        mask = da.asarray(leave_out.voxels) == 0
        if mask.shape == tuple(part.voxels.shape[-mask.ndim :]):
            mask = da.broadcast_to(mask, part.voxels.shape)

    def tell(progress: Progress) -> None:
        with suppress(StopIteration):  # stopped to keep what there is, which is nothing yet
            if callback is not None:
                callback(progress)

    frame = tuple(each.start for each in part.box[:-axes])
    return _usable(sample_background(part.voxels, mask, frame, tell))


def _usable(level: float) -> float | str:
    """Leave a level below 0, where light has been taken away already, to the run, which says so."""
    return level if level >= 0 else "auto"


def preview_part(around: Part, psf: Part, **parameters: Any) -> Deconvolution:
    """Deconvolve what is in view, with the background of its surroundings, if they are given."""
    if isinstance(parameters["background"], Part):
        image = np.asarray(parameters["background"])
        level = float(np.ravel(estimate_background(image, engine=parameters["engine"]))[0])
        parameters["background"] = _usable(level)
    if "leave_out" in parameters:
        mask = parameters["leave_out"]
        parameters["leave_out"] = replace(mask, box=around.box[-mask.ndim :])
    return deconvolve_part(around, psf, **parameters)
