"""Results come into the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from napari.layers import Image, Layer

from napari_deconv.widgets.common.layers import note_made
from napari_deconv.widgets.common.results import around, field_of_view, in_sight, psf_options
from napari_deconv.widgets.common.window import paint_later

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget

    from napari_deconv.psf.psf import Psf
    from napari_deconv.widgets.common.turns import Turns

__all__ = ["Adding", "add_unselected"]

_Layer = TypeVar("_Layer", bound=Layer)


class Adding:
    """Adds layers in steps, so that the window is never held up for long.

    Parameters
    ----------
    viewer : ViewerModel
        Where they go.
    widget : QWidget
        In whose window that is.
    turns : Turns
        What each step has one of.
    """

    def __init__(self, viewer: ViewerModel, widget: QWidget, turns: Turns) -> None:
        self._viewer, self._widget, self._turns = viewer, widget, turns

    def layer(self, layer: _Layer) -> _Layer:
        """Add a layer, and draw it, each in a turn to come."""
        layer.visible = False
        note_made(layer)
        self._turns.add(partial(add_unselected, self._viewer, layer, self._widget))
        self._turns.add(partial(self._select, layer))
        self.change(layer, "visible", True)
        return layer

    def change(self, layer: Layer, name: str, value: Any) -> None:
        """Set what takes long to draw, in a turn after what was added before."""
        self._turns.add(partial(setattr, layer, name, value))

    def psf(self, psf: Psf, name: str, metadata: Mapping[str, Any], source: Layer | None) -> None:
        """Add a PSF beside the layer it belongs to, in focus in the current plane; show both."""
        options = psf_options(psf, name, metadata, source)
        place = around(field_of_view(self._viewer).mean(0), psf.shape, options["scale"])
        if source is not None:
            place[-2:] = options["translate"][-2:]
        layer = self.layer(Image(psf.data, **options | {"translate": place}))
        self._turns.add(partial(self._look_at, layer))

    def _select(self, layer: Layer) -> None:
        if layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer

    def _look_at(self, layer: Layer) -> None:
        if not in_sight(self._viewer, layer):
            self._viewer.reset_view()


def add_unselected(viewer: ViewerModel, layer: Layer, widget: QWidget) -> None:
    """Add a layer, and leave what is selected; in the window of a widget it is seen a turn later.

    napari selects what it adds, and shows its controls: to do that at once, and to paint it, takes
    as long again.
    """
    paint_later(widget)
    selection = viewer.layers.selection
    selected = set(selection)
    with selection.events.blocker_all():
        viewer.add_layer(layer)
        viewer.layers.selection = selected
