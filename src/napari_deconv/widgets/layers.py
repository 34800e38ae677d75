"""Between napari layers and arrays: voxel size, transforms, provenance."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pint
from napari.layers import Image

from napari_deconv.files import provenance_of
from napari_deconv.widgets.preferences import preferences

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.psf.psf import Psf
    from napari_deconv.widgets.parts import Part

__all__ = [
    "KEY",
    "add_result",
    "aside",
    "centred",
    "checksum",
    "in_sight",
    "known",
    "letters",
    "made_here",
    "micrometres",
    "on_source",
    "origin",
    "placement",
    "provenance",
    "psf_options",
    "role",
    "set_contrast",
    "space_axes",
    "spacing",
    "spacing_is_certain",
]

_SAMPLES = 100_000  # voxels that contrast is set by

KEY = "napari-deconv"
"""Where a layer's provenance lies in its metadata."""

_LETTERS = {
    "t": "T", "time": "T", "c": "C", "ch": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X",
}  # fmt: skip


# What is known of the files that layers are from.
_of_files: WeakKeyDictionary[Layer, Mapping[str, Any]] = WeakKeyDictionary()
_FILES = (".tif", ".tiff", ".zarr")


def known(layer: Layer) -> Mapping[str, Any]:
    """Read where a layer comes from: from its metadata, or the file, which readers pass over."""
    if KEY in layer.metadata:
        written: Mapping[str, Any] = layer.metadata[KEY]
        return written
    path = layer.source.path
    if path is None or not str(path).lower().endswith(_FILES):
        return {}
    if layer not in _of_files:
        _of_files[layer] = provenance_of(path)
    return _of_files[layer]


def made_here(layer: Layer) -> bool:
    """Tell whether a layer's data were made by this plugin, so that nothing has to be repaired."""
    return not {"operation", "sample"}.isdisjoint(known(layer))


def letters(layer: Layer) -> str:
    """Name each axis of a layer: T, C, Z, Y or X, as its label, unit or file says; else "?"."""
    written = known(layer).get("axes", "")
    if len(written) > layer.ndim:  # a reader has split it into channels
        written = written.replace("C", "")
    if len(written) != layer.ndim:
        written = "?" * layer.ndim
    seconds = ["T" if unit.is_compatible_with("second") else None for unit in layer.units]
    said = zip(layer.axis_labels, seconds, written, strict=True)
    return "".join(_LETTERS.get(label.lower()) or time or letter for label, time, letter in said)


def space_axes(layer: Layer) -> int:
    """Count the trailing axes of a layer that are space: (y, x) or (z, y, x).

    A third axis is z unless its label, its unit or the file says time or channel.
    """
    return 2 if layer.ndim < 3 or letters(layer)[-3] in "TC" else 3


def spacing(layer: Layer) -> tuple[float, ...] | None:
    """Read the voxel size of a layer, (z, y, x) or (y, x) in µm; None where it has none.

    A layer in pixels has a voxel size only if its metadata or its file say so (see `known`), or if
    its scale is not 1: many readers set no unit (see `spacing_is_certain`). It is then taken to be
    in the unit that the user prefers.
    """
    axes = slice(layer.ndim - space_axes(layer), None)
    scale = np.abs(layer.scale[axes])
    if spacing_is_certain(layer):
        return tuple((scale * micrometres(layer.units[axes])).tolist())
    written = known(layer).get("spacing")
    if written is not None and len(written) >= len(scale):
        return tuple(written[-len(scale) :])
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
    return tuple(label if letter == "?" or label.lower() in _LETTERS else letter.lower()
                 for label, letter in said)  # fmt: skip


