"""Temporary layers in place of the user's, which come back as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Layer

from napari_deconv.widgets.layers import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["Picture", "Stage"]

_PLACED = ("scale", "translate", "rotate", "shear", "affine", "units")


class Picture:
    """A temporary layer that shows the voxels of one of the user's, and lies where that lies.

    Parameters
    ----------
    source : Image
        The user's layer; it is never changed.

    Attributes
    ----------
    layer : Image
        The temporary one. It shares the voxels.
    """

    def __init__(self, source: Image) -> None:
        self.source = source
        data, options, kind = source.as_layer_data_tuple()
        options["name"] = f"{source.name} (compare)"
        options["metadata"] = {KEY: {"role": "compared"}}
        options["visible"] = True
        self.layer: Image = Layer.create(data, options, kind)


class Stage:
    """Temporary layers; what they change of the viewer is as before after `close`.

    That is which layers are visible and which are selected, their order, and the grid.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    sources : sequence of Layer
        The user's layers that are compared.
    disturbed : callable
        Called when one of these is moved, when one of them or of the temporary layers is removed,
        or when the viewer gets another number of axes: what is shown no longer holds.
    """

    def __init__(
        self, viewer: ViewerModel, sources: Sequence[Layer], disturbed: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._sources = list(sources)
        self._disturbed = disturbed
        self._shown: list[Layer] = []
        self._visible: dict[Layer, bool] = {}
        self._selected = list(viewer.layers.selection)
        grid = viewer.canvas.grid
        self._grid = {
            "stride": grid.stride,
            "shape": grid.shape,
            "spacing": grid.spacing,
            "enabled": grid.enabled,
        }
        for emitter in self._emitters():
            emitter.connect(self._moved)
        viewer.layers.events.removed.connect(self._removed)

    @property
    def complete(self) -> bool:
        """Whether all layers, compared and temporary, are still there."""
        return all(layer in self._viewer.layers for layer in (*self._sources, *self._shown))

    def hide_others(self) -> None:
        """Hide the layers that are there, and switch the grid off."""
        self._visible = {layer: layer.visible for layer in self._viewer.layers}
        for layer in self._visible:
            layer.visible = False
        self._viewer.canvas.grid.enabled = False

    def add(self, layers: Sequence[Layer]) -> None:
        """Add layers above all others; the last one is selected."""
        for layer in layers:
            self._shown.append(layer)
            self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = layers[-1]

    def add_beside(self, cells: Sequence[Sequence[Layer]]) -> None:
        """Lay layers out in a grid, from left to right.

        Parameters
        ----------
        cells : sequence of sequence of Layer
            What lies on each other in each cell, from bottom to top; as many in each. The topmost
            one of the first cell is selected.
        """
        # The grid counts layers from below, hidden ones too.
        for place, layer in enumerate(layer for cell in cells for layer in cell):
            self._shown.append(layer)
            self._viewer.layers.insert(place, layer)
        self._viewer.layers.selection.active = cells[0][-1]
        grid = self._viewer.canvas.grid
        grid.stride, grid.shape, grid.spacing = len(cells[0]), (-1, -1), 0.01
        grid.enabled = True

    def close(self) -> None:
        """Remove the layers, and restore what was before."""
        layers = self._viewer.layers
        layers.events.removed.disconnect(self._removed)
        for emitter in self._emitters():
            emitter.disconnect(self._moved)
        for layer in self._shown:
            if layer in layers:
                layers.remove(layer)
        self._shown.clear()
        for name, value in self._grid.items():
            setattr(self._viewer.canvas.grid, name, value)
        for layer, visible in self._visible.items():
            if layer in layers:
                layer.visible = visible
        layers.selection.clear()
        layers.selection.update(layer for layer in self._selected if layer in layers)
        self._visible.clear()
        self._sources.clear()

    def _emitters(self) -> Iterator[object]:
        yield self._viewer.dims.events.ndim
        for layer in self._sources:
            for name in _PLACED:
                yield getattr(layer.events, name)

    def _moved(self, event: object = None) -> None:
        self._disturbed()

    def _removed(self, event: object) -> None:
        if event.value in self._shown or event.value in self._sources:
            self._disturbed()
