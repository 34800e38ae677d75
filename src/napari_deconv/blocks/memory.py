"""How much memory a tile takes while it is worked on, and how much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul

import numpy as np

from napari_deconv.deconvolution.levels import Binning
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.parts import part_shape
from napari_deconv.deconvolution.volume import UNKNOWN_OUTSIDE, memory_of
from napari_deconv.deconvolution.weight import grid_of_part
from napari_deconv.engines import Device
from napari_deconv.engines.limits import memory_limit, room
from napari_deconv.engines.protocol import Shape, format_bytes

__all__ = ["Memory", "free_memory", "memory_of_tile", "memory_of_weight", "within_limit"]

# What is free now may be asked for by others before a tile is done.
_SHARE = 0.8

# Of the limit of a process: Python, its libraries and the chunks of files; 0.3 GB were measured.
_RESERVED = 0.4e9
_MOST_RESERVED = 0.4


@dataclass(frozen=True)
class Memory:
    """Bytes on the device and on the host; on one of them where the device is a processor.

    Attributes
    ----------
    device : float
        Arrays of the engine; with what the host holds where the device works in its memory.
    host : float
        What the host holds besides.
    """

    device: float
    host: float

    def fits(self, free: Memory) -> bool:
        """Tell whether there is room for it."""
        return self.device <= free.device and self.host <= free.host

    def over(self, free: Memory) -> str:
        """Say what does not fit."""
        more = self.device > free.device
        needed, there = (self.device, free.device) if more else (self.host, free.host)
        return f"{format_bytes(needed)} of memory, {format_bytes(there)} may be taken"

    def or_if_more(self, other: Memory) -> Memory:
        """Give what is needed where one is done after the other."""
        return Memory(max(self.device, other.device), max(self.host, other.host))


def memory_of_tile(
    options: Options,
    device: Device,
    region: Shape,
    grid: Shape,
    dtype: np.dtype[np.generic],
    coarse: Sequence[Binning] = (),
) -> Memory:
    """Tell what a tile takes at its peak, by the arrays that are alive then.

    Parameters
    ----------
    options : Options
        What is done to it.
    device : Device
        Where.
    region : tuple of int
        The tile with its overlap.
    grid : tuple of int
        What it is padded to (z, y, x).
    dtype : dtype
        Of the image.
    coarse : sequence of Binning
        How coarse levels are binned, the finest first.

    Notes
    -----
    On the device: the arrays of the method, of which light and data have the region's shape, or the
    grid's if what is around the region is given; once more the data, if photons are counted. On the
    host: the region as it was read, and without negative values; three float32 copies where the
    offset is taken off, or photons are kept aside; for a graphics card, the start on the grid and a
    copy of it to send. Coarse levels have the same at their size, and drivers give it back late.
    """
    voxels = prod(region)
    seen = voxels if options.boundary in UNKNOWN_OUTSIDE else prod(grid)
    psfs = len(options.psfs) - 1
    copies = 3 * (options.fits_photons + (options.stop == "consensus"))
    counted = options.counts_photons and not copies
    arrays = memory_of(grid, options.arrays - 1 + psfs) + 4 * (2 + counted) * seen
    read = (2 * dtype.itemsize + 4 * copies) * voxels
    more = sum(1 / share for share in accumulate(map(prod, coarse), mul))
    arrays += more * memory_of(grid, options.arrays + psfs)
    if device.kind == "CPU":
        return Memory(max(arrays + read, memory_of(grid, options.arrays + psfs)), 0)
    return Memory(max(arrays, memory_of(grid, options.arrays + psfs)), read + memory_of(grid, 2))


def memory_of_weight(
    options: Options, device: Device, space: Shape, dtype: np.dtype[np.generic]
) -> Memory:
    """Tell what finding a filter's weight takes, which the processor does.

    Parameters
    ----------
    options : Options
        What is to be done.
    device : Device
        Where the tiles are filtered.
    space : tuple of int
        Of the image, (z, y, x).
    dtype : dtype
        Of the image.

    Notes
    -----
    The spectrum of the PSF, and half as much for what is weighed; besides, what is more of one part
    of the image: its light on the grid and the spectrum of that, or before it the part as it was
    read and five float32 copies, of which its background is found.
    """
    grid, part = grid_of_part(space, options), prod(part_shape(space))
    light = max(memory_of(grid, 2), (2 * dtype.itemsize + 4 * 5) * part)
    taken = 1.5 * memory_of(grid, 1) + light
    return Memory(taken, 0) if device.kind == "CPU" else Memory(0, taken)


def free_memory(device: Device) -> Memory:
    """Tell how much memory is free on a device of this machine, and on the machine."""
    free = _SHARE * room(None)
    return Memory(free if device.kind == "CPU" else _SHARE * device.memory, free)


def within_limit(free: Memory, device: Device, limit: float | None) -> Memory:
    """Tell how much of what is free a tile may take.

    Parameters
    ----------
    free : Memory
        Where the tile is worked on, and may be worked on by several processes.
    device : Device
        Of each process.
    limit : float or None
        Bytes on the device; None takes that of `set_limits`, of which on a processor a part is
        left to Python itself.
    """
    of_process = memory_limit()
    if of_process is not None and device.kind == "CPU":
        of_process -= min(_RESERVED, _MOST_RESERVED * of_process)
    most = limit or of_process or free.device
    return Memory(min(most, free.device), free.host)
