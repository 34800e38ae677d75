"""One tile through one method."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.survey import Survey
from napari_deconv.deconvolution.choice import make_solver
from napari_deconv.deconvolution.direct import filter_directly
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import less_offset
from napari_deconv.deconvolution.volume import Problem, Volume, make_model
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["make_problem", "solve"]

Float = npt.NDArray[np.float32]


class _Unmeasured(Monitor):
    """Measures nothing: a tile that judged itself would go another way than its neighbours."""

    def due(self, position: Position) -> bool:
        return False


def make_problem(
    image: npt.NDArray[Any],
    background: Any,
    mask: npt.NDArray[Any] | None,
    options: Options,
) -> Problem:
    """Make a problem of a region (z, y, x) or (y, x)."""
    if options.kind.positive:
        image = np.maximum(image, 0)
    offset = np.asarray(background)
    return Problem(
        as_volume(image),
        offset.reshape(1, 1, 1) if offset.size == 1 else as_volume(offset),
        None if mask is None else as_volume(mask.astype(bool)),
        options.psfs,
        options.depths,
        options.spacing,
        options.boundary,
    )


def solve(problem: Problem, options: Options, survey: Survey) -> Float:
    """Deconvolve a region with what holds for the whole image: (z, y, x), of its shape."""
    if options.kind.direct:
        return filter_directly(problem, options)[0]
    if options.fits_photons:
        problem = less_offset(problem, problem.image, survey.offset)
    model = make_model(problem, options.engine, options.arrays)
    volume = Volume(problem, model, survey.scale, survey.light)
    position = volume.start(None)
    solver = make_solver(options, volume, survey.gain)
    monitor = _Unmeasured(model, volume.observation)
    for _ in solver(model, volume.observation, position, options.iterations, monitor):
        pass
    return volume.read(position.estimate)
