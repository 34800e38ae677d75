"""A background that is one number for a whole image, subtracted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import scipy.sparse
from dask import delayed
from dask.array.core import normalize_chunks, slices_from_chunks
from scipy.stats.qmc import Halton

from napari_deconv._checks import check_number
from napari_deconv._progress import Callback, Progress
from napari_deconv.background import SMOOTHING, estimate_background
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.source import check_source
from napari_deconv.engines import Engine
from napari_deconv.errors import DeconvError

__all__ = ["Sampling", "sample_background", "subtract_background_blocks"]

Slices = tuple[slice, ...]

# As far as the smoothing reaches before a percentile is taken, in voxels.
_HALO = round(4 * SMOOTHING)

# Smoothed voxels that a percentile is taken of: all of an image up to this size.
_SAMPLE = 4_000_000

# What is read for a quick estimate, some tenths of a second: voxels, in how many places; and how
# wide these are, in voxels, for smoothing to leave about as much of the noise as in the whole.
_QUICK = 64_000_000
_FEWEST_PLACES = 8
_MOST_PLACES = 128
_WIDE = 4
_PLACE = 1_000_000  # bytes, where there are no chunks


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


def sample_background(
    image: Any, mask: Any = None, frame: tuple[int, ...] = (), callback: Callback | None = None
) -> float:
    """Estimate the background that `prepare_blocks` finds, without reading all of a volume.

    Parameters
    ----------
    image : Dask, Zarr or NumPy array
        Axes in front, then (z, y, x) or (y, x).
    mask : array of bool, optional
        Of the image's shape, True where voxels count.
    frame : tuple of int
        Which volume or plane it is of: an index for each axis in front.
    callback : callable, optional
        Called with a `Progress` after each place that is read.

    Returns
    -------
    float
        The 1st percentile of the smoothed volume. Up to 13 million voxels it is that of all of
        them, else of some 64 million in up to 128 places, which are spread over the volume and are
        the same each time. What is NaN or infinite does not count.

    Raises
    ------
    DeconvError
        If nothing that was read counts.
    """
    source = check_source(image, "auto", mask)
    space = source.shape[len(frame) :]
    tiles, sampling = _places(image, space)
    samples = []
    for done, tile in enumerate(tiles, start=1):
        voxels, _, counted = source.read((*frame, *sampling.region(tile)))
        samples.append(sampling.take(voxels, counted, tile))
        if callback is not None:
            callback(Progress(done, len(tiles)))
    sample = np.concatenate(samples)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise DeconvError(
            "No background is found: nothing counts in what was read for it. Give it as a number."
        )
    return float(np.percentile(sample, 1))


def _places(image: Any, space: tuple[int, ...]) -> tuple[list[Tile], Sampling]:
    """Choose whole chunks of a volume, wide enough to be smoothed, by a Halton sequence."""
    sampling = Sampling.of(space)
    if sampling.every == 1:
        return [Tile((), (0,) * len(space), space)], sampling
    own = getattr(image, "chunks", None) or "auto"
    chunks = normalize_chunks(own, image.shape, limit=_PLACE, dtype=image.dtype)
    sides = [each[0] * ceil(_WIDE / each[0]) for each in chunks[-len(space) :]]
    counts = [ceil(size / side) for size, side in zip(space, sides, strict=True)]
    number = min(max(_QUICK // prod(sides), _FEWEST_PLACES), _MOST_PLACES)
    if prod(counts) <= number:
        places = list(np.ndindex(*counts))
    else:
        points = Halton(len(space), scramble=False).random(number)
        places = list(dict.fromkeys(map(tuple, (points * counts).astype(int).tolist())))
    tiles = []
    for place in places:
        start = tuple(n * side for n, side in zip(place, sides, strict=True))
        ends = zip(start, sides, space, strict=True)
        tiles.append(Tile((), start, tuple(min(a + side, size) for a, side, size in ends)))
    read = sum(prod(tile.shape) for tile in tiles)
    every = round((read / _SAMPLE) ** (1 / len(space)))
    return tiles, Sampling(space, max(2, every))


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
