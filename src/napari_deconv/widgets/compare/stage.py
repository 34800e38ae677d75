"""Temporary layers in place of the user's, which come back as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari.layers import Layer

from napari_deconv.widgets.common.layers import KEY, take_away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["ADDITION", "Picture", "Stage"]

ADDITION = " (compare)"
"""What follows the name of a layer in that of the temporary one."""


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
        options["name"] = f"{source.name}{ADDITION}"
        options["metadata"] = {KEY: {"role": "aside"}}
        options["visible"] = True
        self.layer: Image = Layer.create(data, options, kind)


class Stage:
    """Temporary layers; what they change of the viewer is as before after `close`.

    That is which layers are visible and which are selected, their order, and the grid. A layer that
    has been shown stays in the viewer, hidden, until then: napari takes long to add and remove one.

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
        self._own: list[Layer] = []
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
        return all(layer in self._viewer.layers for layer in (*self._sources, *self._own))

    def on_top(self, layers: Sequence[Layer]) -> None:
        """Show temporary layers above the user's; the last one is selected."""
        self._give_back()
        self._show(layers)
        for layer in layers:
            self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))
        self._viewer.layers.selection.active = layers[-1] if layers else None

    def instead(self, layers: Sequence[Layer]) -> None:
        """Show temporary layers and no others, from bottom to top; the last one is selected."""
        self._viewer.canvas.grid.enabled = False
        self._take_over()
        self._show(layers)
        self._viewer.layers.selection.active = layers[-1]

    def in_grid(self, cells: Sequence[Sequence[Layer]]) -> None:
        """Show temporary layers and no others in a grid, from left to right.

        Parameters
        ----------
        cells : sequence of sequence of Layer
            What lies on each other in each cell, from bottom to top; as many in each. The topmost
            one of the first cell is selected.
        """
        self._take_over()
        # The grid counts layers from below, hidden ones too.
        self._show([layer for cell in cells for layer in cell])
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
        take_away(self._viewer, self._own)
        self._own.clear()
        self._give_back()
        layers.selection.clear()
        layers.selection.update(layer for layer in self._selected if layer in layers)
        self._sources.clear()

    def _take_over(self) -> None:
        """Hide the user's layers."""
        for layer in self._viewer.layers:
            if layer not in self._own and layer not in self._visible:
                self._visible[layer] = layer.visible
                layer.visible = False

    def _give_back(self) -> None:
        """Show the user's layers as they were, and those that the user has shown meanwhile."""
        for name, value in self._grid.items():
            setattr(self._viewer.canvas.grid, name, value)
        for layer, visible in self._visible.items():
            if layer in self._viewer.layers:
                layer.visible = layer.visible or visible
        self._visible.clear()

    def _show(self, layers: Sequence[Layer]) -> None:
        """Lay temporary layers below all others, from bottom to top, and hide the rest of them."""
        for layer in self._own:
            if layer not in layers:
                layer.visible = False
        listed = self._viewer.layers
        for place, layer in enumerate(layers):
            layer.visible = True
            if layer not in listed:
                self._own.append(layer)
                listed.insert(place, layer)
            elif listed.index(layer) != place:
                listed.move(listed.index(layer), place)

    def _emitters(self) -> Iterator[object]:
        yield self._viewer.dims.events.ndim
        for layer in self._sources:
            for name in _PLACED:
                yield getattr(layer.events, name)

    def _moved(self, event: object = None) -> None:
        self._disturbed()

    def _removed(self, event: object) -> None:
        if event.value in self._own or event.value in self._sources:
            self._disturbed()
