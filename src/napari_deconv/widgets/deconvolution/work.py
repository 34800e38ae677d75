"""What is computed in the thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.background import estimate_background
from napari_deconv.deconvolution import Deconvolution, deconvolve
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.common.parts import Part

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["deconvolve_part", "planes_of", "preview_part", "psf_of"]


def planes_of(psf: Part, given: Mapping[str, Any]) -> int:
    """Count the planes that a PSF has at the voxel size of the image."""
    if psf.ndim < 3:
        return 1
    steps = given["psf_spacing"] or given["spacing"]
    return max(1, round(psf.shape[0] * steps[0] / given["spacing"][0]))


def psf_of(psf: Part, psf_spacing: Any, own_psf: bool) -> Psf | npt.NDArray[Any]:
    """Read a PSF; one that was not made here may be a raw recording."""
    points: Any = np.asarray(psf)
    if not own_psf:
        points, _ = repair_psf(points)
    return points if psf_spacing is None else Psf(points, psf_spacing)


def deconvolve_part(
    source: Part,
    psf: Part,
    *,
    psf_spacing: Any,
    own_psf: bool,
    leave_out: Part | None = None,
    **parameters: Any,
) -> Deconvolution:
    """Deconvolve; see `psf_of` for the PSF."""
    points = psf_of(psf, psf_spacing, own_psf)
    if leave_out is not None:
        parameters["mask"] = np.asarray(leave_out) == 0
    return deconvolve(np.asarray(source), points, **parameters)


def preview_part(around: Part, psf: Part, **parameters: Any) -> Deconvolution:
    """Deconvolve what is in view, with the background of its surroundings, if they are given."""
    if isinstance(parameters["background"], Part):
        image = np.asarray(parameters["background"])
        level = float(np.ravel(estimate_background(image, engine=parameters["engine"]))[0])
        # Below 0 light has been taken away already, which the run says.
        parameters["background"] = level if level >= 0 else "auto"
    if "leave_out" in parameters:
        mask = parameters["leave_out"]
        parameters["leave_out"] = replace(mask, box=around.box[-mask.ndim :])
    return deconvolve_part(around, psf, **parameters)
