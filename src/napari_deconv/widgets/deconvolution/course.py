"""The course of a deconvolution: how it fits, and the estimates on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_deconv.widgets.common.plot import Curve, Plot

if TYPE_CHECKING:
    from napari_deconv.deconvolution import Deconvolution

__all__ = ["Course", "how_often"]

_MOST_KEPT = 20
_PART_OF_MEMORY = 0.2

_CURVES = {
    "quality": "quality",
    "discrepancy": "misfit",
    "held_out": "held out",
    "divergence": "divergence",
}
# What the rules go by that go by something else.
_CRITERIA = {"discrepancy": "discrepancy", "consensus": "held_out"}


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
        self._before: list[Mapping[str, float]] = []
        self._criterion: str | None = None
        self._kept: list[int] = []
        self.plot = Plot()
        self.plot.setToolTip(
            "Each curve from its lowest to its highest value. Divergence: what the model lacks of "
            "the image. Quality: how many times it has fallen. Misfit: 1 where the model differs "
            "as noise does. Held out: of photons kept aside; it rises when noise is fitted. Right "
            "click: copy the numbers."
        )
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

    def begin(self, stop: str | None) -> None:
        """Forget the last run; the next one is ended by this rule."""
        self._criterion = _CRITERIA.get(stop or "")
        self._before, self._rows, self._kept = self._rows, [], []
        self._stepping.hide()
        self.hide()

    def resume(self) -> None:
        """Keep the curves of the run before: the one that begins goes on from it."""
        self._rows = self._before

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
        x = self._column("iteration")
        curves = []
        for name, label in _CURVES.items():
            y = self._column(name)
            known = y[np.isfinite(y)]
            if len(known) and (name not in _CRITERIA.values() or name == self._criterion):
                divergence = name == "divergence"
                value = "" if divergence else f" {known[-1]:.3g}"
                low, high = known.min(), known.max()
                scaled = (y - low) / (high - low or 1.0)
                curves.append(Curve(f"{label}{value}", x, scaled, mark, dashed=divergence))
        self.plot.show_curves(curves, x_label="iterations", y_label="low to high")

    def _column(self, name: str) -> np.ndarray[Any, Any]:
        return np.array([row[name] for row in self._rows])
