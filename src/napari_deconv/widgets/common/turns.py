"""One thing after the other, and the window in between."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer

__all__ = ["Turns"]

_PAUSE = 10  # ms; at once would be before anything is drawn


class Turns(QObject):
    """Does each thing in a turn of its own; what a turn adds itself comes next.

    napari takes up to a tenth of a second to add a layer: two in one turn hold the window up.

    Parameters
    ----------
    parent : QObject
        With it what has not been done is dropped.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._waiting: deque[Callable[[], Any]] = deque()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._next)

    def add(self, do: Callable[[], Any]) -> None:
        """Do something after what was added before, in a turn: after that turn."""
        self._waiting.append(do)
        if not self._timer.isActive():
            self._timer.start()

    def clear(self) -> None:
        """Drop what has not been done."""
        self._waiting.clear()
        self._timer.stop()

    def _next(self) -> None:
        do = self._waiting.popleft()
        later, self._waiting = self._waiting, deque()
        try:
            do()
        finally:
            self._waiting += later
            if self._waiting:
                self._timer.start()
