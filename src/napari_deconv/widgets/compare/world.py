"""Between the viewer's world and the voxels of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from napari_deconv.widgets.common.layers import micrometres, space_axes
from napari_deconv.widgets.common.parts import Part, whole

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

__all__ = [
    "current_volume",
    "extent",
    "full_shape",
    "length",
    "place",
    "sample_line",
    "to_data",
    "to_layer",
    "volume",
]

Floats = npt.NDArray[np.float64]

_MOST = 2000  # samples of a line


def full_shape(layer: Image) -> tuple[int, ...]:
    """Give the shape of a layer at full resolution, without the colours of RGB."""
    level = layer.data[0] if layer.multiscale else layer.data
    return tuple(level.shape[: layer.ndim])


def to_layer(viewer: ViewerModel, layer: Layer) -> Floats:
    """Say how many of the layer's units a unit of the viewer's world is, for each layer axis."""
    if viewer.layers.units is None:
        return np.ones(layer.ndim)
    return micrometres(viewer.layers.units[-layer.ndim :]) / micrometres(layer.units)


def to_data(viewer: ViewerModel, layer: Layer, point: Sequence[float]) -> Floats:
    """Find where in the voxels of a layer a point of the viewer's world is."""
    return np.array(layer.world_to_data(np.array(point)[-layer.ndim :] * to_layer(viewer, layer)))


def extent(viewer: ViewerModel, layer: Image) -> Floats:
    """Find the box (2, n) around a layer in the viewer's world, voxels' borders included."""
    borders = [(-0.5, size - 0.5) for size in full_shape(layer)]
    corners = np.array([layer.data_to_world(corner) for corner in product(*borders)])
    corners = corners / to_layer(viewer, layer)
    return np.stack([corners.min(0), corners.max(0)])


def length(viewer: ViewerModel, start: Floats, end: Floats) -> tuple[float, str]:
    """Measure the way between two points of the world, in µm, or in pixels without units."""
    units = viewer.layers.units
    if units is None or not units[-1].is_compatible_with("micrometer"):
        return float(np.linalg.norm(end - start)), "pixels"
    return float(np.linalg.norm((end - start) * micrometres(units))), "µm"


def sample_line(
    viewer: ViewerModel, layers: Sequence[Image], start: Floats, end: Floats
) -> tuple[Floats, list[Floats]]:
    """Interpolate layers linearly along a line of the world.

    Parameters
    ----------
    viewer : ViewerModel
        Whose world it is.
    layers : sequence of Image
        Grey images; lazy ones are read around the line only.
    start, end : ndarray
        Ends of the line.

    Returns
    -------
    place : ndarray
        0 to 1 along the line, two samples a voxel.
    values : list of ndarray
        Of each layer; NaN outside it.
    """
    ends = [(to_data(viewer, layer, start), to_data(viewer, layer, end)) for layer in layers]
    steps = max(float(np.abs(stop - first).max()) for first, stop in ends)
    place = np.linspace(0, 1, int(np.clip(np.ceil(2 * steps), 2, _MOST)))
    values = []
    for layer, (first, stop) in zip(layers, ends, strict=True):
        values.append(_interpolate(layer, first[:, None] + np.outer(stop - first, place)))
    return place, values


def _interpolate(layer: Image, points: Floats) -> Floats:
    voxels = layer.data[0] if layer.multiscale else layer.data
    sizes = np.array(voxels.shape)[:, None]
    inside = np.all((points >= -0.5) & (points <= sizes - 0.5), axis=0)
    values = np.full(points.shape[1], np.nan)
    if inside.any():
        within = np.clip(points[:, inside], 0, sizes - 1)
        low = np.floor(within.min(1)).astype(int)
        high = np.ceil(within.max(1)).astype(int) + 1
        box = tuple(slice(first, last) for first, last in zip(low, high, strict=True))
        part = np.asarray(voxels[box], dtype=np.float64)
        values[inside] = scipy.ndimage.map_coordinates(part, within - low[:, None], order=1)
    return values


def place(viewer: ViewerModel, layer: Image) -> tuple[int, ...]:
    """Say where in a series the sliders stand: the voxel along each axis that is not space."""
    others = layer.ndim - space_axes(layer)
    here = np.rint(to_data(viewer, layer, viewer.dims.point)[:others])
    return tuple(np.clip(here, 0, np.array(full_shape(layer)[:others]) - 1).astype(int).tolist())


def current_volume(viewer: ViewerModel, layer: Image | None, purpose: str, level: int = 0) -> Part:
    """Take the volume, or plane, of a series that is shown now.

    Parameters
    ----------
    viewer : ViewerModel
        Whose sliders say which one.
    layer : Image or None
        The series.
    purpose : str
        What it is for, in the message when there is none.
    level : int
        Of a multiscale layer, 0 for the full resolution.

    Raises
    ------
    DeconvError
        If no layer is chosen, or if it is RGB.
    """
    part = whole(layer, purpose, level)
    here = place(viewer, part.layer)
    coarse = (int(one // factor) for one, factor in zip(here, part.factors, strict=False))
    box = *(slice(one, one + 1) for one in coarse), *part.box[len(here) :]
    return replace(part, box=box)


def volume(part: Part) -> npt.NDArray[Any]:
    """Read what `current_volume` took: (z, y, x) or (y, x)."""
    voxels = np.asarray(part)
    return voxels.reshape(voxels.shape[-space_axes(part.layer) :])
