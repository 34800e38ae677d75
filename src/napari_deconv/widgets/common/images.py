"""Layers as images of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pint

from napari_deconv.errors import DeconvError
from napari_deconv.files import Image
from napari_deconv.widgets.common.layers import (
    KEY,
    LETTERS,
    SUM,
    is_of_ours,
    micrometres,
    spacing,
    still_true,
)
from napari_deconv.widgets.common.preferences import preferences

if TYPE_CHECKING:
    from napari_deconv.widgets.common.parts import Part

__all__ = ["as_file_image", "as_lazy_image", "image_of"]

_WITHOUT_LABELS = "TCZYX"


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
        Its voxel size is what the layer says, credible or not; a scale of 1, which napari gives
        where nothing is known, says nothing unless the layer was made here. What was changed since
        it was made has no recipe. Rotations and shears have no place in a file, and are left out.

    Raises
    ------
    DeconvError
        If it is an RGB picture.
    """
    if meta.get("rgb"):
        raise DeconvError(f"“{meta.get('name')}” is an RGB picture: split it into channels first.")
    image = _described(np.asarray(data[0] if meta.get("multiscale") else data), meta)
    written = meta.get("metadata", {}).get(KEY, {})
    return replace(image, metadata=dict(still_true(image.metadata, data, written)))


def _described(array: Any, meta: Mapping[str, Any]) -> Image:
    """Add to voxels what the state of their layer says."""
    axes = _axes(array.ndim, meta)
    known = meta.get("metadata", {}).get(KEY, {})
    return Image(
        array,
        _spacing(meta, 3 if "Z" in axes else 2, known),
        axes,
        {name: value for name, value in known.items() if name not in (SUM, "spacing")},
        time_interval=_time_interval(meta, axes),
        name=str(meta.get("name", "")),
    )


def as_file_image(part: Part) -> Image:
    """Take a part of a layer as an image; its voxels are read."""
    return _of_part(part, np.asarray(part))


def as_lazy_image(part: Part) -> Image:
    """Take a part of a layer as an image of which nothing is read yet: its data are Dask's."""
    return _of_part(part, da.asarray(part.voxels)[part.box])


def _of_part(part: Part, voxels: Any) -> Image:
    meta = part.layer.as_layer_data_tuple()[1] | part.placement() | {"multiscale": False}
    voxel = spacing(part.layer)
    if voxel is not None:
        voxel = tuple((np.array(voxel) * part.factors[-len(voxel) :]).tolist())
    return replace(_described(voxels, meta), spacing=voxel)


def _axes(ndim: int, meta: Mapping[str, Any]) -> str:
    """Name the axes as the labels do, or a third one as time or z as its unit does."""
    labels = [str(label).lower() for label in meta.get("axis_labels") or ()]
    named = "".join(LETTERS.get(label, "") for label in labels)
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
    meta: Mapping[str, Any], space: int, known: Mapping[str, Any]
) -> tuple[float, ...] | None:
    """Give the voxel size in µm: the one that is written, else the layer's scale.

    A scale without a unit is in the one that the user prefers.
    """
    written = known.get("spacing")
    units, scale = _units(meta)[-space:], np.abs(meta.get("scale", ()))[-space:]
    if len(scale) < space:
        return None
    if written is not None:
        return tuple(written)
    certain = len(units) == space and all(u.is_compatible_with("micrometer") for u in units)
    if np.all(scale == 1) and not (certain and is_of_ours(known)):
        return None
    units = units if certain else [pint.Unit(preferences().unit)]
    return tuple((scale * micrometres(units)).tolist())


def _time_interval(meta: Mapping[str, Any], axes: str) -> float | None:
    if "T" not in axes or len(_units(meta)) != len(axes):
        return None
    unit = _units(meta)[axes.index("T")]
    if not unit.is_compatible_with("second"):
        return None
    step = meta["scale"][axes.index("T")]
    return float(pint.get_application_registry().Quantity(step, unit).to("second").magnitude)
