"""How an image is cut into blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from napari_deconv.errors import DeconvError

__all__ = ["Layout", "Origin", "block_sizes"]

Origin = tuple[int, ...]
"""The first voxel of a block, by which it is known."""


@dataclass(frozen=True)
class Layout:
    """How an image is cut into blocks.

    Attributes
    ----------
    shape : tuple of int
        Voxels along each axis.
    dtype : str
        Type of the voxels.
    blocks : tuple of int
        Size of a block along each axis; the last one of an axis may be smaller.
    """

    shape: tuple[int, ...]
    dtype: str
    blocks: tuple[int, ...]

    @property
    def origins(self) -> Iterator[Origin]:
        """First voxel of each block."""
        return product(*map(range, (0,) * len(self.shape), self.shape, self.blocks))

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return math.prod(-(-n // b) for n, b in zip(self.shape, self.blocks, strict=True))

    def region(self, origin: Origin) -> tuple[slice, ...]:
        """Where the block with this first voxel lies."""
        return tuple(
            slice(o, min(o + b, n)) for o, b, n in zip(origin, self.blocks, self.shape, strict=True)
        )


def block_sizes(chunks: Sequence[int | Sequence[int]], shape: Sequence[int]) -> Origin:
    """Give the size of a block along each axis.

    Raises
    ------
    DeconvError
        If the blocks of an axis differ, other than a smaller last one.
    """
    sizes: list[int] = []
    for chunk, length in zip(chunks, shape, strict=True):
        given = list(chunk) if isinstance(chunk, Sequence) else [chunk]
        if any(size != given[0] for size in given[:-1]) or given[-1] > given[0]:
            raise DeconvError(
                f"Blocks of {given} voxels along an axis cannot be written: all but the last must "
                "be of one size. Rechunk the array."
            )
        sizes.append(min(int(given[0]), length))
    return tuple(sizes)
