"""How an array is cut into tiles, and what each one has to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["LEAST", "Tile", "cut", "regions"]

Index = tuple[int, ...]
Slices = tuple[slice, ...]

LEAST = 16
"""Voxels along an axis that a tile has at least where axes are cut: smaller ones would be nearly
all overlap."""


@dataclass(frozen=True)
class Tile:
    """One tile of an array.

    Attributes
    ----------
    frame : tuple of int
        Index on the axes in front of space.
    start, stop : tuple of int
        First voxel, and the one after the last, along the space axes.
    """

    frame: Index
    start: Index
    stop: Index

    @property
    def shape(self) -> Index:
        """Voxels along the space axes."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    def region(
        self, overlap: Sequence[int], shape: Sequence[int], bins: Sequence[int] | None = None
    ) -> Slices:
        """Take the tile with what surrounds it, as far as the space axes reach, in whole bins."""
        bins = bins or [1] * len(shape)
        edges = zip(self.start, self.stop, overlap, shape, bins, strict=True)
        return tuple(slice(*_seen(*edge)) for edge in edges)

    def halves(self, axis: int) -> tuple[Tile, Tile]:
        """Cut the tile in the middle of an axis."""
        middle = (self.start[axis] + self.stop[axis]) // 2
        first, second = list(self.stop), list(self.start)
        first[axis] = second[axis] = middle
        return replace(self, stop=tuple(first)), replace(self, start=tuple(second))

    def inside(self, region: Slices) -> Slices:
        """Find the tile in its region."""
        edges = zip(self.start, self.stop, region, strict=True)
        return tuple(slice(a - r.start, b - r.start) for a, b, r in edges)


def cut(size: int, block: int) -> tuple[int, ...]:
    """Cut an axis into blocks of one size; the last one is what is left."""
    whole, rest = divmod(size, block)
    return (block,) * whole + ((rest,) if rest else ())


def regions(size: int, block: int, overlap: int, bin_: int = 1) -> list[int]:
    """Give the voxels along an axis that each of its tiles sees, in whole bins."""
    edges = (
        _seen(start, min(start + block, size), overlap, size, bin_)
        for start in range(0, size, block)
    )
    return [last - first for first, last in edges]


def _seen(start: int, stop: int, overlap: int, size: int, bin_: int) -> tuple[int, int]:
    """Give the first voxel that a tile sees along an axis, and the one after the last.

    Bins are those of the whole axis; at its end there may be a part of one, but not alone.
    """
    first = max(start - overlap, 0) // bin_ * bin_
    last = min(-(-(stop + overlap) // bin_) * bin_, size)
    return min(first, (max(size // bin_, 1) - 1) * bin_), last
