"""Between napari layers and arrays: voxel size, transforms, provenance."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import dask.array as da
import numpy as np
import numpy.typing as npt
import pint

from napari_deconv.files import provenance_of
from napari_deconv.widgets.common.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


__all__ = [
    "KEY",
    "LETTERS",
    "SUM",
    "checksum",
    "is_edited",
    "is_of_ours",
    "is_unstated",
    "known",
    "letters",
    "made_here",
    "micrometres",
    "note_made",
    "origin",
    "placement",
    "provenance",
    "recipe_of",
    "role",
    "space_axes",
    "spacing",
    "spacing_is_certain",
    "stated_spacing",
    "still_true",
    "take_away",
    "take_for",
]

KEY = "napari-deconv"
"""Where a layer's provenance lies in its metadata."""

SUM = "checksum"
"""Where the checksum of what a layer holds lies in its provenance; no file has it."""

LETTERS = {
    "t": "T", "time": "T", "c": "C", "ch": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X",
}  # fmt: skip
"""The axis that a label stands for, in lower case."""

# What stays true of data that were changed: no recipe makes them.
_OF_EDITED = ("role", "source", "optics")

# What is known of the files that layers are from.
_of_files: WeakKeyDictionary[Layer, Mapping[str, Any]] = WeakKeyDictionary()
_FILES = (".tif", ".tiff", ".zarr")

# Voxels that are all looked at to notice a change; of more, so many.
_ALL, _SOME = 2**22, 2**18

# µm between voxels: finer ones resolve atoms, coarser ones nothing that a microscope blurs. A unit
# that was mistaken is out by 1000.
_FINEST, _COARSEST = 0.001, 50.0


def known(layer: Layer) -> Mapping[str, Any]:
    """Read where a layer comes from: what its file says, which readers pass over, and its metadata.

    Where they differ the metadata counts.
    """
    noted: Mapping[str, Any] = layer.metadata.get(KEY, {})
    written = {name: value for name, value in noted.items() if name != SUM}
    path = layer.source.path
    if path is None or not str(path).lower().endswith(_FILES):
        return written
    if layer not in _of_files:
        _of_files[layer] = provenance_of(path)
    return {**_of_files[layer], **written}


def recipe_of(layer: Layer) -> Mapping[str, Any]:
    """Read how to make what a layer holds; if that was changed since, what stays true of it."""
    return still_true(known(layer), layer.data, layer.metadata.get(KEY, {}))


def made_here(layer: Layer) -> bool:
    """Tell whether a layer's data were made by this plugin, so that nothing has to be repaired."""
    return is_of_ours(known(layer))


def is_of_ours(written: Mapping[str, Any]) -> bool:
    """Tell whether what is written of data says that this plugin made them."""
    return not {"operation", "measured", "sample"}.isdisjoint(written)


def letters(layer: Layer) -> str:
    """Name each axis of a layer: T, C, Z, Y or X, as its label, unit or file says; else "?"."""
    written = known(layer).get("axes", "")
    if len(written) > layer.ndim:  # a reader has split it into channels
        written = written.replace("C", "")
    if len(written) != layer.ndim:
        written = "?" * layer.ndim
    seconds = ["T" if unit.is_compatible_with("second") else None for unit in layer.units]
    said = zip(layer.axis_labels, seconds, written, strict=True)
    return "".join(LETTERS.get(label.lower()) or time or letter for label, time, letter in said)


def space_axes(layer: Layer) -> int:
    """Count the trailing axes of a layer that are space: (y, x) or (z, y, x).

    A third axis is z unless its label, its unit or the file says time or channel.
    """
    return 2 if layer.ndim < 3 or letters(layer)[-3] in "TC" else 3


def spacing(layer: Layer) -> tuple[float, ...] | None:
    """Read the voxel size of a layer, (z, y, x) or (y, x) in µm; None where it has none.

    A scale of 1 in all axes is no voxel size, as napari sets it where nothing is known, nor is one
    that no microscope has; unless the layer was made here, or, of 1, its file says so too.
    """
    steps = stated_spacing(layer)
    if steps is None or made_here(layer):
        return steps
    if is_unstated(layer):
        return None
    return steps if all(_FINEST <= step <= _COARSEST for step in steps) else None


def is_unstated(layer: Layer) -> bool:
    """Tell whether a layer has the scale 1 that napari gives, and its file says nothing else."""
    return "spacing" not in known(layer) and bool(np.all(layer.scale[-space_axes(layer) :] == 1))


def stated_spacing(layer: Layer) -> tuple[float, ...] | None:
    """Read what a layer says to be its voxel size, (z, y, x) or (y, x) in µm, credible or not.

    A layer in pixels has a voxel size only if its metadata or its file say so (see `known`), or if
    its scale is not 1: many readers set no unit (see `spacing_is_certain`). It is then taken to be
    in the unit that the user prefers. What was typed for the source of a result is in its metadata.
    """
    axes = slice(layer.ndim - space_axes(layer), None)
    scale = np.abs(layer.scale[axes])
    certain = spacing_is_certain(layer)
    written = (layer.metadata.get(KEY, {}) if certain else known(layer)).get("spacing")
    if written is not None and len(written) >= len(scale):
        return tuple(written[-len(scale) :])
    if certain:
        return tuple((scale * micrometres(layer.units[axes])).tolist())
    scale = scale * micrometres([pint.Unit(preferences().unit)])
    return None if np.all(layer.scale[axes] == 1) else tuple(scale.tolist())


