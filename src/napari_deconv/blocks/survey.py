"""What has to be the same in all tiles, found from the whole image block by block."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import isnan, nan
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._checks import check_finite
from napari_deconv._progress import Callback
from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.pilots import Pilots, choose_pilots, count_photons_in, follow_rules
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.region import Survey
from napari_deconv.blocks.source import ONE_TILE, Source
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import power_of_two
from napari_deconv.errors import DeconvError, DeconvWarning

__all__ = ["take_survey"]


@dataclass(frozen=True)
class _Tally:
    """What is counted in one tile.

    ``level`` is the background that is given, summed, and ``darkest`` its least value; of one that
    is to be found there is a sample. ``content`` is a number of all voxels.
    """

    voxels: int
    bad: int
    negative: int
    least: float
    largest: float
    light: float
    level: float
    darkest: float
    bad_level: int
    sample: npt.NDArray[np.float32]
    content: bytes


@dataclass(frozen=True)
class _Volume:
    """What is counted in all tiles of a volume; ``above`` is the light above the background."""

    tiles: list[Tile]
    voxels: int
    bad: int
    negative: int
    least: float
    largest: float
    level: float
    darkest: float
    bad_level: int
    above: npt.NDArray[np.float64]
    content: str


def take_survey(
    source: Source, plan: BlockPlan, callback: Callback | None = None
) -> dict[tuple[int, ...], Survey]:
    """Survey each volume in one pass over the array, tile by tile.

    Parameters
    ----------
    source : Source
        What is read.
    plan : BlockPlan
        How it is cut, and what will be done.
    callback : callable, optional
        Called with a `Progress` after each tile, and again counted from 1 after each pilot.

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
    surveys, pilots = zip(
        *(_measured(source, plan, volume) for volume in volumes.values()), strict=True
    )
    found = follow_rules(source, plan, pilots, callback)
    settled = zip(volumes, surveys, found, strict=True)
    return {frame: replace(survey, **vars(rules)) for frame, survey, rules in settled}


def _count(
    source: Source, plan: BlockPlan, callback: Callback | None
) -> dict[tuple[int, ...], _Volume]:
    """Go through all tiles; the samples of a volume are let go of when it is complete."""
    what = delayed((source, plan, Sampling.of(plan.space)), traverse=False)
    tasks = [delayed(_tally)(what, tile) for tile in plan.tiles()]
    frames: dict[tuple[int, ...], list[Tile]] = {}
    for tile in plan.tiles():
        frames.setdefault(tile.frame, []).append(tile)
    tallies: dict[tuple[int, ...], dict[Tile, _Tally]] = {frame: {} for frame in frames}
    volumes: dict[tuple[int, ...], _Volume] = {}
    for tile, tally in compute_each(tasks, callback):
        tallies[tile.frame][tile] = tally
        tiles = frames[tile.frame]
        if len(tallies[tile.frame]) == len(tiles):
            done = tallies.pop(tile.frame)
            volumes[tile.frame] = _together(tiles, [done[each] for each in tiles])
    return {frame: volumes[frame] for frame in frames}


def _tally(what: tuple[Source, BlockPlan, Sampling], tile: Tile) -> tuple[Tile, _Tally]:
    """Count what is in a tile."""
    source, plan, sampling = what
    positive = plan.order.options.kind.positive
    region = sampling.region(tile)
    with ONE_TILE:
        image, background, mask = source.read((*tile.frame, *region))
        inside = tile.inside(region)
        content = _content(image, background, mask, inside=inside)
        counted = image[inside] if mask is None else image[inside][mask[inside]]
        bad, least, largest = _extremes(counted)
        dark = counted[counted < 0] if least < 0 else counted[:0]
        light = 0.0 if bad else float(counted.sum(dtype=np.float64))
        if positive:
            light -= float(dark.sum(dtype=np.float64))
        level, darkest, bad_level = 0.0, -np.inf, 0
        if background is not None:
            given = np.broadcast_to(background, image.shape)[inside]
            bad_level, darkest, _ = _extremes(given)
            bad_level += int(np.count_nonzero(given < 0))
            given = given if mask is None else given[mask[inside]]
            level = float(given.sum(dtype=np.float64))
        sample: npt.NDArray[np.float32] = np.empty(0, np.float32)
        if background is None and not bad:
            image = np.maximum(image, 0) if positive and image.dtype.kind in "if" else image
            sample = sampling.take(image, mask, tile)
        return tile, _Tally(
            counted.size, bad, dark.size, least, largest, light, level, darkest, bad_level, sample,
            content,
        )  # fmt: skip


