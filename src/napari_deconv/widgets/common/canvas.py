"""The OpenGL context that a viewer draws in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_deconv.widgets.common.window import main_window

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget

__all__ = ["RemovalContext"]


class RemovalContext:
    """Has layers removed in the OpenGL context of the canvas, while a dock widget is open.

    napari 0.9 hands on what is left of its OpenGL commands when a layer is removed, in whatever
    context is current: that of the window, once Qt has composed it. What they make there is
    missing in the canvas, and drawing it ends in a segmentation fault.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._canvas: QOpenGLWidget | None = None

    def watch(self, widget: QWidget) -> None:
        """Look after the canvas of the window that a widget is shown in."""
        window = main_window(widget)
        if window is None:
            return
        self._canvas = window.centralWidget().findChild(QOpenGLWidget)
        self._viewer.layers.events.removing.connect(self._enter)

    def release(self) -> None:
        """Leave it alone."""
        self._viewer.layers.events.removing.disconnect(self._enter)
        self._canvas = None

    def _enter(self, event: object) -> None:
        if self._canvas is not None and self._canvas.isValid():
            self._canvas.makeCurrent()
