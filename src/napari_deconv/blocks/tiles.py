"""Deconvolve an array tile by tile, when its tiles are asked for."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from math import isnan
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed
from dask.base import tokenize

from napari_deconv._progress import Callback
from napari_deconv.blocks.fit import FittedTile
from napari_deconv.blocks.order import Order, check_order
from napari_deconv.blocks.plan import BlockPlan, NoTileFits, make_plan
from napari_deconv.blocks.reach import reach
from napari_deconv.blocks.result import BlockDeconvolution
from napari_deconv.blocks.rules import automatic_weight, cross_validates
from napari_deconv.blocks.source import Source, check_source
from napari_deconv.blocks.survey import take_survey
from napari_deconv.blocks.tile import Work, deconvolve_tile
from napari_deconv.blocks.weights import find_weights_in
from napari_deconv.engines import Device, get_engine
from napari_deconv.errors import DeconvWarning
from napari_deconv.provenance import describe, made
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.weights import LEAST_WEIGHT

__all__ = ["deconvolve_blocks", "plan_blocks", "prepare_blocks"]


def deconvolve_blocks(
    array: Any,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    block: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: float | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> da.Array:
    """Deconvolve an image that is larger than memory, tile by tile.

    The image is read once now, one block at a time, for what has to be the same in all tiles:
    background, scale, mean light, and where they are asked for number of iterations and total
    variation's weight; in some places again for the gain, and before for the weight of a filter.
    The tiles are deconvolved when they are asked for.

    Parameters
    ----------
    array : dask, Zarr or NumPy array
        Any integer or real dtype. Its last axes are space, as many as the PSF has: (z, y, x) or
        (y, x); those in front of them (times, channels, positions) are looped over. Each tile reads
        the voxels that it sees and no others: a Dask array chunk by chunk, within the tile's own
        task.
    psf : Psf, array_like or sequence of Psf
        As for `deconvolve`. It is sent to each worker once; its OTF is made there, and kept while
        tiles of the same size follow.
    block : int or sequence of int, optional
        Voxels of a tile along the space axes, or along all axes with 1 in front. By default what
        fits the memory and leaves the least to compute (see `plan_blocks`); an image that fits is
        one tile.
    overlap : int or sequence of int, optional
        Voxels that a tile sees beyond its borders inside the image. By default as far as light
        gets in the iterations: some widths of the PSF, and along z, where a widefield PSF does not
        fall off, up to seven and a half times as far as it reaches there and back. For Wiener's
        filter as far as its kernel reaches, which with a widefield PSF is the farther the smaller
        the weight is; an automatic one is found first, in up to 64 parts of four million voxels.
    memory : float, optional
        Bytes that a tile may take; the arrays on the device and, where that is the CPU, the copies
        on the host. By default the limit of `set_limits`, or 80 % of what is free; on a cluster
        (see `use_cluster`) what every worker has. Python, its libraries and the chunks of the file
        take some 0.4 GB more.
    callback : callable, optional
        Called with a `Progress` while the image is read for the first time: where a filter's weight
        is looked for, after each block, then after each tile that is deconvolved ahead, and after
        each of its iterations, with the part of it that is done. What it raises ends the work.
    **options
        The other parameters of `deconvolve`, with the same defaults, but for those that a tile
        cannot follow. `mask` and `background` may be Dask or Zarr arrays of the image's shape.

    Returns
    -------
    dask.array.Array
        float32, of the image's shape; its chunks are the tiles. Each is one task, and a process
        works on one at a time, with all cores or its device.

    Raises
    ------
    DeconvError
        For input that cannot be deconvolved in tiles, such as an estimate to start from or method
        ``"blind"``; if a volume that is not to be cut (see the notes) is, or does not fit.
    DeviceError
        If the device is missing, too small for the smallest tile, or fails.

    Warns
    -----
    DeconvWarning
        As `deconvolve`; if a tile did not fit into the memory and was done in halves; and if with
        an automatic weight the filter sees farther than tiles do.

    Notes
    -----
    Away from the outer border the result of 100 iterations differs from that of `deconvolve` by
    less than 1e-3 of its maximum. For Wiener's filter, away means farther than it sees, which is
    farther the smaller its weight is: nearer it takes light from the other side of the grid, which
    is not as large as that of the whole.

    The weight of Wiener's filter is found as in memory. The rules of `stop` and the weight of
    total variation are followed by up to three tiles, chosen by where the light is, and all tiles
    do the median of what they find. The photons that ``stop="consensus"`` keeps aside are those
    that `deconvolve` does.

    The methods ``"ictm"``, ``"fista"``, ``"tikhonov"``, ``"inverse"`` and ``"gradient_consensus"``,
    the accelerations ``"biggs"`` and ``"wiener_butterworth"``, and other boundaries than
    ``"padded"`` and ``"half_padded"`` follow the whole of a volume: it is one tile, and done as
    `deconvolve` does it, its rules included; an automatic background of more than 13 million voxels
    is that of a sample of them.
    """
    return prepare_blocks(
        array, psf, block=block, overlap=overlap, memory=memory, callback=callback, **options
    ).image


def prepare_blocks(
    array: Any,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    block: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: float | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> BlockDeconvolution:
    """Do what `deconvolve_blocks` does with the same parameters, and tell what was found.

    Returns
    -------
    BlockDeconvolution
        The lazy image, with the number of iterations, background, gain and weight of each volume;
        `write_blocks` writes it.

    Raises
    ------
    DeconvError
        As `deconvolve_blocks`.
    """
    start = time.perf_counter()
    source = check_source(array, options.get("background", "auto"), options.get("mask"))
    order = check_order(psf, len(source.shape), options)
    plan, weights = _plan(source, order, block, overlap, memory, callback)
    surveys = take_survey(source, plan, weights, callback)
    _see_far_enough(plan, _least(survey.weight for survey in surveys.values()))
    work = Work(source, plan, surveys)
    image, tiles = _lazy(_voxels, work), _lazy(_tile, replace(work, measured=True))
    rule, first = automatic_weight(order.options), next(iter(work.surveys.values()))
    found = {} if rule is None or isnan(first.weight) else {rule: first.weight}
    sizes = {"block": None if block is None else plan.block, "overlap": overlap, "memory": memory}
    given = {name: value for name, value in sizes.items() if value is not None}
    result = BlockDeconvolution(image, tiles, work.surveys, found, {}, _fingerprint(work))
    seconds = time.perf_counter() - start
    return replace(result, recipe=_record(given | options, plan.place.device, seconds, result))


def plan_blocks(
    array: Any,
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    *,
    block: int | Sequence[int] | None = None,
    overlap: int | Sequence[int] | None = None,
    memory: float | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> BlockPlan:
    """Plan what `deconvolve_blocks` does with the same parameters.

    Nothing is read, but for an automatic weight of Wiener's filter, by which tiles are planned:
    then `callback` is called with a `Progress` after each piece that is read.

    Returns
    -------
    BlockPlan
        Tiles, overlap, memory and, from a short run, time.

    Raises
    ------
    DeconvError
        As `deconvolve_blocks`, and if not even a small tile fits the memory.
    """
    source = check_source(array, options.get("background", "auto"), options.get("mask"))
    order = check_order(psf, len(source.shape), options)
    return _plan(source, order, block, overlap, memory, callback)[0]


def _plan(
    source: Source,
    order: Order,
    block: int | Sequence[int] | None,
    overlap: int | Sequence[int] | None,
    memory: float | None,
    callback: Callback | None = None,
) -> tuple[BlockPlan, dict[tuple[int, ...], float]]:
    """Plan tiles that see far enough for the weight that is found, and give those found for it.

    Of a series that is the least of its first, middle and last volume.
    """
    plan = partial(make_plan, source.shape, source.image.dtype, order, block, overlap, memory)
    try:
        first = plan()
        if not (first.is_cut and first.sees_as_found):
            return first, {}
    except NoTileFits:  # as far as is expected of a weight
        if overlap is not None or not cross_validates(order.options):
            raise
    frames = list(np.ndindex(source.shape[: -order.ndim]))
    some = {frames[0], frames[len(frames) // 2], frames[-1]}
    weights = find_weights_in(source, order, sorted(some), callback)
    return plan(weight=_least(weights.values())), weights


def _least(weights: Iterable[float]) -> float | None:
    """Give the least weight; None if there is nothing in any volume to find it by."""
    return min((weight for weight in weights if weight > LEAST_WEIGHT), default=None)


def _see_far_enough(plan: BlockPlan, weight: float | None) -> None:
    """Say where a filter sees farther than tiles do: by another volume's weight, or as asked."""
    if weight is None or not (plan.is_cut and cross_validates(plan.order.options)):
        return
    needed = reach(plan.order.weighing(weight), plan.space)
    far = zip(needed, plan.overlap, plan.block, plan.space, strict=True)
    if any(n > overlap and block < size for n, overlap, block, size in far):
        by = " × ".join(map(str, needed))
        warnings.warn(
            f"A weight of {weight:.2g} was found, with which the filter sees {by} voxels far, "
            "farther than tiles do: at their borders they may differ from the whole by some 1 % "
            f"of the maximum. Give regularization_weight={weight:.2g} and no overlap: tiles are "
            "then planned for it.",
            DeconvWarning,
            stacklevel=4,
        )


