"""A background that is one number for a whole image, subtracted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import scipy.sparse
from dask import delayed
from dask.array.core import slices_from_chunks

from napari_deconv._checks import check_number
from napari_deconv.background import SMOOTHING, estimate_background
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.engines import Engine
from napari_deconv.errors import DeconvError

__all__ = ["Sampling", "subtract_background_blocks"]

Slices = tuple[slice, ...]

# As far as the smoothing reaches before a percentile is taken, in voxels.
_HALO = round(4 * SMOOTHING)

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
        As in `napari_deconv.subtract_background`. Of more than 13 million voxels a percentile is
        taken of some four million, which lie regularly, each chunk smoothed by itself.

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
    fixed = estimate_background(
        none, method, factor=factor, percentile=percentile, value=value, engine=engine
    )
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
            levels[frame] = _percentile(image[frame], percentile)
    level = levels.reshape(*leading, *(1,) * ndim)
    difference = (image.astype(np.float64) - level).astype(np.float32)
    if method == "mean":
        lowest = np.float32(check_number(floor, "floor", 0.0))
        return da.where(difference <= 0, lowest, difference)
    return difference


def _percentile(volume: da.Array, percentile: float | None) -> float:
    """Take a percentile of the smoothed volume."""
    sampling = Sampling.of(volume.shape)
    blocks = slices_from_chunks(volume.chunks)
    tiles = [Tile((), *zip(*((s.start, s.stop) for s in block), strict=True)) for block in blocks]
    what = delayed((volume, sampling), traverse=False)
    tasks = [delayed(_sample)(what, tile) for tile in tiles]
    sample = np.concatenate(list(compute_each(tasks)))
    return float(np.percentile(sample, 1.0 if percentile is None else percentile))


def _sample(what: tuple[da.Array, Sampling], tile: Tile) -> npt.NDArray[np.float32]:
    volume, sampling = what
    region = sampling.region(tile)
    return sampling.take(volume[region].compute(scheduler="synchronous"), None, tile)


@dataclass(frozen=True)
class Sampling:
    """Which voxels of a smoothed volume a percentile is taken of: each n-th along each axis.

    Attributes
    ----------
    space : tuple of int
        The volume's shape.
    every : int
        That n. Of volumes up to 13 million voxels it is 1, and smoothing goes over the borders of
        tiles; in larger ones each tile is smoothed by itself, so that no chunk is read twice.
    """

    space: tuple[int, ...]
    every: int

    @classmethod
    def of(cls, space: Sequence[int]) -> Sampling:
        """Choose voxels of a volume, about four million at most."""
        each: float = (prod(space) / _SAMPLE) ** (1 / len(space))
        return cls(tuple(space), max(1, round(each)))

    def region(self, tile: Tile) -> Slices:
        """Tell what has to be read for a tile."""
        return tile.region([_HALO if self.every == 1 else 0] * len(self.space), self.space)

    def take(
        self, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, tile: Tile
    ) -> npt.NDArray[np.float32]:
        """Smooth a tile's region as `estimate_background` does, where its sample is taken.

        Masked voxels, which are 0, have no weight, and are not in the sample.
        """
        places = [
            range(inside.start + -first % self.every, inside.stop, self.every)
            for first, inside in zip(tile.start, tile.inside(self.region(tile)), strict=True)
        ]
        smooth = _smoothed(image, places)
        if mask is None:
            return smooth.ravel()
        counted = mask[np.ix_(*places)]
        return smooth[counted] / _smoothed(mask, places)[counted]


def _smoothed(image: npt.NDArray[Any], places: Iterable[range]) -> npt.NDArray[np.float32]:
    """Smooth a volume or a plane; along each axis at some places only."""
    image = image.astype(np.float32, copy=False)
    for at in places:
        matrix = _smoothing(image.shape[0], at)
        smooth = matrix @ image.reshape(image.shape[0], -1)
        # To the next axis; after the last one they are in order again.
        image = np.moveaxis(smooth.reshape(len(at), *image.shape[1:]), 0, -1)
    return image


def _smoothing(size: int, places: range) -> scipy.sparse.csr_array:
    """Make the matrix that smooths an axis: a row for each place; at its ends it is reflected."""
    offsets = np.arange(-_HALO, _HALO + 1)
    weights = np.exp(-0.5 * (offsets / SMOOTHING) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    columns = (np.asarray(places)[:, np.newaxis] + offsets) % (2 * size)
    columns = np.minimum(columns, 2 * size - 1 - columns)
    rows = np.repeat(np.arange(len(places)), offsets.size)
    entries = np.tile(weights, len(places))
    matrix = scipy.sparse.coo_array((entries, (rows, columns.ravel())), (len(places), size))
    return matrix.tocsr()
