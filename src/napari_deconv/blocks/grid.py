"""How an array is cut into tiles, and what each one has to see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

__all__ = ["Tile", "cut", "tiles_of"]

Index = tuple[int, ...]
Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Tile:
    """One tile of an array.

    Attributes
    ----------
    number : tuple of int
        Its place among the tiles, along each axis of the array.
    frame : tuple of int
        Index on the axes in front of space.
    start, stop : tuple of int
        First voxel, and the one after the last, along the space axes.
    """

    number: Index
    frame: Index
    start: Index
    stop: Index

    @property
    def shape(self) -> Index:
        """Voxels along the space axes."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def region(self, overlap: Sequence[int], shape: Sequence[int]) -> Slices:
        """Take the tile with what surrounds it, as far as the space axes reach."""
        edges = zip(self.start, self.stop, overlap, shape, strict=True)
        return tuple(slice(max(a - o, 0), min(b + o, n)) for a, b, o, n in edges)

    def inside(self, region: Slices) -> Slices:
        """Find the tile in its region."""
        edges = zip(self.start, self.stop, region, strict=True)
        return tuple(slice(a - r.start, b - r.start) for a, b, r in edges)


def cut(size: int, block: int) -> tuple[int, ...]:
    """Cut an axis into blocks of one size; the last one is what is left."""
    whole, rest = divmod(size, block)
    return (block,) * whole + ((rest,) if rest else ())


def tiles_of(leading: Sequence[int], shape: Sequence[int], block: Sequence[int]) -> Iterator[Tile]:
    """Cut an array into tiles, the last axis fastest.

    Parameters
    ----------
    leading : sequence of int
        Shape of the axes in front, which are looped over.
    shape : sequence of int
        Shape of the space axes.
    block : sequence of int
        Tile size along the space axes.
    """
    counts = [-(-n // b) for n, b in zip(shape, block, strict=True)]
    for frame in product(*map(range, leading)):
        for place in product(*map(range, counts)):
            start = tuple(i * b for i, b in zip(place, block, strict=True))
            stop = tuple(min(a + b, n) for a, b, n in zip(start, block, shape, strict=True))
            yield Tile((*frame, *place), frame, start, stop)
