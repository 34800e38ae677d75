"""What a run has come to: a line about it, and its recipe to look at, copy and save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_deconv.widgets.common.line import Line
from napari_deconv.widgets.common.recipe_view import Arrays, RecipeView

__all__ = ["Outcome"]

_LINES = 9


class Outcome(QWidget):
    """The result line, and below it the recipe of the last result, its text folded away.

    Parameters
    ----------
    arrays : callable
        Gives what the layers of some names hold, by their names.

    Attributes
    ----------
    line : Line
        Says what has come out, or what went wrong.
    recipe : RecipeView
        The last result's.
    """

    def __init__(self, arrays: Arrays) -> None:
        super().__init__()
        self.line = Line()
        self.recipe = RecipeView(arrays)
        self.recipe.text.setFixedHeight(_LINES * self.recipe.text.fontMetrics().lineSpacing())
        self.fold_button = QPushButton("▸ Recipe")
        self.fold_button.setToolTip("All parameters, versions and the device of the last result.")
        self.fold_button.clicked.connect(self._fold)
        self.recipe.buttons.insertWidget(0, self.fold_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.recipe)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.recipe.hide()
        self.recipe.text.hide()

    def take(self, record: Mapping[str, Any]) -> None:
        """Offer the recipe of another result; see `napari_deconv.provenance`."""
        self.recipe.take(record)
        self.recipe.show()

    def _fold(self) -> None:
        unfolded = self.recipe.text.isHidden()
        self.fold_button.setText("▾ Recipe" if unfolded else "▸ Recipe")
        self.recipe.text.setVisible(unfolded)
        if unfolded:
            self.recipe.write()
