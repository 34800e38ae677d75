"""What a run has come to: a line about it, and its recipe to look at, copy and save."""

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
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.errors import DeconvError
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.line import Line

__all__ = ["Outcome"]

_LINES = 9


class Outcome(QWidget):
    """The result line, and below it the recipe of the last result.

    Parameters
    ----------
    arrays : callable
        Gives what the layers of some names hold, by their names.

    Attributes
    ----------
    line : Line
        Says what has come out, or what went wrong.
    """

    def __init__(self, arrays: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        super().__init__()
        self._arrays = arrays
        self._record: Mapping[str, Any] | None = None
        self.line = Line()
        self.fold_button = QPushButton("▸ Recipe")
        self.fold_button.setToolTip("All parameters, versions and the device of the last result.")
        self.fold_button.clicked.connect(self._fold)
        self.copy_button = QPushButton("Copy as Python")
        self.copy_button.setToolTip("A script that makes the last result again.")
        self.copy_button.clicked.connect(self._copy)
        self.save_button = QPushButton("Save YAML…")
        self.save_button.setToolTip(
            "A file that makes the last result again: napari-deconv run recipe.yaml"
        )
        self.save_button.clicked.connect(self._ask_where)
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.fold_button, self.copy_button, self.save_button):
            row.addWidget(button)
        row.addStretch()
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setFixedHeight(_LINES * self.text.fontMetrics().lineSpacing())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.line, self._buttons, self.text):
            layout.addWidget(part)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._buttons.hide()
        self.text.hide()

    def take(self, record: Mapping[str, Any]) -> None:
        """Offer the recipe of another result; see `napari_deconv.provenance`."""
        self._record = record
        self._buttons.show()
        if not self.text.isHidden():
            self._write()

    def _fold(self) -> None:
        unfolded = self.text.isHidden()
        self.fold_button.setText("▾ Recipe" if unfolded else "▸ Recipe")
        self.text.setVisible(unfolded)
        if unfolded:
            self._write()

    def _write(self) -> None:
        made = self._record["made"]
        device = f"# {made['seconds']:.1f} s on {made['device']}, {made['date']}"
        reason = f"\n# {made['stop_reason']}" if "stop_reason" in made else ""
        versions = ", ".join(f"{name} {value}" for name, value in made["versions"].items())
        text = Recipe.of(self._record).to_yaml()
        self.text.setPlainText(f"{device}{reason}\n# {versions}\n{text}")

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
