"""Names of layers on the canvas, which napari draws however long they are."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetricsF, QGuiApplication

__all__ = ["fit_name"]

_MARGIN = 12  # canvas pixels, on either side
_POINTS = 10  # napari's
_PIXELS = 96 / 72  # of the canvas, to one of Qt: napari counts dots per inch as vispy does


def fit_name(name: str, addition: str, width: float) -> str:
    """Make a name that fits into so many canvas pixels.

    Parameters
    ----------
    name : str
        Cut in its middle if it is too long.
    addition : str
        Follows the name, if there is room for both in full.
    width : float
        In canvas pixels.
    """
    metrics = QFontMetricsF(QFont(QGuiApplication.font().family(), _POINTS))
    room = (width - 2 * _MARGIN) / _PIXELS
    if metrics.horizontalAdvance(name + addition) <= room:
        return name + addition
    return str(metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, room))
