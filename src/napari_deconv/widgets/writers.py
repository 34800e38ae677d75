"""Saving layers as OME-TIFF and OME-Zarr with voxel size, axes, names and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pint

from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, write_image
from napari_deconv.widgets.layers import KEY, micrometres, spacing
from napari_deconv.widgets.parts import Part

__all__ = ["as_file_image", "image_of", "write_layer", "write_layers"]

_LETTERS = {
    "t": "T", "time": "T", "c": "C", "ch": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X",
}  # fmt: skip
_WITHOUT_LABELS = "TCZYX"


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
    _write(path, image_of(data, meta))
    return [path]


def write_layers(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Write several image layers as the channels of one image.

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
    )
    _write(path, together)
    return [path]


def image_of(data: Any, meta: Mapping[str, Any]) -> Image:
    """Take the data and the state of a layer as an image.

    Parameters
    ----------
    data : array_like or list of array_like
        The layer's data; of several resolutions the full one is taken.
    meta : mapping
        The layer's state, as in ``layer.as_layer_data_tuple()[1]``.

    Returns
    -------
    Image
        Its voxel size is that of the layer, as in `napari_deconv.widgets.layers.spacing`. Rotations
        and shears have no place in a file, and are left out.

    Raises
    ------
    DeconvError
        If it is an RGB picture.
    """
    if meta.get("rgb"):
        raise DeconvError(f"“{meta.get('name')}” is an RGB picture: split it into channels first.")
    array = np.asarray(data[0] if meta.get("multiscale") else data)
    axes = _axes(array.ndim, meta)
    known = dict(meta.get("metadata", {}).get(KEY, {}))
    return Image(
        array,
        _spacing(meta, 3 if "Z" in axes else 2, known.pop("spacing", None)),
        axes,
        known,
        time_interval=_time_interval(meta, axes),
        name=str(meta.get("name", "")),
    )


def as_file_image(part: Part) -> Image:
    """Take a part of a layer as an image."""
    meta = part.layer.as_layer_data_tuple()[1] | part.placement() | {"multiscale": False}
    voxel = spacing(part.layer)
    if voxel is not None:
        voxel = tuple((np.array(voxel) * part.factors[-len(voxel) :]).tolist())
    return replace(image_of(np.asarray(part), meta), spacing=voxel)


def _write(path: str, image: Image) -> None:
    write_image(
        path, image.data, image.spacing, image.metadata, axes=image.axes, channels=image.channels,
        time_interval=image.time_interval, name=image.name,
    )  # fmt: skip


def _axes(ndim: int, meta: Mapping[str, Any]) -> str:
    """Name the axes as the labels do, or a third one as time or z as its unit does."""
    labels = [str(label).lower() for label in meta.get("axis_labels") or ()]
    named = "".join(_LETTERS.get(label, "") for label in labels)
    if len(named) == ndim == len(set(named)) and named.endswith("YX"):
        return named
    units = _units(meta)
    if ndim == 3 and len(units) == 3 and units[0].is_compatible_with("second"):
        return "TYX"
    if ndim > len(_WITHOUT_LABELS):
        raise DeconvError(f"A layer of {ndim} axes cannot be saved: expected up to 5.")
    return {4: "CZYX"}.get(ndim, _WITHOUT_LABELS[-ndim:])


def _units(meta: Mapping[str, Any]) -> list[pint.Unit]:
    registry = pint.get_application_registry()
    return [registry.Unit(str(unit)) for unit in meta.get("units") or ()]


def _spacing(
    meta: Mapping[str, Any], space: int, written: Sequence[float] | None
) -> tuple[float, ...] | None:
    """Give the voxel size in µm: of a layer in pixels the written one, else its scale."""
    units, scale = _units(meta)[-space:], np.abs(meta.get("scale", ()))[-space:]
    if len(scale) < space:
        return None
    if len(units) == space and all(unit.is_compatible_with("micrometer") for unit in units):
        return tuple((scale * micrometres(units)).tolist())
    if written is not None:
        return tuple(written)
    return None if np.all(scale == 1) else tuple(scale.tolist())


def _time_interval(meta: Mapping[str, Any], axes: str) -> float | None:
    if "T" not in axes or len(_units(meta)) != len(axes):
        return None
    unit = _units(meta)[axes.index("T")]
    if not unit.is_compatible_with("second"):
        return None
    step = meta["scale"][axes.index("T")]
    return float(pint.get_application_registry().Quantity(step, unit).to("second").magnitude)
