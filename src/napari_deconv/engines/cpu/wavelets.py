"""Undecimated Haar wavelets on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slabs
from napari_deconv.engines.protocol import Shape

__all__ = ["Wavelets"]

Tile = tuple[range, range]


class Wavelets(Slabs):
    """One level at a time, on a periodic grid, in tiles that fit the cache with their margins."""

    def haar_average(self, image: Real, steps: Shape, out: Real) -> None:
        axes = [axis for axis in range(3) if steps[axis]]

        def work(tile: Tile) -> None:
            x = _cut(image, tile, (0, 0, 0), steps)
            for axis in axes:
                first, second = _pair(x, axis, steps[axis])
                x = first + second
            x *= np.float32(0.5 ** len(axes))
            _place(out, tile, x)

        self.map(work, _tiles(out.shape))

    def haar_change(
        self, image: Real, steps: Shape, threshold: float, coarse: Real, out: Real
    ) -> None:
        axes = [axis for axis in range(3) if steps[axis]]
        corners = 2 ** len(axes)
        bound = np.float32(corners * threshold)
        everywhere = np.broadcast_to(coarse, image.shape)

        def work(tile: Tile) -> None:
            x = _cut(image, tile, steps, steps)
            average = _cut(everywhere, tile, steps, (0, 0, 0))
            average *= -corners
            removed = _removed(x, axes, steps, bound, average)
            removed /= np.float32(-(corners**2))
            _place(out, tile, removed)

        self.map(work, _tiles(out.shape))


def _removed(
    x: Real, axes: Sequence[int], steps: Shape, bound: np.float32, average: Real | None
) -> Real:
    """Sum over the blocks that hold a voxel of what thresholding takes from them.

    Sums and differences along one axis after another give the bands of a block at its first voxel;
    `average` is what is taken from the band of all sums, None where a difference was made.
    """
    if not axes:
        return np.clip(x, -bound, bound, out=x) if average is None else average
    axis, rest = axes[0], axes[1:]
    first, second = _pair(x, axis, steps[axis])
    sums = _removed(first + second, rest, steps, bound, average)
    differences = _removed(first - second, rest, steps, bound, None)
    first, second = _pair(sums, axis, steps[axis])
    total = first + second
    # a voxel is the first of the block at its place, and the second of the one before
    first, second = _pair(differences, axis, steps[axis])
    total -= first
    total += second
    return total


def _pair(x: Real, axis: int, step: int) -> tuple[Real, Real]:
    """Take the voxels that have a partner `step` further on, and the partners."""
    rows = x.swapaxes(0, axis)
    return rows[:-step].swapaxes(0, axis), rows[step:].swapaxes(0, axis)


def _tiles(shape: Shape) -> list[Tile]:
    """Cut z and y so that a tile is about as thick as it is wide, all of x."""
    nz, ny, nx = shape
    side = max(8, int((2 * SLAB_VOXELS / nx) ** 0.5))
    thickness = min(nz, side)
    width = max(8, 2 * SLAB_VOXELS // (nx * thickness))
    return [
        (range(z, min(z + thickness, nz)), range(y, min(y + width, ny)))
        for z in range(0, nz, thickness)
        for y in range(0, ny, width)
    ]


def _cut(array: Real, tile: Tile, before: Shape, after: Shape) -> Real:
    """Copy a tile with so many voxels around it; the array is periodic."""
    nz, ny, nx = array.shape
    z = np.arange(tile[0].start - before[0], tile[0].stop + after[0]) % nz
    y = np.arange(tile[1].start - before[1], tile[1].stop + after[1]) % ny
    lines: Real = array[z[:, np.newaxis], y]
    return np.concatenate([lines[..., nx - before[2] :], lines, lines[..., : after[2]]], axis=2)


def _place(out: Real, tile: Tile, values: Real) -> None:
    z, y = tile
    out[z.start : z.stop, y.start : y.stop] = values
