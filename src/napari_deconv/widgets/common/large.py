"""Layers that are not in memory, or do not fit into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_deconv.widgets.common.layers import space_axes
from napari_deconv.widgets.common.preferences import preferences

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["fits", "is_large", "most_voxels"]

# Bytes in memory for each voxel of a volume that is deconvolved, and of a result.
_AT_WORK = 64
_HELD = 4
_PART_OF_MEMORY = 0.5


def is_large(layer: Image) -> bool:
    """Tell whether a layer is read from elsewhere piece by piece, or its result does not fit."""
    voxels = _voxels(layer)
    in_memory = isinstance(voxels, np.ndarray) and not isinstance(voxels, np.memmap)
    return not in_memory or not fits(layer)


def fits(layer: Image) -> bool:
    """Tell whether there is memory to deconvolve a layer at full resolution."""
    shape = _voxels(layer).shape
    volume = float(np.prod(shape[-space_axes(layer) :], dtype=float))
    return _AT_WORK * volume + _HELD * float(np.prod(shape, dtype=float)) < _room()


def most_voxels() -> int:
    """Tell how many voxels of a volume can be deconvolved at once, and leave room for others."""
    return int(_PART_OF_MEMORY * _room() / _AT_WORK)


def _voxels(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _room() -> float:
    available = float(psutil.virtual_memory().available)
    return min(available, preferences().memory or available)
