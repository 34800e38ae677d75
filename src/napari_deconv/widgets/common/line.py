"""Text below the fields, in as many lines as it takes."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel

__all__ = ["Line", "make_room"]


class Line(QLabel):
    """A text that can be selected, and that nothing around it squeezes."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str) -> None:
        """Show another text."""
        super().setText(text)
        make_room(self)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take as many lines as this width asks for."""
        super().resizeEvent(event)
        make_room(self)


def make_room(label: QLabel) -> None:
    """Keep layouts from squeezing a text of several lines: they ask for its height too late."""
    label.setMinimumHeight(max(0, label.heightForWidth(label.width())))
