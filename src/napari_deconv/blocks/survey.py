"""What has to be the same in all tiles, found from the whole image block by block."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import isnan, nan
from typing import Any

import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._checks import check_finite
from napari_deconv._progress import Callback
from napari_deconv.blocks.background import HALO, sampling, smoothed
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
    """What one tile, or several together, add to a survey."""

    voxels: int
    bad: int
    negative: int
    least: float
    largest: float
    sample: npt.NDArray[np.float64]
    # Of each tile, above the background if that is given.
    tile_light: tuple[float, ...]
    tile_voxels: tuple[int, ...]
    # A number of the voxels.
    content: bytes


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
        If the image has NaN or infinite voxels where they count, or the mask leaves out all.

    Warns
    -----
    DeconvWarning
        If voxels are below 0 and count as 0, or a volume is constant.
    """
    every = sampling(plan.space)
    what = delayed((source, plan), traverse=False)
    tasks = [delayed(_tally)(what, tile, every) for tile in plan.tiles()]
    tallies = dict(compute_each(tasks, callback))
    frames: dict[tuple[int, ...], list[Tile]] = {}
    for tile in plan.tiles():
        frames.setdefault(tile.frame, []).append(tile)
    volumes = [_together([tallies.pop(tile) for tile in tiles]) for tiles in frames.values()]
    _report(volumes, plan.order.options)
    sizes = zip(frames.values(), volumes, strict=True)
    surveys, pilots = zip(*(_measured(source, plan, *volume) for volume in sizes), strict=True)
    found = follow_rules(source, plan, pilots, callback)
    settled = zip(frames, surveys, found, strict=True)
    return {frame: replace(survey, **vars(rules)) for frame, survey, rules in settled}


def _tally(what: tuple[Source, BlockPlan], tile: Tile, every: int) -> tuple[Tile, _Tally]:
    """Count what is in a tile, and smooth it with what surrounds it."""
    source, plan = what
    options = plan.order.options
    region = tile.region([HALO] * len(plan.space), plan.space)
    inside = tile.inside(region)
    with ONE_TILE:
        image, background, mask = source.read((*tile.frame, *region))
        content = _content(image, background, mask, inside=inside)
        counted = slice(None) if mask is None else mask[inside]
        light = image[inside][counted]
        bad = light.size - int(np.count_nonzero(np.isfinite(light)))
        if bad or not light.size:
            none = np.empty(0)
            return tile, _Tally(light.size, bad, 0, np.inf, -np.inf, none, (0.0,), (0,), content)
        negative = light[light < 0]
        total = float(np.sum(light, dtype=np.float64))
        if options.kind.positive:
            total -= float(np.sum(negative, dtype=np.float64))
        given, sample = 0.0, np.empty(0)
        if background is None:
            first = (slice(-start % every, None, every) for start in tile.start)
            sample = _smoothed(image, mask, options)[inside][tuple(first)].ravel()
        elif isinstance(background, float):
            given = background * light.size
        else:
            given = float(np.sum(background[inside][counted], dtype=np.float64))
        return tile, _Tally(
            light.size, bad, negative.size, float(light.min()), float(light.max()),
            sample, (total - given,), (light.size,), content,
        )  # fmt: skip


def _content(*arrays: Any, inside: tuple[slice, ...]) -> bytes:
    """Make a number of what lies in a tile."""
    digest = blake2b(digest_size=16)
    for array in arrays:
        if isinstance(array, np.ndarray):
            digest.update(f"{array.dtype} {array[inside].shape}".encode())
            for plane in array[inside]:
                digest.update(plane.tobytes())
    return digest.digest()


def _smoothed(
    image: npt.NDArray[Any], mask: npt.NDArray[Any] | None, options: Options
) -> npt.NDArray[np.float64]:
    """Smooth as `estimate_background` does; masked voxels are filled with the median."""
    if options.kind.positive:
        image = np.maximum(image, 0)
    if mask is not None:
        image = np.where(mask, image, np.median(image[mask]))
    return smoothed(image, options.engine)


def _together(tallies: Sequence[_Tally]) -> _Tally:
    return _Tally(
        sum(t.voxels for t in tallies),
        sum(t.bad for t in tallies),
        sum(t.negative for t in tallies),
        min(t.least for t in tallies),
        max(t.largest for t in tallies),
        np.concatenate([t.sample for t in tallies]),
        tuple(value for t in tallies for value in t.tile_light),
        tuple(value for t in tallies for value in t.tile_voxels),
        blake2b(b"".join(t.content for t in tallies), digest_size=16).digest(),
    )


def _report(tallies: Sequence[_Tally], options: Options) -> None:
    """Refuse what cannot be deconvolved, and say what is treated in a special way."""
    voxels, bad, negative = (
        sum(getattr(t, name) for t in tallies) for name in ("voxels", "bad", "negative")
    )
    if bad:
        raise DeconvError(
            f"The image has {bad} NaN or infinite voxels of {voxels}: replace them, or leave them "
            "out with a mask."
        )
    if not all(t.voxels for t in tallies):
        raise DeconvError("The mask leaves out every voxel: it is True where voxels count.")
    check_finite(np.array([value for t in tallies for value in (t.least, t.largest)]))
    if any(t.least == t.largest for t in tallies):
        _say("The image is constant: there is nothing to deconvolve in it.")
    if negative and options.kind.positive:
        _say(
            f"{negative} of {voxels} voxels are below 0 and count as 0: light is not negative. "
            "Better give the image before background subtraction, and the background."
        )


def _measured(
    source: Source, plan: BlockPlan, tiles: Sequence[Tile], tally: _Tally
) -> tuple[Survey, Pilots]:
    """Give what a volume says by itself, and the tiles that are to find the rest."""
    options, level = plan.order.options, source.background
    above = np.array(tally.tile_light)
    if level is None:
        level = float(np.percentile(tally.sample, 1))
        above -= level * np.array(tally.tile_voxels)
    level = level if isinstance(level, float) else nan
    _check_level(level, tally.largest)
    chosen = choose_pilots(tiles, above)
    camera = count_photons_in(source, chosen, options)
    rules = {"stop": options.stop, "gain": options.gain, "offset": options.offset}
    if options.counts_photons:
        rules |= {"gain": camera.gain, "offset": camera.offset}
        if isnan(camera.gain):
            rules |= {"gain": None, "stop": None}
    scale = power_of_two(tally.largest - camera.offset * options.fits_photons)
    light = float(above.sum()) / tally.voxels
    survey = Survey(
        level, scale, light, camera.gain, camera.offset, options.iterations, options.weight,
        content=tally.content.hex(),
    )  # fmt: skip
    return survey, Pilots(chosen, rules, level)


def _check_level(level: float, largest: float) -> None:
    if level > largest:
        raise DeconvError(
            f"The background, {level:.6g}, is above the whole image, whose brightest voxel is "
            f"{largest:.6g}: give it in the image's grey values."
        )


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=5)
