"""Values of fields that are kept for the next time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSpinBox, SpinBox

from napari_deconv.widgets.common.preferences import recall, remember

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

__all__ = ["Kept"]

_CHOSEN = (CheckBox, ComboBox, FloatSpinBox, SpinBox)


class Kept:
    """The values that a widget was last run with, and those that it came with.

    Parameters
    ----------
    title : str
        The widget's.
    fields : mapping
        Its fields by their names; texts and files among them are meant for one image and not kept.
    """

    def __init__(self, title: str, fields: Mapping[str, ValueWidget]) -> None:
        self._title = title
        self._fields = {name: field for name, field in fields.items() if isinstance(field, _CHOSEN)}
        self._first = self._values()

    def recall(self) -> None:
        """Set the fields to what they were when the widget was last run."""
        self._set(recall(self._title))

    def remember(self) -> None:
        """Keep what the fields say."""
        remember(self._title, self._values())

    def reset(self) -> None:
        """Set the fields to what they came with, and keep that."""
        self._set(self._first)
        self.remember()

    def _values(self) -> dict[str, Any]:
        return {name: _read(field) for name, field in self._fields.items()}

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, field in self._fields.items():
            if name in values:
                _write(field, values[name])


def _read(field: ValueWidget) -> Any:
    """Read a field as what can be kept in a file; of a choice its text."""
    return field.native.currentText() if isinstance(field, ComboBox) else field.value


def _write(field: ValueWidget, value: Any) -> None:
    """Set a field to what was kept, if it still takes that."""
    if isinstance(field, ComboBox):
        field.native.setCurrentText(str(value))
    elif isinstance(field, CheckBox) == isinstance(value, bool):
        with suppress(ValueError, TypeError):
            field.value = value
