"""Saving layers as OME-TIFF and OME-Zarr with voxel size, axes, names and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, save_image
from napari_deconv.widgets.common.images import image_of

__all__ = ["write_layer", "write_layers"]


def write_layer(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write an image layer; the ending of `path` says in which format.

    Parameters
    ----------
    path : str
        Ends in ``.tif``, ``.tiff`` or ``.zarr``; ``.ome.tif`` and ``.ome.zarr`` do.
    data : array_like or list of array_like
        The layer's data; of several resolutions the full one is written.
    meta : mapping
        The layer's state.

    Returns
    -------
    list of str
        What was written.
    """
    save_image(path, image_of(data, meta))
    return [path]


def write_layers(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Write several image layers as the channels of one image, with the colours of the layers.

    Parameters
    ----------
    path : str
        As for `write_layer`.
    layers : sequence of tuple
        Data, state and type of each layer.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    DeconvError
        If their shapes or voxel sizes differ, or they have channels already.
    """
    images = [image_of(data, meta) for data, meta, _ in layers]
    first = images[0]
    for image in images:
        same = (image.data.shape, image.axes, image.spacing)
        if same != (first.data.shape, first.axes, first.spacing) or "C" in image.axes:
            raise DeconvError(
                f"“{image.name}” and “{first.name}” cannot be the channels of one file: they "
                "differ in shape or voxel size, or have channels already. Save them one by one."
            )
    place = len(first.axes) - len(first.space)
    together = Image(
        np.stack([image.data for image in images], place),
        first.spacing,
        first.axes[:place] + "C" + first.axes[place:],
        {"layers": {image.name: image.metadata for image in images}},
        tuple(image.name for image in images),
        first.time_interval,
        name=Path(path).name.split(".")[0],
        colours=tuple(_colour(meta) for _, meta, _ in layers),
    )
    save_image(path, together)
    return [path]


def _colour(meta: Mapping[str, Any]) -> str:
    """Give the colour of a layer's brightest voxels, RRGGBB."""
    rgb = np.asarray(meta["colormap"]["colors"])[-1, :3]
    return np.rint(255 * rgb).astype(np.uint8).tobytes().hex().upper()
