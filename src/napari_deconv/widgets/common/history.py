"""The runs of a widget: their settings can be had back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from napari.layers import Layer
from qtpy.QtWidgets import QMenu, QPushButton

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

__all__ = ["History", "Settings"]

_KEPT = 20


class Settings:
    """What fields said at a moment; layers are not kept alive by it.

    Parameters
    ----------
    fields : mapping
        What each said.
    about : mapping, optional
        Fields that say something of a layer, and the fields that choose it.
    """

    def __init__(
        self,
        fields: Mapping[ValueWidget, Any],
        about: Mapping[ValueWidget, ValueWidget] | None = None,
    ) -> None:
        self._about = about or {}
        self._values = {
            field: ref(value) if isinstance(value, Layer) else value
            for field, value in fields.items()
        }

    def restore(self) -> bool:
        """Put the values back into the fields; tell whether all layers were still there."""
        gone = set()
        for field, value in self._values.items():
            if self._about.get(field) in gone:
                continue
            if isinstance(value, ReferenceType):
                value = value()
                if value not in field.choices:
                    gone.add(field)
                    continue
            field.value = value
        return not gone


@dataclass(frozen=True)
class _Run:
    title: str
    settings: Settings
    prepare: Callable[[], Any]


class History(QPushButton):
    """A button with a menu of the runs so far, the newest first.

    Parameters
    ----------
    restored : callable
        Called with the title of a run after its settings are back, whether all layers were there,
        and what prepares it if it is to be run again.
    """

    def __init__(self, restored: Callable[[str, bool, Callable[[], Any] | None], None]) -> None:
        super().__init__()
        self._restored = restored
        self._runs: list[_Run] = []
        self.setText("History")
        self.setToolTip("The runs so far: take their settings back, or run them again.")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self.fill)
        self.setMenu(self._menu)
        self.hide()

    def add(self, title: str, settings: Settings, prepare: Callable[[], Any]) -> None:
        """Remember a run; `prepare` reads the fields for another one like it."""
        stamp = f"{datetime.now():%H:%M}"
        self._runs = [_Run(f"{stamp}  {title}", settings, prepare), *self._runs][:_KEPT]
        self.show()

    def fill(self) -> QMenu:
        """Write the menu anew, and return it."""
        self._menu.clear()
        for run in self._runs:
            choices = self._menu.addMenu(run.title)
            choices.addAction("Run again", lambda run=run: self._restore(run, True))
            choices.addAction("Take its settings", lambda run=run: self._restore(run, False))
        return self._menu

    def _restore(self, run: _Run, again: bool) -> None:
        self._restored(run.title, run.settings.restore(), run.prepare if again else None)
