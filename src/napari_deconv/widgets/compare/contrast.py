"""Contrast of the temporary layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv.widgets.compare.world import current_volume

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_deconv.widgets.compare.stage import Picture

__all__ = ["set_contrasts"]

_SAMPLES = 300_000


def set_contrasts(
    viewer: ViewerModel, pictures: Sequence[Picture], kind: str, percentiles: tuple[float, float]
) -> None:
    """Set what is black and white in each picture.

    Parameters
    ----------
    viewer : ViewerModel
        Says which volume of a series is looked at.
    pictures : sequence of Picture
        RGB ones stay as they are.
    kind : str
        ``"own"``: as the user's layers are now. ``"range"``: from the darkest to the brightest
        voxel of each. ``"percentiles"``: the same percentiles of each.
    percentiles : tuple of float
        The last one's.
    """
    for picture in pictures:
        source = picture.source
        if source.rgb:
            continue
        limits = tuple(source.contrast_limits)
        if kind != "own":
            values = _sample(viewer, source)
            shares = percentiles if kind == "percentiles" else (0, 100)
            low, high = (float(value) for value in np.percentile(values, shares))
            limits = (low, high) if low < high else limits
        _set(picture.layer, limits)


def _set(layer: Image, limits: tuple[float, float]) -> None:
    low, high = layer.contrast_limits_range
    layer.contrast_limits_range = min(low, limits[0]), max(high, limits[1])
    layer.contrast_limits = limits


def _sample(viewer: ViewerModel, layer: Image) -> npt.NDArray[Any]:
    """Take some voxels of what is looked at; of lazy data one plane, of a pyramid its top."""
    if layer.multiscale:
        voxels = layer.data[-1]
    else:
        part = current_volume(viewer, layer, "layer")
        voxels = part.voxels[part.box]
    while voxels.ndim > 2 and not isinstance(voxels, np.ndarray):
        voxels = voxels[voxels.shape[0] // 2]
    flat = np.ravel(np.asarray(voxels))
    flat = flat[:: flat.size // _SAMPLES | 1]
    finite = flat[np.isfinite(flat)]
    return finite if finite.size else np.zeros(1)
