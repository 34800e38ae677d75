"""Layers that are not in memory, or do not fit into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engines.limits import room
from napari_deconv.engines.protocol import format_bytes
from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.layers import space_axes
from napari_deconv.widgets.common.preferences import preferences

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_deconv.widgets.common.parts import Part

__all__ = ["check_fits", "check_room", "fits", "is_large", "most_voxels"]

# Bytes in memory for each voxel of a volume that is deconvolved, and of a result.
_AT_WORK = 64
_HELD = 4
_PART_OF_MEMORY = 0.5

# The same where anything else is done: to flatten the background of a volume takes 16 bytes for
# each voxel, to blur it 31, to record it 44; all of a series is held with its result.
_IN_USE = 32
_READ = 8


def is_large(layer: Image) -> bool:
    """Tell whether a layer is read from elsewhere piece by piece, or its result does not fit."""
    return not _in_memory(_voxels(layer)) or not fits(layer)


def fits(layer: Image, level: int = 0) -> bool:
    """Tell whether there is memory to deconvolve a layer; of several resolutions that level."""
    needed = _bytes(_voxels(layer, level).shape, space_axes(layer), _AT_WORK, _HELD)
    return needed < room(preferences().memory)


def check_fits(part: Part) -> None:
    """Check that all of one resolution of a layer fits into memory.

    Raises
    ------
    DeconvError
        If it does not.
    """
    if not fits(part.layer, part.level):
        raise DeconvError(
            f"“{part.name}” does not fit into memory: choose the region in view, or run all to "
            "disk."
        )


def check_room(part: Part) -> None:
    """Check that there is memory to read voxels that are elsewhere, and to do something with them.

    Raises
    ------
    DeconvError
        If there is not.
    """
    if _in_memory(part.voxels):
        return
    needed = _bytes(part.shape, space_axes(part.layer), _IN_USE, _READ)
    free = room(preferences().memory)
    if needed > free:
        coarser = ", or choose a coarser resolution" if part.layer.multiscale else ""
        raise DeconvError(
            f"“{part.name}” does not fit into memory: {' × '.join(map(str, part.shape))} voxels "
            f"take some {format_bytes(needed)}, there is room for {format_bytes(free)}. Crop "
            f"it{coarser}."
        )


def most_voxels() -> int:
    """Tell how many voxels of a volume can be deconvolved at once, and leave room for others."""
    return int(_PART_OF_MEMORY * room(preferences().memory) / _AT_WORK)


def _bytes(shape: Sequence[int], axes: int, each_of_a_volume: int, each: int) -> int:
    """Count the bytes that a series of volumes needs, of which one at a time is worked on."""
    return each_of_a_volume * math.prod(shape[-axes:]) + each * math.prod(shape)


def _in_memory(voxels: Any) -> bool:
    return isinstance(voxels, np.ndarray) and not isinstance(voxels, np.memmap)


def _voxels(layer: Image, level: int = 0) -> Any:
    return layer.data[level] if layer.multiscale else layer.data
