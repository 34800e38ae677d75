"""Command: the recipe of a layer, also of one that was saved, and opened again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari.components import ViewerModel  # napari reads the annotation
from napari.layers import Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QMainWindow, QVBoxLayout, QWidget

from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.inputs import Inputs
from napari_deconv.widgets.common.layers import recipe_of
from napari_deconv.widgets.common.recipe_view import RecipeView

__all__ = ["RecipeDialog", "show_recipe"]


class RecipeDialog(QDialog):
    """The recipe of one layer.

    Parameters
    ----------
    viewer : ViewerModel
        Where the layers are that the recipe may name.
    layer : Layer
        Made by this plugin.

    Raises
    ------
    DeconvError
        If its provenance does not say enough.
    """

    def __init__(self, viewer: ViewerModel, layer: Layer) -> None:
        super().__init__(_main_window())
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Recipe of {layer.name}")
        self.resize(720, 320)
        written = recipe_of(layer)
        layers = _named(viewer, written)
        self.view = RecipeView(lambda names: Inputs(layers).arrays(viewer, names))
        self.view.take(written)
        QVBoxLayout(self).addWidget(self.view)


def show_recipe(viewer: ViewerModel) -> None:
    """Show how the selected layer was made, in a window of its own."""
    layer = viewer.layers.selection.active
    if layer is None:
        show_info("Select one layer to see its recipe.")
    elif not {"operation", "inputs", "made"} <= recipe_of(layer).keys():
        show_info(
            f"“{layer.name}” has no recipe: its file or layer does not say how to make it, or it "
            "was changed since."
        )
    else:
        try:
            RecipeDialog(viewer, layer).show()
        except DeconvError as error:
            show_info(f"“{layer.name}” has no recipe that is complete: {error}")


def _main_window() -> QWidget | None:
    """Find the window to stay in front of, and whose theme to take."""
    windows = [QApplication.activeWindow(), *QApplication.topLevelWidgets()]
    return next((each for each in windows if isinstance(each, QMainWindow)), None)


def _named(viewer: ViewerModel, record: Mapping[str, Any]) -> dict[str, Layer | None]:
    """Find the layers that a record names as its inputs, where they are still open.

    The image is named besides, whatever it comes from: beads edited by hand are read on its voxels.
    """
    names = {"image": record.get("source")} | {
        name: origin["layer"] for name, origin in record["inputs"].items() if "layer" in origin
    }
    return {name: viewer.layers[layer] for name, layer in names.items() if layer in viewer.layers}
