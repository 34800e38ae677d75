"""One tile: read with its surroundings, deconvolved, and cut smaller where memory is short."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isnan

import numpy as np

from napari_deconv.blocks.fit import Fit, FittedTile, fit_of, in_all
from napari_deconv.blocks.grid import LEAST, Tile
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.region import Survey, make_problem, solve
from napari_deconv.blocks.source import Source
from napari_deconv.blocks.telling import one_half, tell
from napari_deconv.blocks.turn import Models, one_tile
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.run import Run
from napari_deconv.errors import DeconvWarning, DeviceMemoryError

__all__ = ["OUT_OF_MEMORY", "Work", "deconvolve_tile", "longest_axis", "make_run"]

OUT_OF_MEMORY = DeviceMemoryError, MemoryError
"""Of the device, or of the machine."""


@dataclass(frozen=True, eq=False)  # a key, by which models are kept
class Work:
    """What all tiles share; it can be pickled, and is sent to a worker once.

    Attributes
    ----------
    source : Source
        What is read.
    plan : BlockPlan
        How it is cut, and what is done.
    surveys : dict
        What holds for each volume, by its index on the axes in front.
    measured : bool
        Whether to measure in each tile how well the model explains it.
    """

    source: Source
    plan: BlockPlan
    surveys: Mapping[tuple[int, ...], Survey]
    measured: bool = False


def deconvolve_tile(work: Work, tile: Tile) -> FittedTile:
    """Deconvolve one tile: of its shape, axes in front left out.

    Where memory is short it is cut in halves along its longest axis, down to 16 voxels.

    Raises
    ------
    DeviceMemoryError, MemoryError
        If the smallest tile does not fit either.

    Warns
    -----
    DeconvWarning
        If it was cut.
    """
    parts, estimate = _in_parts(work, tile)
    if parts > 1:
        size = " × ".join(map(str, tile.shape))
        # Said alike for all tiles of a size, so that Python says it once.
        warnings.warn(
            f"A tile of {size} voxels did not fit into the memory: it was done in {parts} smaller "
            "ones. With smaller ones from the start it is faster: give block or memory.",
            DeconvWarning,
            stacklevel=2,
        )
    return estimate


def _in_parts(work: Work, tile: Tile) -> tuple[int, FittedTile]:
    """Deconvolve a tile in as few parts as fit; tell how many."""
    try:
        return 1, _whole(work, tile)
    except OUT_OF_MEMORY:
        axis = longest_axis(work.plan, tile)
        if axis is None:
            raise
    done: list[tuple[int, FittedTile]] = []
    for half in tile.halves(axis):
        with one_half(before=len(done)):
            done.append(_in_parts(work, half))
    counts, halves = zip(*done, strict=True)
    voxels = np.concatenate([half.voxels for half in halves], axis)
    return sum(counts), FittedTile(voxels, in_all([half.fit for half in halves]))


def longest_axis(plan: BlockPlan, tile: Tile) -> int | None:
    """Tell where a tile is cut in halves; None if they would be too small, or it is not cut."""
    axes = [axis for axis in plan.order.cut_axes if tile.shape[axis] >= 2 * LEAST]
    return max(axes, key=lambda axis: tile.shape[axis], default=None)


def _whole(work: Work, tile: Tile) -> FittedTile:
    # Not in the caller: it would hold the models of a tile that failed while the halves are done.
    with one_tile(work) as models:
        return _in_one_piece(work, tile) if work.plan.order.whole else _solved(work, tile, models)


def _in_one_piece(work: Work, tile: Tile) -> FittedTile:
    """Deconvolve a volume as `deconvolve` does, its rules included."""
    survey = work.surveys[tile.frame]
    options = replace(work.plan.order.options, stop=survey.stop, weight=survey.weight)
    if not isnan(survey.gain):
        options = replace(options, gain=survey.gain, offset=survey.offset)
    run = make_run(work.source, work.plan, tile, options, survey.background)
    for state in run.states():
        tell(state.iteration / state.iterations if state.level == 1 else 0.0)
    return FittedTile(run.image, fit_of(run.history, run.iterations))


def _solved(work: Work, tile: Tile, models: Models) -> FittedTile:
    survey = work.surveys[tile.frame]
    options = survey.settle(work.plan.order.options)
    region = tile.region(work.plan.overlap, work.plan.space, work.plan.bins)
    image, background, mask = work.source.read((*tile.frame, *region))
    if mask is not None and not mask.any():
        dark = Fit(0.0, 0.0, 0.0, options.iterations)
        return FittedTile(np.zeros(tile.shape, np.float32), dark)
    level = survey.background if background is None else background
    start = [part.start for part in region]
    problem = make_problem(image, level, mask, options, start)
    inside = (slice(None),) * (3 - image.ndim) + tile.inside(region)
    tiled = solve(
        problem, options, survey, models, work.plan.coarse, inside, measured=work.measured
    )
    return FittedTile(tiled.voxels.reshape(tile.shape), tiled.fit)


def make_run(
    source: Source, plan: BlockPlan, tile: Tile, options: Options, background: float
) -> Run:
    """Read a tile and what it sees, and make it ready to be done as an image of its own.

    Parameters
    ----------
    source, plan, tile
        What is read.
    options : Options
        What is to be done.
    background : float
        Where none is given for each voxel.
    """
    region = tile.region(plan.overlap, plan.space, plan.bins)
    image, level, mask = source.read((*tile.frame, *region))
    if options.kind.positive:
        image = np.maximum(image, 0)
    level = np.asarray(background if level is None else level)
    start = [part.start for part in region]
    return Run(image, options, level, mask, None, None, plan.coarse, start)
