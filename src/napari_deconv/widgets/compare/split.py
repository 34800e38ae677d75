"""Two pictures in one, with a divider between them that can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.compare.world import extent, full_shape, to_layer

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

    from napari_deconv.widgets.compare.stage import Picture

__all__ = ["Split"]

Floats = npt.NDArray[np.float64]

_REACH = 8  # canvas pixels: so near to the divider it is taken hold of
_WIDTH = 2  # canvas pixels
_COLOUR = "#e69f00"


class Split:
    """Shows one picture left of a divider and another one right of it.

    The pictures get a part of their source's voxels each, which are not copied.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are shown; the divider is dragged in its canvas.
    left, right : Picture
        The pictures.
    dragged : callable
        Called with the divider's place, 0 to 1 from left to right, while it is dragged.

    Attributes
    ----------
    line : Shapes
        The divider, to be added above the pictures.
    """

    def __init__(
        self, viewer: ViewerModel, left: Picture, right: Picture, dragged: Callable[[float], None]
    ) -> None:
        self._viewer = viewer
        self._sides = (left, right)
        self._dragged = dragged
        self._place = 0.5
        self.line = Shapes(
            ndim=viewer.dims.ndim,
            name="Divider (compare)",
            metadata={KEY: {"role": "aside"}},
            units=viewer.layers.units,
        )

    def open(self) -> None:
        """Follow the viewer."""
        self._viewer.mouse_drag_callbacks.append(self._drag)
        self._viewer.scene.camera.events.zoom.connect(self._draw)
        for emitter in self._turned():
            emitter.connect(self._update)

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.mouse_drag_callbacks.remove(self._drag)
        self._viewer.scene.camera.events.zoom.disconnect(self._draw)
        for emitter in self._turned():
            emitter.disconnect(self._update)

    def join(self) -> None:
        """Let both pictures show the whole again."""
        for picture in self._sides:
            picture.layer.data = picture.source.data
            _set(picture.layer, "translate", picture.source.translate)

    def move(self, place: float) -> None:
        """Put the divider at `place`, 0 to 1 from left to right."""
        self._place = place
        self._update()

    def renew(self, picture: Picture) -> None:
        """Take the voxels of a picture's source anew."""
        picture.layer.data = picture.source.data
        self._update()

    def _turned(self) -> Iterator[Any]:
        yield self._viewer.dims.events.order
        yield self._viewer.dims.events.ndisplay
        yield self._viewer.dims.events.point

    def _box(self) -> Floats:
        """Find what both pictures fill of the world."""
        box = np.full((2, self._viewer.dims.ndim), np.nan)
        for side in self._sides:
            own = extent(self._viewer, side.source)
            axes = slice(box.shape[1] - own.shape[1], None)
            box[0, axes] = np.fmin(box[0, axes], own[0])
            box[1, axes] = np.fmax(box[1, axes], own[1])
        return box

    def _at(self, box: Floats) -> float:
        low, high = box[:, self._viewer.dims.displayed[-1]]
        return float(low + self._place * (high - low))

    def _update(self, event: Any = None) -> None:
        if self._viewer.dims.ndim != self.line.ndim:
            return
        axis, at = self._viewer.dims.displayed[-1], self._at(self._box())
        for side, picture in enumerate(self._sides):
            _crop(self._viewer, picture, axis, at, side)
        self._draw()

    def _draw(self, event: Any = None) -> None:
        """Draw the line, or only move it; in 3-D there is no place for it before everything."""
        dims = self._viewer.dims
        if dims.ndim != self.line.ndim:
            return
        box = self._box()
        _set(self.line, "visible", dims.ndisplay == 2)
        axis, upright = dims.displayed[-1], dims.displayed[-2]
        ends = np.zeros((2, dims.ndim))
        ends[:, upright] = box[:, upright]
        width = _WIDTH / self._viewer.scene.camera.zoom
        if not (len(self.line.data) and np.allclose(self.line.data[0], ends)):
            self.line.data = []
            self.line.add_lines([ends], edge_width=width, edge_color=_COLOUR)
        if self.line.edge_width[0] != width:
            self.line.edge_width = width
        shift = np.array(dims.point)
        shift[upright], shift[axis] = 0, self._at(box)
        self.line.translate = shift

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from near the divider."""
        dims, camera, box = self._viewer.dims, self._viewer.scene.camera, self._box()
        axis = dims.displayed[-1]
        distance = abs(event.position[axis] - self._at(box)) * camera.zoom
        if dims.ndisplay != 2 or distance > _REACH:
            return
        pan, camera.mouse_pan = camera.mouse_pan, False
        yield
        while event.type == "mouse_move":
            place = (event.position[axis] - box[0, axis]) / (box[1, axis] - box[0, axis])
            self._dragged(float(np.clip(place, 0, 1)))
            yield
        camera.mouse_pan = pan


def _set(layer: Layer, name: str, value: Any) -> None:
    """Set what is not so yet: to set a layer's attribute draws it again."""
    if not np.array_equal(getattr(layer, name), value):
        setattr(layer, name, value)


def _crop(viewer: ViewerModel, picture: Picture, axis: int, at: float, side: int) -> None:
    """Give a picture the voxels of its source on one side of a place in the world."""
    source, layer = picture.source, picture.layer
    if axis < viewer.dims.ndim - source.ndim:
        return
    along, low, high = _part(viewer, source, axis, at, side)
    _set(layer, "visible", high > low)
    if not layer.visible:
        return
    start = np.zeros(source.ndim)
    start[along] = low
    corner = source.affine.inverse(source.data_to_world(start))
    length = full_shape(layer)[along]
    if length == high - low and np.array_equal(layer.translate, corner):
        return
    levels = source.data if source.multiscale else [source.data]
    cropped = []
    for level in levels:
        ratio = level.shape[along] / full_shape(source)[along]
        first = round(low * ratio)
        part = slice(first, max(round(high * ratio), first + 1))
        cropped.append(level[(slice(None),) * along + (part,)])
    layer.data = cropped if source.multiscale else cropped[0]
    _set(layer, "translate", corner)


def _part(
    viewer: ViewerModel, source: Image, axis: int, at: float, side: int
) -> tuple[int, int, int]:
    """Find which voxels of a layer are left (side 0) or right (1) of a place in the world.

    They are cut along the layer's axis that comes nearest to the world's, at the middle of the
    others. A pyramid is cut between voxels of its top.

    Returns
    -------
    along, low, high : int
        The layer's axis, and the first voxel and the one after the last.
    """
    own = axis - (viewer.dims.ndim - source.ndim)
    shape = full_shape(source)
    corner = np.array(source.data_to_world(np.zeros(source.ndim)))
    steps = np.array([source.data_to_world(unit) for unit in np.eye(source.ndim)]) - corner
    slopes = steps[:, own]
    along = int(np.argmax(np.abs(slopes)))
    middle = (np.array(shape) - 1) / 2
    middle[along] = 0
    at = at * to_layer(viewer, source)[own]
    border = (at - corner[own] - slopes @ middle) / slopes[along]
    block = round(source.downsample_factors[-1][along]) if source.multiscale else 1
    cut = int(np.clip(round((border + 0.5) / block) * block, 0, shape[along]))
    return (along, 0, cut) if (slopes[along] > 0) == (side == 0) else (along, cut, shape[along])
