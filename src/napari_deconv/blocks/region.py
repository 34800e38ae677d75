"""A region of an image, deconvolved with what holds for the whole of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.fit import FitOfOwn, FittedTile, Unmeasured
from napari_deconv.blocks.telling import tell
from napari_deconv.blocks.turn import Models
from napari_deconv.deconvolution.choice import make_solver
from napari_deconv.deconvolution.direct import filter_directly, light_of
from napari_deconv.deconvolution.levels import Binning, Pyramid, coarse_steps
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import hold_out, less_offset
from napari_deconv.deconvolution.volume import Problem, Volume, grid_of, margin_of
from napari_deconv.solvers.position import Monitor, Position
from napari_deconv.solvers.weights import mirror_counts, weighted_sum

__all__ = ["Survey", "make_problem", "solve"]

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """What holds for all tiles of one volume.

    Attributes
    ----------
    background : float
        In the image's units; NaN where it is given as an array.
    scale : float
        What the data are divided by: a power of two, so that their maximum is from 1 to 2.
    light : float
        Mean light above the background, to start from; for a filter the mean on the image's grid,
        margins included.
    gain, offset : float
        Grey values a photon, and grey value without light; NaN where photons are not counted.
    iterations : int
        Steps to do.
    weight : float
        Of the regularisation; NaN if there is none.
    stop : str or None
        The rule that was followed; None where it could not be.
    stop_reason : str
        Why it ends after so many.
    content : str
        A number of the volume's voxels and of what lies on them.
    """

    background: float
    scale: float
    light: float
    gain: float
    offset: float
    iterations: int
    weight: float
    stop: str | None = None
    stop_reason: str = ""
    content: str = ""

    def settle(self, options: Options) -> Options:
        """Put the numbers that were found in place of the rules that found them."""
        return replace(options, iterations=self.iterations, weight=self.weight, stop=None)


def make_problem(
    image: npt.NDArray[Any],
    background: Any,
    mask: npt.NDArray[np.bool_] | None,
    options: Options,
    start: Sequence[int] = (0, 0, 0),
) -> Problem:
    """Make a problem of a region (z, y, x) or (y, x), and of what lies on its voxels."""
    if options.kind.positive:
        image = np.maximum(image, 0)
    return options.problem(image, background, mask, start)


def solve(
    problem: Problem,
    options: Options,
    survey: Survey,
    models: Models,
    coarse: Sequence[Binning] = (),
    inside: Sequence[slice] = (slice(None),) * 3,
    *,
    measured: bool = False,
) -> FittedTile:
    """Deconvolve a region with what holds for the whole image, and give a part of it (z, y, x).

    Parameters
    ----------
    problem : Problem
        The region, which begins where a bin of the whole image does.
    options : Options
        What is to be done.
    survey : Survey
        What holds for the whole image.
    models : Models
        Of the region before, or none.
    coarse : sequence of Binning
        How coarse levels are binned, the finest first.
    inside : sequence of slice, optional
        What is given back, (z, y, x). Default: all of it.
    measured : bool
        Whether to measure how well the model explains that part; direct filters have no model.
    """
    own = tuple(inside)
    models.begin(problem.image.shape)
    if options.kind.direct:
        return FittedTile(_filter(problem, options, survey, models)[own].copy(), None)
    if options.fits_photons:
        problem = less_offset(problem, problem.image, survey.offset)
    if survey.stop == "consensus":
        offset = 0.0 if options.fits_photons else survey.offset
        problem, _ = hold_out(problem, survey.gain, offset)

    def ready(level: Problem) -> Volume:
        # In so many voxels, light adds up.
        voxels = round(prod(level.spacing) / prod(problem.spacing))
        model = models.of(level, options)
        return Volume(level, model, survey.scale * voxels, survey.light * voxels)

    pyramid = Pyramid(problem, coarse, ready)
    position = pyramid.volumes[0].start(None)
    for steps in coarse_steps(coarse, problem.psfs):
        level = pyramid.volumes[0]
        for _ in _steps(level, position, options, steps, survey.gain, Unmeasured()):
            tell(0.0)  # they take little time
        position = pyramid.carry_up(position)
    finest, steps = pyramid.volumes[0], options.iterations
    monitor = FitOfOwn(finest, own, steps) if measured else Unmeasured()
    for _ in _steps(finest, position, options, steps, survey.gain, monitor):
        tell(position.iteration / steps)
    return FittedTile(pyramid.read(position.estimate)[own].copy(), monitor.fit)


def _filter(problem: Problem, options: Options, survey: Survey, models: Models) -> Float:
    """Filter a region, as bright as it is in the whole image.

    Wiener's filter keeps the mean light, and of all other frequencies at most 1/(1 + K). The mean
    of a region is another one than that of the whole.
    """
    estimate, _ = filter_directly(problem, options, models.of(problem, options))
    light = light_of(problem)
    size = options.psfs[0].shape
    grid = grid_of(light.shape, size, options.boundary)
    margin = margin_of(size, options.boundary)
    counts = [mirror_counts(*line) for line in zip(light.shape, grid, margin, strict=True)]
    own = weighted_sum(light, counts) / prod(grid)
    kept = options.weight / (1 + options.weight)
    estimate += np.float32(kept * (survey.light - own))
    return estimate


def _steps(
    volume: Volume,
    position: Position,
    options: Options,
    iterations: int,
    gain: float,
    monitor: Monitor,
) -> Iterator[Position]:
    solver = make_solver(options, volume, gain)
    return solver(volume.model, volume.observation, position, iterations, monitor)
