"""What has to be the same in all tiles, found from the whole image block by block."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import inf, isnan, nan, prod

import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._checks import check_finite
from napari_deconv._progress import Callback
from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.camera import count_photons_in
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.pilots import Pilots, follow_rules
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.region import Survey
from napari_deconv.blocks.rules import cross_validates
from napari_deconv.blocks.source import Source
from napari_deconv.blocks.tally import Counts, Tally, count_margins, count_tile
from napari_deconv.blocks.turn import one_tile
from napari_deconv.blocks.weights import find_weights_in
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.parts import by_light
from napari_deconv.deconvolution.volume import grid_of, margin_of, power_of_two
from napari_deconv.deconvolution.words import CONSTANT, NOTHING_COUNTS, below_zero
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.solvers.weights import mirror_counts

__all__ = ["take_survey"]


@dataclass(frozen=True)
class _Volume:
    """What is counted in all tiles of a volume.

    ``level`` is its background, NaN where it is given; ``above`` is the light above it in each
    tile.
    """

    tiles: list[Tile]
    counts: Counts
    level: float
    above: npt.NDArray[np.float64]
    content: str


def take_survey(
    source: Source,
    plan: BlockPlan,
    weights: Mapping[tuple[int, ...], float] | None = None,
    callback: Callback | None = None,
) -> dict[tuple[int, ...], Survey]:
    """Survey each volume in one pass over the array, tile by tile.

    Parameters
    ----------
    source : Source
        What is read.
    plan : BlockPlan
        How it is cut, and what will be done.
    weights : dict, optional
        Those of a filter that are known, by the volume's index on the axes in front.
    callback : callable, optional
        Called with a `Progress` after each tile, and again counted from 1 after each volume whose
        weight is looked for, each place where the gain is, and each pilot.

    Returns
    -------
    dict
        The survey of each volume, by its index on the axes in front.

    Raises
    ------
    DeconvError
        If the image has NaN or infinite voxels where they count, the background such or negative
        ones, or the mask leaves out all or is none.

    Warns
    -----
    DeconvWarning
        If voxels are below 0 and count as 0, or a volume is constant.

    Notes
    -----
    Voxels, light and extremes are those of the whole image, and exact. So is an automatic
    background up to 13 million voxels; of larger volumes see `Sampling`.
    """
    volumes = _count(source, plan, callback)
    _report(list(volumes.values()), source, plan.order.options)
    weights = _weights(source, plan, volumes, weights or {}, callback)
    surveys, pilots = zip(
        *(
            _measured(source, plan, volume, weights[frame], callback)
            for frame, volume in volumes.items()
        ),
        strict=True,
    )
    found = follow_rules(source, plan, pilots, callback)
    settled = zip(volumes, surveys, found, strict=True)
    return {frame: replace(survey, **vars(rules)) for frame, survey, rules in settled}


def _weights(
    source: Source,
    plan: BlockPlan,
    frames: Iterable[tuple[int, ...]],
    known: Mapping[tuple[int, ...], float],
    callback: Callback | None,
) -> dict[tuple[int, ...], float]:
    """Give the weight of each volume: NaN where pilots are to find it, or there is none."""
    options = plan.order.options
    if not cross_validates(options):
        return dict.fromkeys(frames, options.weight)
    new = [frame for frame in frames if frame not in known]
    return {**known, **find_weights_in(source, plan.order, new, callback)}


def _count(
    source: Source, plan: BlockPlan, callback: Callback | None
) -> dict[tuple[int, ...], _Volume]:
    """Go through all tiles; the samples of a volume are let go of when it is complete."""
    what = delayed((source, plan, Sampling.of(plan.space)), traverse=False)
    tasks = [delayed(_tally)(what, tile) for tile in plan.tiles()]
    frames: dict[tuple[int, ...], list[Tile]] = {}
    for tile in plan.tiles():
        frames.setdefault(tile.frame, []).append(tile)
    tallies: dict[tuple[int, ...], dict[Tile, Tally]] = {frame: {} for frame in frames}
    volumes: dict[tuple[int, ...], _Volume] = {}
    for tile, tally in compute_each(tasks, callback):
        tallies[tile.frame][tile] = tally
        tiles = frames[tile.frame]
        if len(tallies[tile.frame]) == len(tiles):
            done = tallies.pop(tile.frame)
            tallied = [done[each] for each in tiles]
            volumes[tile.frame] = _together(tiles, tallied, _darkest(plan.order.options))
    return {frame: volumes[frame] for frame in frames}


def _tally(what: tuple[Source, BlockPlan, Sampling], tile: Tile) -> tuple[Tile, Tally]:
    """Read a tile, and count what is in it."""
    source, plan, sampling = what
    with one_tile():
        read = source.read((*tile.frame, *sampling.region(tile)))
        tally = count_tile(*read, tile, sampling, _darkest(plan.order.options))
        if _mirrors(plan):
            inside = tile.inside(sampling.region(tile))
            tally = count_margins(tally, *read[:2], inside, _counts_in_margins(plan, tile))
        return tile, tally


def _mirrors(plan: BlockPlan) -> bool:
    """Tell whether tiles have to be as bright as in a filter of the whole, which mirrors light."""
    return plan.order.options.kind.direct and not plan.order.whole


def _counts_in_margins(plan: BlockPlan, tile: Tile) -> list[npt.NDArray[np.float64]]:
    """Tell how often a filter of the whole image sees the voxels of a tile, along each axis."""
    options = plan.order.options
    margin = margin_of(options.psfs[0].shape, options.boundary)
    axes = slice(-len(plan.space), None)
    lines = zip(plan.space, _grid(plan)[axes], margin[axes], tile.start, tile.stop, strict=True)
    return [mirror_counts(*sizes)[start:stop] for *sizes, start, stop in lines]


def _grid(plan: BlockPlan) -> tuple[int, ...]:
    """Give the grid (z, y, x) of the whole image."""
    options = plan.order.options
    shape = (1,) * (3 - len(plan.space)) + plan.space
    return grid_of(shape, options.psfs[0].shape, options.boundary)


def _darkest(options: Options) -> float:
    """Tell what a voxel counts as where it is less."""
    if not options.kind.positive:
        return -inf
    return max(options.offset or 0.0, 0.0) if options.fits_photons else 0.0


def _together(tiles: list[Tile], tallies: Sequence[Tally], darkest: float) -> _Volume:
    level, levels = nan, np.array([tally.level for tally in tallies])
    counts = Counts.total([tally.counts for tally in tallies])
    sample = np.concatenate([tally.sample for tally in tallies])
    if sample.size:
        # Where all is of one brightness, what is smoothed is rounded to above it.
        level = min(float(np.percentile(sample, 1)), counts.largest)
        levels = max(level, darkest) * np.array([tally.seen for tally in tallies])
    light = np.array([tally.light for tally in tallies])
    content = blake2b(b"".join(tally.content for tally in tallies), digest_size=16).hexdigest()
    return _Volume(tiles, counts, level, light - levels, content)


def _report(volumes: Sequence[_Volume], source: Source, options: Options) -> None:
    """Refuse what cannot be deconvolved, and say what is treated in a special way."""
    total = Counts.total([volume.counts for volume in volumes])
    if total.bad:
        raise DeconvError(
            f"The image has {total.bad} NaN or infinite voxels of {total.voxels}: replace them, or "
            "leave them out with a mask."
        )
    if total.bad_level:
        raise DeconvError(
            f"background=array of shape {source.shape} is not light: {total.bad_level} of its "
            "voxels are NaN, infinite or negative. Expected numbers of at least 0."
        )
    if not all(volume.counts.voxels for volume in volumes):
        raise DeconvError(NOTHING_COUNTS)
    check_finite(np.array([(total.least, total.largest)]))
    for volume in volumes:
        lowest = volume.counts.darkest if isnan(volume.level) else volume.level
        if lowest > volume.counts.largest:
            raise DeconvError(
                f"The background, {lowest:.6g}, is above the whole image, whose brightest voxel is "
                f"{volume.counts.largest:.6g}: give it in the image's grey values."
            )
    if any(volume.counts.least == volume.counts.largest for volume in volumes):
        _say(CONSTANT)
    if total.negative and options.kind.positive:
        _say(below_zero(total.negative, total.voxels))


def _measured(
    source: Source, plan: BlockPlan, volume: _Volume, weight: float, callback: Callback | None
) -> tuple[Survey, Pilots]:
    """Give what a volume says by itself, and the tiles that are to find the rest."""
    options = plan.order.options
    level = source.background if isinstance(source.background, float) else volume.level
    alone = options.kind.direct or bool(plan.order.whole)
    chosen = [] if alone else by_light(volume.tiles, volume.above)
    frame, largest = volume.tiles[0].frame, volume.counts.largest
    camera = count_photons_in(source, frame, largest, options, callback)
    unknown = isnan(camera.gain)
    stop = None if options.counts_photons and unknown else options.stop
    rules = {"stop": stop, "gain": options.gain, "offset": options.offset, "weight": weight}
    if options.counts_photons:
        rules |= {"gain": None if unknown else camera.gain, "offset": camera.offset}
    scale = power_of_two(volume.counts.largest - camera.offset * options.fits_photons)
    light = float(volume.above.sum()) / (
        prod(_grid(plan)) if _mirrors(plan) else volume.counts.voxels
    )
    offset = nan if unknown else camera.offset
    survey = Survey(
        background=level, scale=scale, light=light, gain=camera.gain, offset=offset,
        iterations=options.iterations, weight=weight, content=volume.content,
        stop=stop,
    )  # fmt: skip
    return survey, Pilots(chosen, rules, level)


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
