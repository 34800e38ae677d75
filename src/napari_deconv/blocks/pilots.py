"""Tiles that are deconvolved ahead of the others, to find what their rules find."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from dask import delayed

from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.rules import automatic_weight, needs_pilots
from napari_deconv.blocks.source import Source
from napari_deconv.blocks.telling import tell
from napari_deconv.blocks.tile import OUT_OF_MEMORY, longest_axis, make_run
from napari_deconv.blocks.turn import one_tile
from napari_deconv.errors import DeconvWarning

__all__ = ["Found", "Pilots", "follow_rules"]

Rules = dict[str, Any]


@dataclass(frozen=True)
class Pilots:
    """Tiles of one volume that are deconvolved ahead.

    Attributes
    ----------
    tiles : list of Tile
        Chosen `by_light`.
    rules : dict
        ``stop``, ``gain``, ``offset`` and ``weight`` of `Options`, as the volume settles them.
    background : float
        NaN where it is given as an array.
    """

    tiles: list[Tile]
    rules: Rules
    background: float


@dataclass(frozen=True)
class Found:
    """What the pilots of a volume have found, as `Survey` holds it."""

    iterations: int
    weight: float
    stop_reason: str


def follow_rules(
    source: Source, plan: BlockPlan, volumes: Sequence[Pilots], callback: Callback | None
) -> list[Found]:
    """Find the number of iterations, and total variation's weight: the median of the pilots'.

    Parameters
    ----------
    source : Source
        What is read.
    plan : BlockPlan
        How far a tile sees.
    volumes : sequence of Pilots
        Of each volume.
    callback : callable or None
        Called with a `Progress` after each pilot.
    """
    what = delayed((source, plan), traverse=False)
    tasks = [
        delayed(_run)(what, tile, pilots.rules, pilots.background)
        for pilots in volumes
        if needs_pilots(replace(plan.order.options, **pilots.rules))
        for tile in pilots.tiles
    ]
    found = {tile: result for tile, *result in compute_each(tasks, callback)}
    return [_median(plan.order, pilots, found) for pilots in volumes]


def _median(order: Order, pilots: Pilots, found: Mapping[Tile, Sequence[Any]]) -> Found:
    results = [found[tile] for tile in pilots.tiles if tile in found]
    options = replace(order.options, **pilots.rules)
    iterations, weight, stop = options.iterations, options.weight, options.stop
    if options.kind.direct:
        return Found(1, weight, f"{options.kind.title} needs one step")
    if order.whole:
        most = f"at most {iterations} iterations, by what ends each volume"
        ends = stop is not None or options.kind.ends
        return Found(iterations, weight, most if ends else f"{iterations} iterations done")
    if results:
        steps, weights = zip(*results, strict=True)
        iterations, weight = round(float(np.median(steps))), float(np.median(weights))
    reason = f"{iterations} iterations done"
    if stop is not None:
        tiles = "one tile" if len(results) == 1 else f"{len(results)} tiles"
        median = "what" if len(results) == 1 else "the median of what"
        reason = f"{reason}: {median} {tiles} found by stop={stop!r}"
    return Found(iterations, weight, reason)


def _run(
    what: tuple[Source, BlockPlan], tile: Tile, rules: Rules, level: float
) -> tuple[Tile, int, float]:
    """Run a pilot by its rules: where memory is short its brighter half, and so on."""
    source, plan = what
    part = tile
    while True:
        try:
            with one_tile():
                found = _follow(source, plan, part, rules, level)
            break
        except OUT_OF_MEMORY:
            axis = longest_axis(plan, part)
            if axis is None:
                raise
        part = max(part.halves(axis), key=lambda half: _brightness(source, half))
    if part != tile:
        whole, cut = (" × ".join(map(str, each.shape)) for each in (tile, part))
        warnings.warn(
            f"A tile of {whole} voxels did not fit into the memory: the rules were followed by "
            f"{cut} of them. With smaller tiles from the start it is faster: give block or memory.",
            DeconvWarning,
            stacklevel=2,
        )
    return tile, *found


def _brightness(source: Source, tile: Tile) -> float:
    image, _, _ = source.read((*tile.frame, *map(slice, tile.start, tile.stop)))
    return float(image.mean(dtype=np.float64))


def _follow(
    source: Source, plan: BlockPlan, tile: Tile, rules: Rules, level: float
) -> tuple[int, float]:
    """Find the number of iterations and the weight of a tile."""
    options = replace(plan.order.options, **rules)
    run = make_run(source, plan, tile, options, level)
    for state in run.states():
        tell(state.iteration / state.iterations if state.level == 1 else 0.0)
    weight = run.weights.get(automatic_weight(options) or "", options.weight)
    return run.iterations, weight