def _lazy(compute: Callable[..., Any], work: Work) -> da.Array:
    """Make an array whose chunks are computed, tile by tile, of the work."""
    plan = work.plan
    return da.map_blocks(
        compute,
        delayed(work, traverse=False),
        dtype=np.float32,
        chunks=plan.chunks,
        meta=np.empty((0,) * len(plan.chunks), np.float32),
        name=f"deconvolve-{uuid4().hex}",
    )


def _tile(work: Work, block_id: tuple[int, ...] = ()) -> FittedTile:
    """Deconvolve the tile at a place among the tiles, with the result's axes."""
    tile = work.plan.tile(block_id)
    return deconvolve_tile(work, tile)[(None,) * len(tile.frame)]


def _voxels(work: Work, block_id: tuple[int, ...] = ()) -> npt.NDArray[np.float32]:
    return _tile(work, block_id).voxels


def _fingerprint(work: Work) -> str:
    """Make a number of all that the voxels depend on, but for the device: the plan's, and another.

    What was found is part of it: were a run resumed with another number of iterations, its tiles
    would not fit together. So is an overlap that follows from it. Devices differ in the last
    digits.
    """
    level = work.source.background
    found = tokenize(
        work.plan.overlap if work.plan.is_cut and work.plan.sees_as_found else None,
        level if isinstance(level, float) else None,
        [
            (s.content, s.iterations, f"{s.gain:.3g}", f"{s.weight:.3g}")
            for _, s in sorted(work.surveys.items())
        ],
    )
    return f"{work.plan.fingerprint}-{found}"


def _record(
    given: dict[str, Any], device: Device, seconds: float, result: BlockDeconvolution
) -> dict[str, Any]:
    """Describe the call that gives the image, and how it went so far."""
    engine = get_engine(given.get("engine", "auto"))
    plain = {name: given[name] for name in given if name not in ("mask", "engine")}
    call = describe("deconvolve_blocks", plain, engine)
    how = made(seconds, engine, result.stop_reason, result.found)
    # The workers of a cluster may have another device than this machine.
    return call | {"engine": device.key, "made": how | {"device": device.name}}
