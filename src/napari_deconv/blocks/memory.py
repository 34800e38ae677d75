"""How much memory a tile takes while it is worked on, and how much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isnan, prod
from operator import mul

import numpy as np
import psutil

from napari_deconv.deconvolution.levels import Binning
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import memory_of
from napari_deconv.engines import Engine
from napari_deconv.engines.limits import memory_limit
from napari_deconv.engines.protocol import Shape

__all__ = ["Memory", "free_memory", "memory_of_tile"]

# What is free now may be asked for by others before a tile is done.
_SHARE = 0.8

# Of the limit of a process: Python, its libraries and the chunks of files, measured (0.3 GB).
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


def memory_of_tile(
    options: Options,
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
    On the device: the arrays of the method, of which light and data have the region's shape. On the
    host: the region as it was read, and without negative values; three float32 copies where the
    offset is taken off, or photons are kept aside; the spectra of data and PSF where a filter's
    weight is found; for a graphics card, the start on the grid and a copy of it to send. Coarse
    levels have the same at their size, and drivers give it back late.
    """
    voxels = prod(region)
    psfs = len(options.psfs) - 1
    device = memory_of(grid, options.arrays - 1 + psfs) + 8 * voxels
    copies = 3 * (options.fits_photons + (options.stop == "consensus"))
    spectra = 2 * (options.kind.direct and isnan(options.weight))
    read = (2 * dtype.itemsize + 4 * copies) * voxels + memory_of(grid, spectra)
    more = sum(1 / share for share in accumulate(map(prod, coarse), mul))
    device += more * memory_of(grid, options.arrays + psfs)
    if options.engine.device.kind == "CPU":
        return Memory(max(device + read, memory_of(grid, options.arrays + psfs)), 0)
    return Memory(max(device, memory_of(grid, options.arrays + psfs)), read + memory_of(grid, 2))


def free_memory(engine: Engine, limit: float | None) -> Memory:
    """Tell how much a tile may take: what is free, and at most a limit.

    Parameters
    ----------
    engine : Engine
        Where it is worked on.
    limit : float or None
        Bytes on the device; None takes that of `set_limits`, of which on a processor a part is
        left to Python itself.
    """
    device, of_process = engine.device, memory_limit()
    free = _SHARE * psutil.virtual_memory().available
    there = free if device.kind == "CPU" else _SHARE * device.memory
    if of_process is not None and device.kind == "CPU":
        of_process -= min(_RESERVED, _MOST_RESERVED * of_process)
    return Memory(min(limit or of_process or there, there), free)
