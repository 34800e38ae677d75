"""Names of layers on the canvas, which napari draws however long they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetricsF, QGuiApplication

if TYPE_CHECKING:
    from napari.layers import Layer

__all__ = ["fit_name"]

_MARGIN = 12  # canvas pixels, on either side
_POINTS = 10  # napari's
_PIXELS = 96 / 72  # of the canvas, to one of Qt: napari counts dots per inch as vispy does


def fit_name(layer: Layer, name: str, addition: str, width: float) -> None:
    """Name a temporary layer so that its name fits into so many canvas pixels.

    The full name is its tooltip in the layer list.

    Parameters
    ----------
    layer : Layer
        The temporary layer.
    name : str
        Cut in its middle if it is too long.
    addition : str
        Follows the name, if there is room for both in full.
    width : float
        In canvas pixels.
    """
    full = name + addition
    metrics = QFontMetricsF(QFont(QGuiApplication.font().family(), _POINTS))
    room = (width - 2 * _MARGIN) / _PIXELS
    if metrics.horizontalAdvance(full) <= room:
        layer.name = full
    else:
        layer.name = str(metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, room))
    layer.get_source_str = lambda: full
