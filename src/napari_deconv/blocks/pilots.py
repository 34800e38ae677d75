"""Tiles that are deconvolved ahead of the others, to find what their rules find."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt
from dask import compute, delayed

from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.source import ONE_TILE, Source
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.run import Run
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.gain import CameraGain, estimate_gain

__all__ = ["choose_pilots", "count_photons", "follow_rules"]

# Half of the light is in tiles brighter than the second pilot, half in darker ones.
_SHARES = (0.25, 0.5, 0.75)

# Voxels of each pilot that the gain is estimated from, (z, y, x).
_CROP = (32, 256, 256)

Rules = dict[str, Any]

_UNKNOWN = CameraGain(np.nan, 0.0, np.nan)


def choose_pilots(tiles: Sequence[Tile], light: npt.NDArray[np.float64]) -> list[Tile]:
    """Choose three tiles, by where the light is.

    Parameters
    ----------
    tiles : sequence of Tile
        Of one volume.
    light : ndarray
        Light above the background in each.

    Returns
    -------
    list of Tile
        Those at which, from the brightest tile down, a quarter, half and three quarters of all
        light have been passed; each once.
    """
    order = np.argsort(light, kind="stable")[::-1]
    passed = np.cumsum(np.maximum(light[order], 0))
    places = np.searchsorted(passed, [share * passed[-1] for share in _SHARES])
    return [tiles[order[place]] for place in dict.fromkeys(places.tolist())]


def count_photons(source: Source, pilots: Sequence[Tile], options: Options) -> CameraGain:
    """Find the gain and the offset from pilots laid on each other, if they are not given.

    Raises
    ------
    DeconvError
        If a model of the noise needs them, and they cannot be estimated.

    Warns
    -----
    DeconvWarning
        If only the stopping rule does: then there is none.
    """
    if options.gain is not None:
        return CameraGain(options.gain, options.offset or 0.0, 0.0)
    if not options.counts_photons:
        return _UNKNOWN
    shape = np.min([tile.shape for tile in pilots], axis=0)
    what = delayed((source, pilots), traverse=False)
    (stack,) = compute(delayed(_crops)(what, tuple(shape.tolist())))
    try:
        return estimate_gain(stack, offset=options.offset)
    except DeconvError as error:
        if options.fits_photons:
            raise
        warnings.warn(
            f"{error} Without it stop={options.stop!r} has nothing to go by: all iterations are "
            "done.",
            DeconvWarning,
            stacklevel=2,
        )
        return _UNKNOWN


def follow_rules(
    source: Source, plan: BlockPlan, pilots: Sequence[Tile], options: Options, level: float
) -> tuple[int, float]:
    """Find the number of iterations and the weight: the median of what the pilots find.

    Parameters
    ----------
    source : Source
        What is read.
    plan : BlockPlan
        How far a tile sees.
    pilots : sequence of Tile
        See `choose_pilots`.
    options : Options
        The rules; gain and offset are known by now.
    level : float
        Background, where it is not given as an array.
    """
    if options.stop is None and not _finds_weight(options):
        return options.iterations, options.weight
    rules = {name: getattr(options, name) for name in ("stop", "gain", "offset")}
    what = delayed((source, plan, rules, level), traverse=False)
    found = compute(*(delayed(_run)(what, tile) for tile in pilots))
    iterations, weights = zip(*found, strict=True)
    return round(float(np.median(iterations))), float(np.median(weights))


def _finds_weight(options: Options) -> bool:
    automatic = options.method == "wiener" or options.regularization == "tv"
    return automatic and isnan(options.weight)


def _run(what: tuple[Source, BlockPlan, Rules, float], tile: Tile) -> tuple[int, float]:
    """Run a pilot by its rules."""
    source, plan, rules, level = what
    options = replace(plan.order.options, **rules)
    with ONE_TILE:
        region = tile.region(plan.overlap, plan.space)
        image, background, mask = source.read((*tile.frame, *region))
        if options.kind.positive:
            image = np.maximum(image, 0)
        known = np.asarray(level if background is None else background)
        run = Run(image, options, known, mask, None, {})
        for _ in run.states():
            pass
    weight = run.weights.get("tv", run.weights.get("gcv", options.weight))
    return run.iterations, weight


def _crops(what: tuple[Source, Sequence[Tile]], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Read the middle of each pilot: the gain is found in planes, whichever they are."""
    source, pilots = what
    size = [min(n, most) for n, most in zip(shape, _CROP[-len(shape) :], strict=True)]
    crops = []
    for tile in pilots:
        first = [a + (n - m) // 2 for a, n, m in zip(tile.start, tile.shape, size, strict=True)]
        region = tuple(slice(a, a + m) for a, m in zip(first, size, strict=True))
        image, _, mask = source.read((*tile.frame, *region))
        if mask is not None and mask.any():
            image = np.where(mask, image, image[mask].max())
        crops.append(image)
    return np.concatenate(crops) if len(shape) == 3 else np.stack(crops)
