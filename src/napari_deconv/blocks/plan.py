"""How large the tiles are, what they cost, and how that is told before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_deconv.blocks.grid import Tile, cut
from napari_deconv.blocks.order import Order
from napari_deconv.deconvolution.volume import grid_of, memory_of

__all__ = ["BlockPlan", "make_plan"]

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class BlockPlan:
    """How an array is cut into tiles.

    Attributes
    ----------
    shape : tuple of int
        Of the array: axes in front, then space.
    block : tuple of int
        Voxels of a tile along the space axes; the last ones of an axis may be smaller.
    overlap : tuple of int
        Voxels that a tile sees beyond each of its borders inside the array.
    grid : tuple of int
        The largest grid (z, y, x) that is computed on.
    memory : int
        Bytes that the largest tile takes at its peak, device and host together.
    """

    shape: Sizes
    block: Sizes
    overlap: Sizes
    grid: Sizes
    memory: int

    @property
    def counts(self) -> Sizes:
        """How many tiles there are along each axis of the array."""
        return tuple(len(sizes) for sizes in self.chunks)

    @property
    def chunks(self) -> tuple[Sizes, ...]:
        """Sizes of the tiles along each axis of the array, as Dask has them."""
        leading, space = self._split
        blocks = (cut(n, b) for n, b in zip(space, self.block, strict=True))
        return (*((1,) * n for n in leading), *blocks)

    @property
    def _split(self) -> tuple[Sizes, Sizes]:
        front = len(self.shape) - len(self.block)
        return self.shape[:front], self.shape[front:]

    def tiles(self) -> Iterator[Tile]:
        """Go through the tiles, the last axis fastest."""
        return (self.tile(number) for number in np.ndindex(self.counts))

    def tile(self, number: Sizes) -> Tile:
        """Take the tile at a place among the tiles."""
        leading, space = self._split
        front = len(leading)
        start = tuple(i * b for i, b in zip(number[front:], self.block, strict=True))
        stop = tuple(min(a + b, n) for a, b, n in zip(start, self.block, space, strict=True))
        return Tile(number[:front], start, stop)


def make_plan(
    shape: Sizes, order: Order, block: Any, overlap: Any, memory: float | None
) -> BlockPlan:
    space = shape[len(shape) - order.ndim :]
    options = order.options
    psf = options.psfs[0].shape[3 - order.ndim :]
    sizes = tuple(block) if block is not None else tuple(min(n, 128) for n in space)
    margin = tuple(overlap) if overlap is not None else tuple(m // 2 for m in psf)
    sizes = tuple(min(b, n) for b, n in zip(sizes, space, strict=True))
    region = [min(b + 2 * o, n) for b, o, n in zip(sizes, margin, space, strict=True)]
    lead = (1,) * (3 - order.ndim)
    grid = grid_of((*lead, *region), options.psfs[0].shape, options.boundary)
    return BlockPlan(shape, sizes, margin, grid, memory_of(grid, options.arrays))
