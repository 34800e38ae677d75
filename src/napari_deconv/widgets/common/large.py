"""Layers that are not in memory, or do not fit into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.engines.limits import room
from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.layers import space_axes
from napari_deconv.widgets.common.preferences import preferences

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_deconv.widgets.common.parts import Part

__all__ = ["check_fits", "fits", "is_large", "most_voxels"]

# Bytes in memory for each voxel of a volume that is deconvolved, and of a result.
_AT_WORK = 64
_HELD = 4
_PART_OF_MEMORY = 0.5


def is_large(layer: Image) -> bool:
    """Tell whether a layer is read from elsewhere piece by piece, or its result does not fit."""
    voxels = _voxels(layer)
    in_memory = isinstance(voxels, np.ndarray) and not isinstance(voxels, np.memmap)
    return not in_memory or not fits(layer)


def fits(layer: Image, level: int = 0) -> bool:
    """Tell whether there is memory to deconvolve a layer; of several resolutions that level."""
    shape = _voxels(layer, level).shape
    volume = float(np.prod(shape[-space_axes(layer) :], dtype=float))
    return _AT_WORK * volume + _HELD * float(np.prod(shape, dtype=float)) < room(
        preferences().memory
    )


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


def most_voxels() -> int:
    """Tell how many voxels of a volume can be deconvolved at once, and leave room for others."""
    return int(_PART_OF_MEMORY * room(preferences().memory) / _AT_WORK)


def _voxels(layer: Image, level: int = 0) -> Any:
    return layer.data[level] if layer.multiscale else layer.data
