"""How large the tiles are, what they cost, and how that is told before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, prod

import numpy as np
from dask import delayed
from dask.base import tokenize

from napari_deconv._checks import check_number, check_whole
from napari_deconv._progress import duration
from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import LEAST, Tile, cut, regions
from napari_deconv.blocks.memory import Memory, memory_of_tile, memory_of_weight
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.place import Place, find_place
from napari_deconv.blocks.reach import reach
from napari_deconv.blocks.rules import cross_validates
from napari_deconv.blocks.timing import seconds_a_voxel
from napari_deconv.deconvolution.levels import Binning, binnings
from napari_deconv.deconvolution.parts import SHARES, parts_of
from napari_deconv.deconvolution.volume import grid_of
from napari_deconv.deconvolution.weight import grid_of_part
from napari_deconv.engines.protocol import format_bytes
from napari_deconv.errors import DeconvError, WholeImageError

__all__ = ["BlockPlan", "NoTileFits", "make_plan", "say_time"]

Sizes = tuple[int, ...]

_WASTEFUL = 10  # voxels computed for each one of the image


class NoTileFits(DeconvError):
    """The memory is too small for the smallest tile."""


@dataclass(frozen=True)
class BlockPlan:
    """How an array is cut into tiles, and what that costs.

    Attributes
    ----------
    shape : tuple of int
        Of the array: axes in front, which are looped over, then space.
    block : tuple of int
        Voxels of a tile along the space axes; the last one along an axis may be smaller.
    overlap : tuple of int
        Voxels that a tile sees beyond each of its borders inside the array.
    grid : tuple of int
        The largest grid (z, y, x) that is computed on: tile, overlap, and margins for light from
        outside.
    memory : Memory
        Bytes that the largest tile takes at its peak.
    place : Place
        Device, its free memory, and the workers if it is a cluster's.
    coarse : list of tuple of int
        How many voxels (z, y, x) become one on each coarse level, the finest first: decided for the
        whole image.
    asked : int or sequence of int, optional
        The overlap, if it was given.
    """

    shape: Sizes
    block: Sizes
    overlap: Sizes
    grid: Sizes
    memory: Memory
    place: Place
    order: Order = field(repr=False)
    coarse: list[Binning] = field(repr=False)
    asked: int | Sequence[int] | None = field(repr=False)

    @property
    def counts(self) -> Sizes:
        """How many tiles there are along each axis of the array."""
        return tuple(len(sizes) for sizes in self.chunks)

    @property
    def chunks(self) -> tuple[Sizes, ...]:
        """Sizes of the tiles along each axis of the array, as Dask has them."""
        blocks = (cut(n, b) for n, b in zip(self.space, self.block, strict=True))
        return (*((1,) * n for n in self.shape[: -len(self.block)]), *blocks)

    @property
    def space(self) -> Sizes:
        """Voxels along the space axes."""
        return self.shape[-len(self.block) :]

    @property
    def bins(self) -> Sizes:
        """Voxels along the space axes that become one on the coarsest level."""
        return _bins(self.coarse, len(self.block))

    @property
    def computed(self) -> int:
        """Voxels of the grids of all tiles together."""
        # A tile's grid along one axis does not depend on where it is along the others.
        boundary = self.order.settings["boundary"]
        sizes = zip(self.space, self.block, self.overlap, self.bins, _psf(self.order), strict=True)
        along = (
            sum(grid_of((length,), (m,), boundary)[0] for length in regions(*cut))
            for *cut, m in sizes
        )
        return prod(self.shape[: -len(self.block)]) * prod(along)

    @property
    def is_cut(self) -> bool:
        """Whether a volume is more than one tile."""
        return self.block != self.space

    @property
    def waste(self) -> float:
        """Voxels computed for each voxel of the array."""
        return self.computed / prod(self.shape)

    @property
    def fingerprint(self) -> str:
        """A number of shape, tiles, PSF and parameters, but for what the image's voxels say.

        That is the background, and an overlap that follows from the weight which is found.
        """
        settings = sorted(self.order.settings.items())
        overlap = None if self.sees_as_found else self.overlap
        return str(tokenize(self.shape, self.block, overlap, settings))

    @property
    def sees_as_found(self) -> bool:
        """Whether the overlap follows from what is in the image."""
        return self.asked is None and cross_validates(self.order.options)

    def tiles(self) -> Iterator[Tile]:
        """Go through the tiles, the last axis fastest."""
        return (self.tile(number) for number in np.ndindex(self.counts))

    def tile(self, number: Sizes) -> Tile:
        """Take the tile at a place among the tiles."""
        front = len(number) - len(self.block)
        start = tuple(i * b for i, b in zip(number[front:], self.block, strict=True))
        stop = tuple(min(a + b, n) for a, b, n in zip(start, self.block, self.space, strict=True))
        return Tile(number[:front], start, stop)

    def seconds(self) -> float:
        """Estimate how long all takes, by a few steps on a small tile where they are computed.

        That is counting what is in the image, tiles that are deconvolved ahead, and all tiles; not
        the disk. With a stopping rule it is the time of all steps. On a cluster its workers are
        taken to be alike.
        """
        order = delayed(self.order, traverse=False)
        every = Sampling.of(self.space).every
        (voxel,) = compute_each([delayed(seconds_a_voxel)(order, self.grid, self.coarse, every)])
        tiles, workers = prod(self.counts), self.place.workers or 1
        tile = self.computed / tiles
        ahead, each = self._ahead(tile)
        return float(
            voxel.survey * prod(self.shape) / workers
            + voxel.pilot * ceil(ahead / workers) * each
            + voxel.tile * ceil(tiles / workers) * tile
        )

    def _ahead(self, tile: float) -> tuple[int, float]:
        """How much is computed ahead for a rule: how often, and of how many voxels each time."""
        volumes = prod(self.shape[: -len(self.block)])
        direct = self.order.options.kind.direct
        if self.order.whole and not direct:
            return 0, tile
        if not direct:
            return volumes * min(len(SHARES), prod(self.counts) // volumes), tile
        space = _volume(self.space)
        parts = min(len(SHARES), len(parts_of(space)))
        return volumes, parts * prod(grid_of_part(space, self.order.options))

    def describe_time(self) -> str:
        """Say how long it takes; `seconds` is measured for it."""
        return say_time(self.seconds(), self.place)

    def describe(self) -> str:
        """Say it in words: tiles, overlap, grid, memory, and what is computed twice."""
        tiles = prod(self.counts)
        text = f"{_by(self.shape)} voxels in "
        if tiles == 1:
            text += "1 tile"
        else:
            overlap = f", overlapping by {_by(self.overlap)}" if self.is_cut else ""
            text += f"{tiles} tiles of {_by(self.block)}{overlap}"
        text += f", on grids of up to {_by(self.grid)}; "
        text += f"{format_bytes(self.memory.device)} of memory on {self.place.device.name}"
        if self.memory.host:
            text += f" and {format_bytes(self.memory.host)} on the host"
        text += f"; {self.waste:.1f} voxels computed for each one of the image."
        if self.waste > _WASTEFUL:
            text += " Larger tiles compute fewer: give more memory."
        return text


def say_time(seconds: float, place: Place) -> str:
    """Say how long computing takes, and where; how fast the disk is, is not known."""
    return f"Computing it takes about {duration(seconds)} {place.describe()}."


def make_plan(
    shape: Sizes,
    dtype: np.dtype[np.generic],
    order: Order,
    block: int | Sequence[int] | None,
    overlap: int | Sequence[int] | None,
    memory: float | None,
    weight: float | None = None,
) -> BlockPlan:
    """Choose the tiles that fit the memory and leave the least to compute.

    Parameters
    ----------
    shape : tuple of int
        Of the array.
    dtype : dtype
        Of the array.
    order : Order
        What will be done.
    block, overlap : int or sequence of int, optional
        Voxels along the space axes, chosen instead; `block` also with a 1 for each axis in front.
    memory : float, optional
        Bytes that a tile may take.
    weight : float, optional
        Of a filter, where it was found: tiles see as far as it takes.

    Raises
    ------
    NoTileFits
        If no tile fits.
    WholeImageError
        If volumes are not to be cut, and `block` would, or one in one piece does not fit.
    DeconvError
        If sizes are none, or the weight cannot be found in so little memory.
    """
    space, options = shape[-order.ndim :], order.options
    if memory is not None:
        check_number(memory, "memory", low=1)
    weighed = order if weight is None else order.weighing(weight)
    margin = reach(weighed, space) if overlap is None else _sizes(overlap, order, "overlap", 0)
    levels = options.levels if options.kind.coarse_to_fine else 1
    coarse = binnings(_volume(space), options.psfs, levels)
    bins = _bins(coarse, order.ndim)
    place = find_place(order.engine, memory)
    before = Memory(0, 0)
    if cross_validates(options):
        before = memory_of_weight(options, place.device, _volume(space), dtype)

    def plan(sizes: Sizes) -> BlockPlan:
        axes = zip(space, sizes, margin, bins, strict=True)
        region = (1,) * (3 - order.ndim) + tuple(max(regions(*axis)) for axis in axes)
        grid = grid_of(region, options.psfs[0].shape, options.boundary)
        cost = memory_of_tile(options, place.device, region, grid, dtype, coarse)
        return BlockPlan(
            shape, sizes, margin, grid, cost.or_if_more(before), place, order, coarse, overlap
        )

    if block is not None:
        given = _sizes(block, order, "block", 1)
        sizes = tuple(min(b, n) for b, n in zip(given, space, strict=True))
        if order.whole and sizes != space:
            raise WholeImageError(f"block={block!r}: {order.whole}")
        fixed = set(range(order.ndim)) - set(order.cut_axes)
        if any(sizes[axis] < space[axis] for axis in fixed):
            raise DeconvError(
                f"block={block!r}: with a PSF for each depth a tile has all {space[0]} planes."
            )
        return plan(sizes)
    if not before.fits(place.free):
        raise DeconvError(
            f"To find the weight takes {format_bytes(before.device + before.host)} of memory, "
            f"{format_bytes(place.free.host if before.host else place.free.device)} may be taken: "
            "give regularization_weight, or raise the limit."
        )
    best = _least_to_compute(order, plan, space, margin, bins, place.free)
    if best is None:
        if order.whole:
            lacks = plan(space).memory.over(place.free)
            raise WholeImageError(f"{order.whole} In one piece {_by(space)} voxels need {lacks}.")
        least = plan(
            tuple(n if a not in order.cut_axes else min(n, LEAST) for a, n in enumerate(space))
        )
        give = ", a larger weight" if options.kind.direct else ""
        found = "" if weight is None else f"A weight of {weight:.2g} was found. "
        raise NoTileFits(
            f"{found}Even a tile of {_by(least.block)} voxels, overlapping by {_by(margin)}, needs "
            f"{format_bytes(least.memory.device)} of memory, {format_bytes(place.free.device)} may "
            f"be taken: crop the PSF, give a smaller overlap{give}, or raise the limit."
        )
    return best


def _least_to_compute(
    order: Order,
    plan: Callable[[Sizes], BlockPlan],
    space: Sizes,
    margin: Sizes,
    bins: Sizes,
    free: Memory,
) -> BlockPlan | None:
    """Try how often each axis is cut, the least to compute first, until a plan fits."""
    options, psf = order.options, _psf(order)
    axes = [
        _candidates(*sizes, options.boundary, axis in order.cut_axes)
        for axis, sizes in enumerate(zip(space, margin, bins, psf, strict=True))
    ]
    # One row for each way to cut: block, largest grid and sum of grids along each axis.
    ways = np.stack(np.meshgrid(*(np.arange(len(axis)) for axis in axes), indexing="ij"), -1)
    ways = ways.reshape(-1, len(axes))
    table = np.stack([np.array(axis)[ways[:, i]] for i, axis in enumerate(axes)])
    grids, totals = table[..., 1].prod(axis=0), table[..., 2].prod(axis=0)
    # The grids alone rule most out.
    possible = np.flatnonzero(4.0 * options.arrays * grids <= free.device)
    for way in possible[np.argsort(totals[possible], kind="stable")]:
        made = plan(tuple(int(block) for block in table[:, way, 0]))
        if made.memory.fits(free):
            return made
    return None


def _candidates(
    size: int, overlap: int, bin_: int, psf: int, boundary: str, may_be_cut: bool
) -> list[tuple[float, float, float]]:
    """Block, largest grid and sum of all grids along an axis, for those that are worth it."""
    found: list[tuple[float, float, float]] = []
    most = -(-size // LEAST) if may_be_cut else 1
    for block in sorted({-(-size // count) for count in range(1, most + 1)}, reverse=True):
        seen = regions(size, block, overlap, bin_)
        lengths = [grid_of((n,), (psf,), boundary)[0] for n in seen]
        if not found or max(lengths) < found[-1][1]:
            found.append((block, max(lengths), sum(lengths)))
    return found


def _sizes(given: int | Sequence[int], order: Order, name: str, low: int) -> Sizes:
    """Take a number, or one for each space axis; those of axes in front are left out."""
    values = (
        [given] * order.ndim if isinstance(given, int | np.integer) else np.ravel(given).tolist()
    )
    front, values = values[: -order.ndim], values[-order.ndim :]
    if len(values) < order.ndim or any(n != low for n in front):
        raise DeconvError(
            f"{name}={given!r}: expected a number, or {order.ndim} numbers of voxels."
        )
    return tuple(check_whole(value, name, low) for value in values)


def _bins(coarse: Sequence[Binning], ndim: int) -> Sizes:
    """Multiply the binnings of all levels, along the space axes."""
    return tuple(prod(factors[axis] for factors in coarse) for axis in range(3 - ndim, 3))


def _psf(order: Order) -> Sizes:
    """Voxels of the PSF along the space axes."""
    shape: Sizes = order.settings["psfs"][0].shape
    return shape[3 - order.ndim :]


def _volume(space: Sizes) -> Sizes:
    """Take (y, x) as (1, y, x)."""
    return (1,) * (3 - len(space)) + space


def _by(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))
