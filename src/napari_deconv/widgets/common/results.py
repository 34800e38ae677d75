"""Results as layers: where they lie, and how they look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_deconv.widgets.common.layers import (
    KEY,
    micrometres,
    provenance,
    space_axes,
    spacing,
    spacing_is_certain,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.psf.psf import Psf
    from napari_deconv.widgets.common.parts import Part

__all__ = [
    "Limits",
    "around",
    "aside",
    "centred",
    "contrast",
    "contrasted",
    "field_of_view",
    "in_sight",
    "make_result",
    "on_source",
    "psf_options",
    "set_contrast",
]

Limits = tuple[float, float, float]
"""What is black and what is white in a layer, and its brightest voxel."""

_SAMPLES = 100_000  # voxels that contrast is set by


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
    axes, written = space_axes(part.layer), metadata.get(KEY, {})
    voxel = written.get("parameters", {}).get("spacing") or ()
    if len(voxel) != axes:
        known_size = spacing(part.layer)
        if known_size is None:
            return dict(metadata)
        voxel = (np.array(known_size) * part.factors[-axes:]).tolist()
    steps = part.placement()["scale"][-axes:] * micrometres(part.layer.units[-axes:])
    if spacing_is_certain(part.layer) and np.allclose(np.abs(steps), voxel):
        return dict(metadata)
    return {**metadata, KEY: {**written, "spacing": list(voxel)}}


def aside(
    part: Part, data: npt.NDArray[np.float32], what: str, darkest: float
) -> tuple[npt.NDArray[np.float32], dict[str, Any], str]:
    """Make what is shown of a part for a while: data, options and type of a layer."""
    options = on_source(part, what, provenance({}, "aside")) | {"name": f"Preview · {what}"}
    low, high, _ = contrast(data, darkest)
    options["contrast_limits"] = low, high
    return data, options, "image"


def make_result(levels: Sequence[Any], options: Mapping[str, Any], limits: Limits) -> Image:
    """Make an image layer, of which nothing is read but to draw it.

    Parameters
    ----------
    levels : sequence of array_like
        One, or several resolutions, the full one first.
    options : mapping
        Of the layer.
    limits : tuple of float
        What `contrast` says of it, or of a part.
    """
    low, high, _ = limits
    several = len(levels) > 1
    layer = Image(
        levels if several else levels[0], multiscale=several, contrast_limits=(low, high), **options
    )
    layer.contrast_limits_range = _range(limits)
    return layer


def set_contrast(layer: Image, limits: Limits) -> None:
    """Show a layer as `contrast` says."""
    low, high, _ = limits
    layer.contrast_limits_range = _range(limits)
    layer.contrast_limits = low, high


def contrast(data: npt.NDArray[Any], darkest: float) -> Limits:
    """Find what is black and what is white, and the brightest voxel, in some milliseconds.

    A result is shown from `darkest`, a percentile, to the 99.9th or a fifth of the brightest voxel:
    a few voxels outshine the rest, and in a sparse image they are what there is to see. White is
    above black, also where all is the same.
    """
    values = data.flat[:: data.size // _SAMPLES | 1]  # an odd step keeps to no column
    low, high = map(float, np.percentile(values, (darkest, 99.9)))
    brightest = float(np.max(data))
    high = max(high, brightest / 5)
    return low, high if high > low else low + (abs(low) or 1.0), brightest


def contrasted(estimate: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Limits]:
    """Give an estimate with the contrast that it is shown with."""
    return estimate, contrast(estimate, 0)


def _range(limits: Limits) -> tuple[float, float]:
    """Give how far the slider of the contrast goes."""
    low, high, brightest = limits
    return min(low, 0.0), max(high, brightest)


def field_of_view(viewer: ViewerModel) -> npt.NDArray[np.float64]:
    """Find the part of the world that the canvas shows.

    Returns
    -------
    ndarray
        (2, n) for at least three axes, its lowest and highest corner in µm: a plane, unless the
        view is 3-D.
    """
    camera, shown = viewer.scene.camera, list(viewer.dims.displayed)
    middle, half = np.array(viewer.dims.point, dtype=float), np.zeros(viewer.dims.ndim)
    middle[shown] = camera.center[-len(shown) :]
    half[shown] = np.max(viewer.canvas.size) / camera.zoom / 2
    half[shown[-2:]] = np.array(viewer.canvas.size) / camera.zoom / 2
    field = np.array([middle - half, middle + half])
    if viewer.layers.units is not None:  # what the camera counts in
        field *= micrometres(viewer.layers.units)
    return np.pad(field, ((0, 0), (max(3 - viewer.dims.ndim, 0), 0)))


def in_sight(viewer: ViewerModel, layer: Layer) -> bool:
    """Tell whether all of a layer lies in the part of the world that the canvas shows."""
    if viewer.dims.ndisplay == 3:
        return False
    shown = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    units = micrometres([layer.units[axis] for axis in shown])
    low, high = layer.extent.world[:, shown] * units
    first, last = field_of_view(viewer)[:, shown]
    return bool(np.all(low >= first) and np.all(high <= last))


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
    return around(middle, shape, step)


def around(
    middle: npt.NDArray[np.float64], shape: Sequence[int], step: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Find where an image lies if its middle voxel is to be at a point, of as many last axes."""
    return np.array(middle[-len(shape) :] - np.array(shape) // 2 * np.array(step))


def _right_of(source: Layer, psf: Psf, step: Sequence[float]) -> npt.NDArray[np.float64]:
    axes = slice(-min(psf.ndim, source.ndim), None)
    extent = source.extent.world[:, axes] * micrometres(source.units[axes])
    corner = np.broadcast_to(centred(extent, psf.shape, step), psf.ndim).copy()
    corner[-1] = extent[1, -1] + 5 * step[-1]
    return corner
