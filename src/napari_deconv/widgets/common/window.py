"""napari's window, from within a dock of it."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

__all__ = ["main_window", "paint_later"]


def main_window(widget: QWidget) -> QMainWindow | None:
    """Find the window that a widget is in, or beside if its dock floats."""
    parent: QWidget | None = widget
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent


def paint_later(widget: QWidget) -> None:
    """Let the window that a widget is in be painted only when other events have had their turn."""
    window = main_window(widget)
    if window is None:
        return
    window.setUpdatesEnabled(False)
    timer = QTimer(window)
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: window.setUpdatesEnabled(True))
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)
