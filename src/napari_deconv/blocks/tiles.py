"""Deconvolve an array tile by tile, when its tiles are asked for."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv.blocks.order import Order, check_order
from napari_deconv.blocks.plan import BlockPlan, make_plan
from napari_deconv.blocks.source import check_source
from napari_deconv.blocks.survey import Survey, take_survey
from napari_deconv.blocks.tile import make_problem, solve
from napari_deconv.psf.psf import Psf

__all__ = ["deconvolve_blocks", "plan_blocks"]

Float = npt.NDArray[np.float32]
Surveys = Mapping[tuple[int, ...], Survey]

# A tile takes all cores or the whole device, and the memory that was planned for one.
_ONE_TILE = threading.Lock()


def deconvolve_blocks(
    array: Any,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    block: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: float | None = None,
    **options: Any,
) -> da.Array:
    """Deconvolve an image that is larger than memory, tile by tile."""
    source = check_source(array, options.get("background", "auto"), options.get("mask"))
    order = check_order(psf, len(source.shape), options)
    plan = make_plan(source.shape, order, block, overlap, memory)
    shared = delayed(order, traverse=False)
    surveys = delayed(take_survey(source, order, plan), traverse=False)
    shape = source.shape[-order.ndim :]
    blocks = np.empty(plan.counts, object)
    for tile in plan.tiles():
        region = tile.region(plan.overlap, shape)
        parts = source.read((*tile.frame, *region))
        value = delayed(_deconvolve)(shared, surveys, *parts, tile.frame, tile.inside(region))
        chunk = (1,) * len(tile.frame) + tile.shape
        blocks[tile.number] = da.from_delayed(value, chunk, np.float32)
    return da.block(blocks.tolist())


def plan_blocks(
    array: Any,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    block: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: float | None = None,
    **options: Any,
) -> BlockPlan:
    """Plan what `deconvolve_blocks` would do; nothing is read."""
    source = check_source(array, options.get("background", "auto"), options.get("mask"))
    order = check_order(psf, len(source.shape), options)
    return make_plan(source.shape, order, block, overlap, memory)


def _deconvolve(
    order: Order,
    surveys: Surveys,
    image: npt.NDArray[Any],
    background: Any,
    mask: npt.NDArray[Any] | None,
    frame: tuple[int, ...],
    inside: tuple[slice, ...],
) -> Float:
    """Deconvolve a region, and give the tile inside it."""
    survey = surveys[frame]
    options = survey.settle(order.options)
    if background is None:
        background = survey.background
    with _ONE_TILE:
        problem = make_problem(image, background, mask, options)
        estimate = solve(problem, options, survey).reshape(image.shape)
    return estimate[inside].reshape((1,) * len(frame) + estimate[inside].shape)