def _content(*arrays: Any, inside: tuple[slice, ...]) -> bytes:
    """Make a number of what lies in a tile: a quick one, to tell an image that was changed."""
    number = 0
    for array in arrays:
        if np.ndim(array):
            number = crc32(f"{array.dtype} {array[inside].shape}".encode(), number)
            for plane in array[inside]:
                number = crc32(plane.tobytes(), number)
    return number.to_bytes(4, "little")


def _extremes(values: npt.NDArray[Any]) -> tuple[int, float, float]:
    """Count what is NaN or infinite; if nothing is, find the least and the largest value."""
    if not values.size:
        return 0, np.inf, -np.inf
    least, largest = float(values.min()), float(values.max())
    if np.isfinite((least, largest)).all():
        return 0, least, largest
    return values.size - int(np.count_nonzero(np.isfinite(values))), np.inf, -np.inf


def _together(tiles: list[Tile], tallies: Sequence[_Tally]) -> _Volume:
    def each(name: str) -> npt.NDArray[Any]:
        return np.array([getattr(tally, name) for tally in tallies])

    voxels, bad, negative, bad_level = (
        int(each(name).sum()) for name in ("voxels", "bad", "negative", "bad_level")
    )
    level, levels = nan, each("level")
    sample = np.concatenate([tally.sample for tally in tallies])
    if sample.size:
        level = float(np.percentile(sample, 1))
        levels = level * each("voxels")
    return _Volume(
        tiles, voxels, bad, negative, float(each("least").min()), float(each("largest").max()),
        level, float(each("darkest").min()), bad_level, each("light") - levels,
        blake2b(b"".join(tally.content for tally in tallies), digest_size=16).hexdigest(),
    )  # fmt: skip


def _report(volumes: Sequence[_Volume], source: Source, options: Options) -> None:
    """Refuse what cannot be deconvolved, and say what is treated in a special way."""
    voxels, bad, negative, bad_level = (
        sum(getattr(volume, name) for volume in volumes)
        for name in ("voxels", "bad", "negative", "bad_level")
    )
    if bad:
        raise DeconvError(
            f"The image has {bad} NaN or infinite voxels of {voxels}: replace them, or leave them "
            "out with a mask."
        )
    if bad_level:
        raise DeconvError(
            f"background=array of shape {source.shape} is not light: {bad_level} of its voxels are "
            "NaN, infinite or negative. Expected numbers of at least 0."
        )
    if not all(volume.voxels for volume in volumes):
        raise DeconvError("The mask leaves out every voxel: it is True where voxels count.")
    check_finite(np.array([(volume.least, volume.largest) for volume in volumes]))
    for volume in volumes:
        lowest = volume.darkest if isnan(volume.level) else volume.level
        if lowest > volume.largest:
            raise DeconvError(
                f"The background, {lowest:.6g}, is above the whole image, whose brightest voxel is "
                f"{volume.largest:.6g}: give it in the image's grey values."
            )
    if any(volume.least == volume.largest for volume in volumes):
        _say("The image is constant: there is nothing to deconvolve in it.")
    if negative and options.kind.positive:
        _say(
            f"{negative} of {voxels} voxels are below 0 and count as 0: light is not negative. "
            "Better give the image before background subtraction, and the background."
        )


def _measured(source: Source, plan: BlockPlan, volume: _Volume) -> tuple[Survey, Pilots]:
    """Give what a volume says by itself, and the tiles that are to find the rest."""
    options = plan.order.options
    level = source.background if isinstance(source.background, float) else volume.level
    chosen = choose_pilots(volume.tiles, volume.above)
    camera = count_photons_in(source, chosen, options)
    unknown = isnan(camera.gain)
    rules = {"stop": options.stop, "gain": options.gain, "offset": options.offset}
    if options.counts_photons:
        rules |= {"gain": camera.gain, "offset": camera.offset}
        if unknown:
            rules |= {"gain": None, "stop": None}
    scale = power_of_two(volume.largest - camera.offset * options.fits_photons)
    light = float(volume.above.sum()) / volume.voxels
    offset = nan if unknown else camera.offset
    survey = Survey(
        level, scale, light, camera.gain, offset, options.iterations, options.weight,
        content=volume.content,
    )  # fmt: skip
    return survey, Pilots(chosen, rules, level)


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
