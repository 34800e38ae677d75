"""Elementwise work on the host: NumPy over slabs that fit the cache, in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.cpu.pool import Pool
from napari_deconv.engines.limits import threads
from napari_deconv.engines.protocol import Shape

__all__ = ["SLAB_VOXELS", "Real", "Slab", "Slabs", "Spectrum", "part"]

Real = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]
Slab = tuple[slice, ...]

# Elementwise work is memory-bound: a handful of arrays of this many float32 stay in the cache.
SLAB_VOXELS = 1 << 16

_TASKS_PER_THREAD = 4


def part(array: npt.NDArray[Any], slab: Slab) -> npt.NDArray[Any]:
    """Take the slab of an array, or all of it where one number stands for all voxels."""
    return array if array.size == 1 else array[slab]


def _slabs(shape: Shape) -> list[Slab]:
    """Cut a volume along z, or a single plane along y."""
    axis = 0 if shape[0] > 1 else 1
    length = shape[axis]
    thickness = max(1, SLAB_VOXELS * length // max(1, int(np.prod(shape))))
    sizes = [slice(size) for size in shape]
    cuts = (slice(i, min(i + thickness, length)) for i in range(0, length, thickness))
    return [(*sizes[:axis], cut, *sizes[axis + 1 :]) for cut in cuts]


_pool = cache(Pool)


class Slabs:
    """Work shared out among as many threads as the limits allow."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Call the function with every item; results in order."""
        waiting, workers = list(items), threads()
        # A task costs some 30 µs to hand over: a few for each thread even out their loads.
        share = -(-len(waiting) // (_TASKS_PER_THREAD * workers)) or 1

        def work(start: int) -> list[Any]:
            return [function(item) for item in waiting[start : start + share]]

        done = _pool(workers).map(work, range(0, len(waiting), share))
        return [result for results in done for result in results]

    def each(self, function: Callable[[Slab], Any], shape: Shape) -> list[Any]:
        """Call the function with every slab of a volume."""
        return self.map(function, _slabs(shape))
