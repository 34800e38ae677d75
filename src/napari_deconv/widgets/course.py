"""The course of a deconvolution: how it fits, and the estimates on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_deconv.widgets.plot import Curve, Plot

if TYPE_CHECKING:
    from napari_deconv.deconvolution import Deconvolution

__all__ = ["Course", "how_often"]

_MOST_KEPT = 8
_PART_OF_MEMORY = 0.25

_CRITERIA = {
    "discrepancy": "misfit, 1: noise",
    "held_out": "held-out misfit",
}


def how_often(iterations: int, voxels: int) -> int | None:
    """Choose after how many iterations each an estimate is kept, or None if there is no room.

    Parameters
    ----------
    iterations : int
        Of the run, at most.
    voxels : int
        Of an estimate, float32.
    """
    room = _PART_OF_MEMORY * psutil.virtual_memory().available
    kept = min(_MOST_KEPT, int(room // (4 * voxels)))
    return math.ceil(iterations / kept) if kept else None


class Course(QWidget):
    """A plot of the fit, and a slider to step back to an earlier estimate.

    ``stepped(iteration)`` is sent when another estimate is chosen.
    """

    stepped = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Mapping[str, float]] = []
        self._kept: list[int] = []
        self.plot = Plot()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Step back to an estimate that was kept on the way.")
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._step)
        self.label = QLabel()
        self._stepping = QWidget()
        row = QHBoxLayout(self._stepping)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.label)
        row.addWidget(self.slider, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        layout.addWidget(self._stepping)
        self.hide()

    @property
    def iteration(self) -> int | None:
        """The estimate that is shown, after a run."""
        return self._kept[self.slider.value()] if self._kept else None

    def begin(self) -> None:
        """Forget the last run."""
        self._rows, self._kept = [], []
        self._stepping.hide()
        self.hide()

    def add(self, row: Mapping[str, float]) -> None:
        """Show another row of the history; of a series, that of the volume at hand."""
        if self._rows and row["iteration"] <= self._rows[-1]["iteration"]:
            self._rows = []
        self._rows.append(row)
        self._draw(None)

    def end(self, result: Deconvolution, stopped: bool) -> None:
        """Show the history of a result, and offer what has been kept.

        Parameters
        ----------
        result : Deconvolution
            What came out.
        stopped : bool
            Whether a rule chose the iterations: they are marked.
        """
        self._draw(result.iterations if stopped else None)
        self._kept = sorted({*result.intermediate, result.iterations})
        self._stepping.setVisible(len(self._kept) > 1)
        self.slider.blockSignals(True)
        self.slider.setRange(0, len(self._kept) - 1)
        self.slider.setValue(self._kept.index(result.iterations))
        self.slider.blockSignals(False)
        self._say()

    def _step(self, _: int) -> None:
        self._say()
        self.stepped.emit(self.iteration)

    def _say(self) -> None:
        self.label.setText(f"Iteration {self.iteration}")

    def _draw(self, mark: int | None) -> None:
        if len(self._rows) < 2:
            return
        self.show()
        columns = {name: self._column(name) for name in ("iteration", "divergence", "quality")}
        x = columns["iteration"]
        curves = [
            Curve("divergence", x, columns["divergence"], mark),
            Curve("quality", x, columns["quality"], right=True),
            *self._criteria(x),
        ]
        self.plot.show_curves(
            curves, x_label="iterations", y_label="divergence", right_label="quality, misfit",
            log_y=True,
        )  # fmt: skip

    def _criteria(self, x: np.ndarray[Any, Any]) -> Sequence[Curve]:
        """Draw what was measured of the photons, if they were counted."""
        found = ((label, self._column(name)) for name, label in _CRITERIA.items())
        return [Curve(label, x, y, right=True) for label, y in found if np.isfinite(y).any()]

    def _column(self, name: str) -> np.ndarray[Any, Any]:
        return np.array([row[name] for row in self._rows])
