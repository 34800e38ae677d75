"""The button that goes on from a result."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSpinBox, QWidget

__all__ = ["GoOn"]

_MORE = 10
_MOST = 10_000


class GoOn(QWidget):
    """A button, and how many more iterations it asks for.

    Attributes
    ----------
    asked : Signal
        With the number of iterations.
    button : QPushButton
        “Go on”.
    number : QSpinBox
        Of iterations.
    """

    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton("Go on")
        self.button.setToolTip("Do more iterations on the last result.")
        self.button.clicked.connect(self._ask)
        self.number = QSpinBox()
        self.number.setRange(1, _MOST)
        self.number.setValue(_MORE)
        self.number.setSuffix(" more")
        self.number.setToolTip("How many more iterations.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self.number)

    def _ask(self) -> None:
        self.asked.emit(self.number.value())
