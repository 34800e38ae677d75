"""A background that is one number for a whole image, subtracted block by block."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume, check_number
from napari_deconv.background import estimate_background
from napari_deconv.engines import Engine, get_engine
from napari_deconv.errors import DeconvError

__all__ = ["HALO", "sampling", "smoothed", "subtract_background_blocks"]

# As `estimate_background` smooths before it takes a percentile.
_SMOOTHING = 2.0

HALO = 8
"""As far as that reaches, in voxels."""

# Smoothed voxels that a percentile is taken of: all of an image up to this size.
_SAMPLE = 4_000_000


def subtract_background_blocks(
    image: da.Array,
    method: str = "mean",
    *,
    factor: float = 1.25,
    floor: float = 0.1,
    radius: float | None = None,
    percentile: float | None = None,
    value: float | None = None,
    planes: bool = False,
    engine: str | Engine = "auto",
) -> da.Array:
    """Subtract the background from an image that is larger than memory.

    Parameters
    ----------
    image : dask.array.Array
        As `napari_deconv.subtract_background` takes it, in chunks.
    method : {"mean", "constant", "percentile"}
        The others need the image around each voxel as far as their radius goes.
    factor, floor, radius, percentile, value, planes, engine
        As in `napari_deconv.subtract_background`. A percentile is taken of at most four million
        voxels, which lie regularly.

    Returns
    -------
    dask.array.Array of float32
        Lazy; the image is read once before, for the level.

    Raises
    ------
    DeconvError
        For another method, or a parameter out of range.
    """
    if method not in ("mean", "constant", "percentile"):
        raise DeconvError(
            f"The background {method!r} cannot be subtracted block by block: use method 'mean', "
            "'constant' or 'percentile', or leave it out: deconvolution has a background of its "
            "own, which is part of its model."
        )
    # The same checks, and the level where it needs no image.
    none = np.zeros((1, 1), np.float32)
    fixed = estimate_background(none, method, factor=factor, percentile=percentile, value=value)
    ndim = min(image.ndim, 2 if planes else 3)
    leading = image.shape[: image.ndim - ndim]
    levels = np.empty(leading)
    for frame in np.ndindex(leading):
        if method == "constant":
            levels[frame] = fixed
        elif method == "mean":
            mean = image[frame].mean(dtype=np.float64)
            levels[frame] = factor * float(mean.compute(scheduler="synchronous"))
        else:
            levels[frame] = _percentile(image[frame], percentile, get_engine(engine))
    level = levels.reshape(*leading, *(1,) * ndim)
    difference = (image.astype(np.float64) - level).astype(np.float32)
    if method == "mean":
        lowest = np.float32(check_number(floor, "floor", 0.0))
        return da.where(difference <= 0, lowest, difference)
    return difference


def _percentile(volume: da.Array, percentile: float | None, engine: Engine) -> float:
    """Take a percentile of the smoothed volume."""
    every = sampling(volume.shape)
    smooth = volume.map_overlap(
        _smoothed_on,
        depth=HALO,
        boundary="none",
        dtype=np.float64,
        meta=np.empty((0,) * volume.ndim),
        engine=engine.device.key,
    )
    sample = smooth[(slice(None, None, every),) * volume.ndim].compute(scheduler="synchronous")
    return float(np.percentile(sample, 1.0 if percentile is None else percentile))


def _smoothed_on(block: npt.NDArray[Any], engine: str) -> npt.NDArray[np.float64]:
    return smoothed(block, get_engine(engine))


def sampling(space: Sequence[int]) -> int:
    """Tell which voxels along each axis a percentile is taken of: each, each second, and so on."""
    each: float = (prod(space) / _SAMPLE) ** (1 / len(space))
    return max(1, round(each))


def smoothed(image: npt.NDArray[Any], engine: Engine) -> npt.NDArray[np.float64]:
    """Smooth a volume (z, y, x) or a plane as `estimate_background` does."""
    least = float(image.min())
    above = np.subtract(image, least, dtype=np.float64)
    sigma = (0.0,) * (3 - image.ndim) + (_SMOOTHING,) * image.ndim
    smooth = engine.to_numpy(engine.gaussian(engine.asarray(as_volume(above)), sigma))
    return smooth.reshape(image.shape) + np.float64(least)