def on_source(part: Part, operation: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the options of an image layer that results from `part` and lies exactly on it.

    Parameters
    ----------
    part : Part
        The source.
    operation : str
        Short name, for the layer's name: ``cells · RL 40``.
    metadata : mapping
        Of the layer.
    """
    return {
        "name": f"{part.name} · {operation}",
        "colormap": part.layer.colormap,
        "gamma": part.layer.gamma,
        "blending": part.layer.blending,
        "rgb": False,
        "metadata": _with_voxel_size(part, metadata),
        **part.placement(),
    }


def _with_voxel_size(part: Part, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Add the voxel size where the layer's scale does not say it: what was used, or is known."""
    if spacing_is_certain(part.layer):
        return dict(metadata)
    axes, written = space_axes(part.layer), metadata.get(KEY, {})
    voxel = written.get("parameters", {}).get("spacing") or ()
    if len(voxel) != axes:
        known_size = spacing(part.layer)
        if known_size is None:
            return dict(metadata)
        voxel = (np.array(known_size) * part.factors[-axes:]).tolist()
    return {**metadata, KEY: {**written, "spacing": list(voxel)}}


def aside(
    part: Part, data: npt.NDArray[np.float32], what: str, darkest: float
) -> tuple[npt.NDArray[np.float32], dict[str, Any], str]:
    """Make what is shown of a part for a while: data, options and type of a layer."""
    options = on_source(part, what, provenance({}, "aside")) | {"name": f"Preview · {what}"}
    low, high, _ = _contrast(data, darkest)
    if low < high:
        options["contrast_limits"] = low, high
    return data, options, "image"


def add_result(
    viewer: ViewerModel, data: npt.NDArray[Any], options: Mapping[str, Any], darkest: float
) -> Image:
    """Add an image layer, its contrast set as by `set_contrast` before napari draws it."""
    layer = Image(data, **options)
    set_contrast(layer, darkest)
    viewer.add_layer(layer)
    return layer


def set_contrast(layer: Image, darkest: float) -> None:
    """Show a result from `darkest`, a percentile, to the 99.9th or a fifth of the brightest voxel.

    A few voxels outshine the rest; in a sparse image they are what there is to see.
    """
    low, high, brightest = _contrast(layer.data, darkest)
    if low < high:
        darkest_shown, _ = layer.contrast_limits_range
        layer.contrast_limits_range = min(low, darkest_shown), max(high, brightest)
        layer.contrast_limits = low, high


def _contrast(data: npt.NDArray[Any], darkest: float) -> tuple[float, float, float]:
    """Find what is black and what is white, and the brightest voxel, in some milliseconds."""
    values = data.flat[:: data.size // _SAMPLES | 1]  # an odd step keeps to no column
    low, high = np.percentile(values, (darkest, 99.9))
    brightest = float(np.max(data))
    return float(low), float(max(high, brightest / 5)), brightest


def in_sight(viewer: ViewerModel, layer: Layer) -> bool:
    """Tell whether all of a layer lies in the part of the world that the canvas shows."""
    if viewer.dims.ndisplay == 3:
        return False
    camera, shown = viewer.scene.camera, list(viewer.dims.displayed)
    half = np.array(viewer.canvas.size) / camera.zoom / 2
    offset = layer.ndim - viewer.dims.ndim
    low, high = layer.extent.world[:, [axis + offset for axis in shown]] * micrometres(
        [layer.units[axis + offset] for axis in shown]
    )
    if viewer.layers.units is not None:  # what the camera counts in
        world = micrometres([viewer.layers.units[axis] for axis in shown])
        low, high = low / world, high / world
    centre = np.array(camera.center[-2:])
    return bool(np.all(low >= centre - half) and np.all(high <= centre + half))


def psf_options(
    psf: Psf, name: str, metadata: Mapping[str, Any], source: Layer | None = None
) -> dict[str, Any]:
    """Collect the options of a layer that shows a PSF, beside `source` where there is one.

    Beside a source in pixels it is drawn in those, to be seen at the same size; its voxel size is
    then in the metadata only, where `spacing` finds it.
    """
    scale, units, metadata = psf.spacing, ("µm",) * psf.ndim, dict(metadata)
    if source is not None and source.ndim >= psf.ndim and not spacing_is_certain(source):
        scale, units = source.scale[-psf.ndim :], source.units[-psf.ndim :]
        metadata[KEY] = {**metadata.get(KEY, {}), "spacing": list(psf.spacing)}
    return {
        "name": name,
        "scale": scale,
        "translate": (0.0,) * psf.ndim if source is None else _right_of(source, psf, scale),
        "units": units,
        "axis_labels": ("z", "y", "x")[-psf.ndim :],
        "colormap": "magma",
        "gamma": 0.5,
        "blending": "translucent_no_depth",  # additive is unseen on the white of the light theme
        "rgb": False,
        "metadata": metadata,
    }


def centred(
    extent: npt.NDArray[np.float64], shape: Sequence[int], step: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Find where a PSF lies if its centre is to be the middle voxel of an image.

    Parameters
    ----------
    extent : ndarray
        (2, n), the centres of the image's first and last voxels.
    shape : sequence of int
        The PSF's.
    step : sequence of float
        Distance between the PSF's voxels, in the unit of `extent`.
    """
    low, high = extent
    middle = low + np.round((high - low) / step / 2 + 1e-6) * step
    return np.array(middle - np.array(shape) // 2 * np.array(step))


def micrometres(units: Sequence[pint.Unit]) -> npt.NDArray[np.float64]:
    """Give the length of each unit in µm; 1 for what is no length, as napari draws it."""
    lengths = [unit if unit.is_compatible_with("micrometer") else "micrometer" for unit in units]
    registry = pint.get_application_registry()
    return np.array([registry.Quantity(1, unit).to("micrometer").magnitude for unit in lengths])


def _right_of(source: Layer, psf: Psf, step: Sequence[float]) -> npt.NDArray[np.float64]:
    axes = slice(-min(psf.ndim, source.ndim), None)
    extent = source.extent.world[:, axes] * micrometres(source.units[axes])
    corner = np.broadcast_to(centred(extent, psf.shape, step), psf.ndim).copy()
    corner[-1] = extent[1, -1] + 5 * step[-1]
    return corner


def checksum(data: npt.ArrayLike) -> int:
    """Tell whether data have been changed since."""
    return zlib.crc32(np.ascontiguousarray(data).tobytes())


def origin(layer: Layer) -> dict[str, Any]:
    """Tell how the data of a layer can be had again: see `napari_deconv.recipe.provenance`.

    Points that have been edited by hand nothing can make again.
    """
    written = layer.metadata.get(KEY, {})
    if "checksum" in written and written["checksum"] != checksum(layer.data):
        return {"layer": layer.name}
    if "sample" in written:
        return {"sample": written["sample"], "part": written["part"]}
    if "operation" in written:
        return dict(written)
    path = layer.source.path
    return {"layer": layer.name} if path is None else {"path": str(path)}


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

    "image", "psf", "true psf", "beads", "labels", "truth" or "result"; "aside" for what is shown
    for a while only. Layers made here say it themselves; of others, those with "PSF" in their name
    are PSFs.
    """
    written: str | None = known(layer).get("role")
    return written or ("psf" if re.search("psf", layer.name, re.IGNORECASE) else "image")
