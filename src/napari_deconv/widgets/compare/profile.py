"""A line across layers that can be dragged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.compare.world import extent

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["Profile"]

_COLOUR = "#e040fb"  # neither the divider's nor that of a curve
_WIDTH = 2  # canvas pixels


class Profile:
    """A line in the plane that is shown, once for each cell of a grid.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer; the line stays in its current plane.
    layer : Image
        The line starts as the middle of what is seen of it, from left to right.
    moved : callable
        Called without arguments whenever the line is moved.
    """

    def __init__(self, viewer: ViewerModel, layer: Image, moved: Callable[[], None]) -> None:
        self._viewer = viewer
        self._layer = layer
        self._lines: list[Shapes] = []
        self._copies = 0
        self._ends = np.zeros((2, 0))
        self._busy = False
        self.moved = moved

    def open(self, copies: int) -> list[Shapes]:
        """Follow the viewer; give so many layers, all with the line, to lie above the pictures."""
        self.close()
        self._copies = copies
        if not self._lines:
            self._ends = self._across()
        while len(self._lines) < copies:
            self._lines.append(self._make())
        for line in self._lines:
            line.events.set_data.connect(self._dragged)
        for emitter in self._emitters():
            emitter.connect(self._follow)
        self._stay()
        return self._lines[:copies]

    def take_hold(self) -> None:
        """Let the ends be dragged, which needs layers that have been added to the viewer."""
        for line in self._lines[: self._copies]:
            line.mode = "direct"
            line.selected_data = {0}

    def close(self) -> None:
        """Let go of the viewer."""
        if self._copies:
            for line in self._lines:
                line.events.set_data.disconnect(self._dragged)
            for emitter in self._emitters():
                emitter.disconnect(self._follow)
        self._copies = 0

    @property
    def ends(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Start and end in the viewer's world."""
        return self._ends[0], self._ends[1]

    @ends.setter
    def ends(self, ends: npt.ArrayLike) -> None:
        self._ends = np.array(ends, dtype=float)
        self._draw()
        self.moved()

    def _emitters(self) -> list[Any]:
        dims = self._viewer.dims.events
        return [dims.point, dims.order, self._viewer.scene.camera.events.zoom]

    def _make(self) -> Shapes:
        return Shapes(
            ndim=self._viewer.dims.ndim,
            name="Profile (compare)",
            metadata={KEY: {"role": "aside"}},
            units=self._viewer.layers.units,
        )

    def _across(self) -> npt.NDArray[np.float64]:
        """Lay the line across the middle of what is seen of the layer."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        ends = np.array([dims.point] * 2, dtype=float)
        box = extent(self._viewer, self._layer)
        offset = dims.ndim - box.shape[1]
        half = np.array(self._viewer.canvas.size) / camera.zoom / 2
        half[1] /= self._copies  # cells beside each other share the canvas
        for place, axis in enumerate(dims.displayed[-2:]):
            if axis < offset:
                continue
            low, high = box[:, axis - offset]
            centre = camera.center[place - 2]
            seen = np.clip([centre - half[place], centre + half[place]], low, high)
            if seen[0] < seen[1]:
                low, high = seen
            shares = (0.2, 0.8) if place == 1 else (0.5, 0.5)
            ends[:, axis] = [low + share * (high - low) for share in shares]
        return ends

    def _draw(self) -> None:
        """Draw the copies; napari shows only shapes at 0 of the axes that are not displayed."""
        self._busy = True
        width = _WIDTH / self._viewer.scene.camera.zoom
        others = list(self._viewer.dims.not_displayed)
        ends, shift = self._ends.copy(), np.zeros(self._ends.shape[1])
        ends[:, others], shift[others] = 0, self._ends[0, others]
        for line in self._lines:
            line.data = []
            line.add_lines([ends], edge_width=width, edge_color=_COLOUR)
            line.translate = shift
        self.take_hold()
        self._busy = False

    def _dragged(self, event: Any) -> None:
        """Take over where a copy was dragged to; what is no line any more is not."""
        line = event.source
        if self._busy or len(line.data) != 1 or line.data[0].shape != self._ends.shape:
            return
        ends = line.data[0] + line.translate
        if np.array_equal(ends, self._ends):
            return
        self._ends = ends
        self._busy = True
        for other in self._lines:
            if other is not line:
                other.data = line.data
        self._busy = False
        self.moved()

    def _follow(self, event: Any) -> None:
        """Stay in the plane that is shown, and as thin as before."""
        if self._viewer.dims.ndim != self._ends.shape[1]:
            return
        if event.type == "order":
            self._ends = self._across()
        self._stay()
        self.moved()

    def _stay(self) -> None:
        """Lie in the plane that is shown."""
        others = list(self._viewer.dims.not_displayed)
        self._ends[:, others] = np.array(self._viewer.dims.point)[others]
        self._draw()