def spacing_is_certain(layer: Layer) -> bool:
    """Tell whether the space axes of a layer carry a unit of length."""
    return all(unit.is_compatible_with("micrometer") for unit in layer.units[-space_axes(layer) :])


def placement(layer: Layer) -> dict[str, Any]:
    """Collect what makes another layer lie exactly on this one."""
    return {
        "scale": layer.scale,
        "units": layer.units,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "axis_labels": _labels(layer),
    }


def _labels(layer: Layer) -> tuple[str, ...]:
    """Take the labels of a layer; where napari has numbered the axes, what its file says."""
    said = zip(layer.axis_labels, letters(layer), strict=True)
    return tuple(label if letter == "?" or label.lower() in LETTERS else letter.lower()
                 for label, letter in said)  # fmt: skip


def micrometres(units: Sequence[pint.Unit]) -> npt.NDArray[np.float64]:
    """Give the length of each unit in µm; 1 for what is no length, as napari draws it."""
    lengths = [unit if unit.is_compatible_with("micrometer") else "micrometer" for unit in units]
    registry = pint.get_application_registry()
    return np.array([registry.Quantity(1, unit).to("micrometer").magnitude for unit in lengths])


def checksum(data: Any) -> int | None:
    """Make a number that tells, quickly, whether data are others by now; None of what nobody knows.

    Of more than four million voxels it looks at some, evenly spaced, and of Dask's arrays at what
    they are made of; of several resolutions it is that of the full one.
    """
    if isinstance(data, da.Array):
        return zlib.crc32(data.name.encode())
    if isinstance(data, np.ndarray):
        some = data if data.size <= _ALL else data.flat[:: data.size // _SOME | 1]
        return zlib.crc32(np.ascontiguousarray(some).data)
    return checksum(data[0]) if isinstance(data, Sequence) and len(data) else None


def origin(layer: Layer) -> dict[str, Any]:
    """Tell how the data of a layer can be had again: see `napari_deconv.provenance`.

    Data that have been changed since nothing can make again, nor labels: they may be painted on.
    """
    written = layer.metadata.get(KEY, {})
    if written.get("role") == "labels" or is_edited(layer.data, written):
        return {"layer": layer.name}
    if "sample" in written:
        return {"sample": written["sample"], "part": written["part"]}
    if "operation" in written:
        return {name: value for name, value in written.items() if name != SUM}
    path = layer.source.path
    return {"layer": layer.name} if path is None else {"path": str(path)}


def note_made(layer: Layer) -> None:
    """Take note that what a layer holds now is what its record says, if it has one."""
    written = layer.metadata.get(KEY, {})
    if is_of_ours(written):
        layer.metadata[KEY] = {**written, SUM: checksum(layer.data)}


def is_edited(data: Any, written: Mapping[str, Any]) -> bool:
    """Tell whether data are others than what is written of them would make."""
    if not is_of_ours(written):
        return False
    return written.get(SUM) is None or bool(written[SUM] != checksum(data))


def still_true(said: Mapping[str, Any], data: Any, written: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out of what is said of data how they were made, if they `is_edited` since."""
    if not is_edited(data, written):
        return said
    return {name: said[name] for name in _OF_EDITED if name in said}


def provenance(
    record: Mapping[str, Any], kind: str, source: Layer | None = None, **more: Any
) -> dict[str, Any]:
    """Write down where a layer came from, as its metadata.

    Parameters
    ----------
    record : mapping
        What was done.
    kind : str
        The layer's role (see `role`).
    source : Layer, optional
        The layer that it was done to.
    **more
        Other things to be remembered.
    """
    origin = {} if source is None else {"source": source.name}
    return {KEY: {**record, **more, **origin, "role": kind}}


def role(layer: Layer) -> str:
    """Tell what a layer is for.

    "image", "psf", "true psf", "found psf", "beads", "labels", "truth" or "result"; "aside" for
    what is shown for a while only. Layers made here say it themselves; of others, those with "PSF"
    in their name are PSFs, unless `take_for` says otherwise.
    """
    written: str | None = known(layer).get("role")
    return written or ("psf" if re.search("psf", layer.name, re.IGNORECASE) else "image")


def take_for(kind: str, layer: Layer) -> None:
    """Remember the role of a layer, whatever its name and its file say."""
    layer.metadata[KEY] = {**layer.metadata.get(KEY, {}), "role": kind}


def take_away(viewer: ViewerModel, layers: Sequence[Layer]) -> None:
    """Remove those layers that are still there, all at once.

    napari collects garbage when layers are removed, which takes some tenths of a second: for one
    after the other, as often.
    """
    there = [layer for layer in layers if layer in viewer.layers]
    if there:
        with viewer.layers.batched_update():
            for layer in there:
                viewer.layers.remove(layer)
