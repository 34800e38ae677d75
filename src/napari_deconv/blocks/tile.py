"""One tile: read with its surroundings, deconvolved, and cut smaller where memory is short."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.source import ONE_TILE, Source
from napari_deconv.blocks.survey import Survey
from napari_deconv.deconvolution.choice import make_solver
from napari_deconv.deconvolution.direct import filter_directly
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import less_offset
from napari_deconv.deconvolution.volume import Problem, Volume, make_model
from napari_deconv.errors import DeconvWarning, DeviceMemoryError
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["Work", "deconvolve_tile"]

Float = npt.NDArray[np.float32]

# Smaller tiles would be nearly all overlap.
_LEAST = 16


@dataclass(frozen=True)
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
    """

    source: Source
    plan: BlockPlan
    surveys: Mapping[tuple[int, ...], Survey]


def deconvolve_tile(work: Work, tile: Tile) -> Float:
    """Deconvolve one tile: its shape, axes in front left out.

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
    try:
        with ONE_TILE:
            return _whole(work, tile)
    except (DeviceMemoryError, MemoryError):
        axis = max(work.plan.order.cut_axes, key=lambda axis: tile.shape[axis])
        if tile.shape[axis] < 2 * _LEAST:
            raise
    size = " × ".join(map(str, tile.shape))
    # Said alike for all tiles, so that Python says it once.
    warnings.warn(
        f"A tile of {size} voxels did not fit into the memory: it was done in halves. Smaller "
        "tiles from the start take less time: give block or memory.",
        DeconvWarning,
        stacklevel=2,
    )
    return np.concatenate([deconvolve_tile(work, half) for half in tile.halves(axis)], axis)


def _whole(work: Work, tile: Tile) -> Float:
    survey = work.surveys[tile.frame]
    options = survey.settle(work.plan.order.options)
    region = tile.region(work.plan.overlap, work.plan.space)
    image, background, mask = work.source.read((*tile.frame, *region))
    if mask is not None and not mask.any():
        return np.zeros(tile.shape, np.float32)
    level = survey.background if background is None else background
    problem = _problem(image, level, mask, options)
    estimate = _solve(problem, options, survey).reshape(image.shape)
    return estimate[tile.inside(region)].copy()


def _problem(
    image: npt.NDArray[Any], background: Any, mask: npt.NDArray[np.bool_] | None, options: Options
) -> Problem:
    if options.kind.positive:
        image = np.maximum(image, 0)
    if options.fits_photons:
        image = image.astype(np.float32)
    level = np.asarray(background)
    return Problem(
        as_volume(image),
        level.reshape(1, 1, 1) if level.size == 1 else as_volume(level),
        None if mask is None else as_volume(mask),
        options.psfs,
        options.depths,
        options.spacing,
        options.boundary,
    )


class _Unmeasured(Monitor):
    """Measures nothing: a tile that judged itself would go another way than its neighbours."""

    def due(self, position: Position) -> bool:
        """Never."""
        return False


def _solve(problem: Problem, options: Options, survey: Survey) -> Float:
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
