"""Deconvolve an array tile by tile, when its tiles are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv.blocks.order import check_order
from napari_deconv.blocks.plan import BlockPlan, make_plan
from napari_deconv.blocks.source import check_source
from napari_deconv.blocks.survey import take_survey
from napari_deconv.blocks.tile import Work, deconvolve_tile
from napari_deconv.psf.psf import Psf

__all__ = ["deconvolve_blocks", "plan_blocks"]


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
    plan = make_plan(source.shape, source.image.dtype, order, block, overlap, memory)
    work = Work(source, plan, take_survey(source, plan))
    result: da.Array = da.map_blocks(
        _block,
        delayed(work, traverse=False),
        dtype=np.float32,
        chunks=plan.chunks,
        meta=np.empty((0,) * len(source.shape), np.float32),
        name=f"deconvolve-{uuid4().hex}",
    )
    return result


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
    return make_plan(source.shape, source.image.dtype, order, block, overlap, memory)


def _block(work: Work, block_id: tuple[int, ...] = ()) -> npt.NDArray[np.float32]:
    """Deconvolve the tile at a place among the tiles, with the result's axes."""
    tile = work.plan.tile(block_id)
    return deconvolve_tile(work, tile).reshape((1,) * len(tile.frame) + tile.shape)
