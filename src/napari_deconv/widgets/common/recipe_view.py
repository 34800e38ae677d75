"""A recipe to look at, to copy as a script and to save."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import DeconvError
from napari_deconv.recipe.recipe import Recipe

__all__ = ["Arrays", "RecipeView"]

Arrays = Callable[[Sequence[str]], Mapping[str, Any]]
"""Gives what the layers of some names hold, by their names."""


class RecipeView(QWidget):
    """The recipe of a result as text, and buttons above it.

    Parameters
    ----------
    arrays : callable
        Gives what the layers of some names hold, by their names.

    Attributes
    ----------
    buttons : QHBoxLayout
        “Copy as Python” and “Save YAML…”.
    text : QPlainTextEdit
        Parameters, versions and device.
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self._arrays = arrays
        self._record: Mapping[str, Any] = {}
        self.copy_button = QPushButton("Copy as Python")
        self.copy_button.setToolTip("A script that makes this result again.")
        self.copy_button.clicked.connect(self._copy)
        self.save_button = QPushButton("Save YAML…")
        self.save_button.setToolTip(
            "A file that makes this result again: napari-deconv run recipe.yaml"
        )
        self.save_button.clicked.connect(self._ask_where)
        self.buttons = QHBoxLayout()
        for button in (self.copy_button, self.save_button):
            self.buttons.addWidget(button)
        self.buttons.addStretch()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.buttons)
        layout.addWidget(self.text)

    def take(self, record: Mapping[str, Any]) -> None:
        """Show the recipe of another result; see `napari_deconv.provenance`.

        Raises
        ------
        DeconvError
            If the record does not say enough for a text that is not hidden.
        """
        self._record = record
        if not self.text.isHidden():
            self.write()

    def write(self) -> None:
        """Write the text; while it is hidden it is not."""
        record = self._record
        made = record["made"]
        device = f"# {made['seconds']:.1f} s on {made['device']}, {made['date']}"
        reason = f"\n# {made['stop_reason']}" if "stop_reason" in made else ""
        versions = ", ".join(f"{name} {value}" for name, value in made["versions"].items())
        recipe = Recipe.of(record).to_yaml()
        self.text.setPlainText(f"{device}{reason}\n# {versions}\n{recipe}")

    def _copy(self) -> None:
        QApplication.clipboard().setText(Recipe.of(self._record).to_python())
        show_info("The script is in the clipboard.")

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save recipe", "recipe.yaml", "Recipe (*.yaml *.yml)"
        )
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Save the recipe; arrays that nothing can make again are written beside it."""
        try:
            recipe = Recipe.of(self._record)
            recipe.save(path, self._arrays(recipe.layers))
        except DeconvError as error:
            show_error(str(error))
            return
        show_info(f"Saved {path.name}. Run it with: napari-deconv run {path.name}")
