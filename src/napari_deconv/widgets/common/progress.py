"""A bar that says how far a run is, and how long it takes."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QProgressBar

from napari_deconv._progress import duration

__all__ = ["ProgressBar"]


class ProgressBar(QProgressBar):
    """Steps done and planned, and the time left; it is seen only during a run."""

    def __init__(self) -> None:
        super().__init__()
        self._counting = self._stepped = 0.0
        self._before = 0
        self.setVisible(False)

    def wait(self) -> None:
        """Show that a run has been asked for."""
        self.setRange(0, 0)
        self.setVisible(True)

    def begin(self) -> None:
        """Count the time from now."""
        self._counting = time.perf_counter()

    def step(self, iteration: int, iterations: int, coarse: bool) -> None:
        """Fill the bar; steps on a coarse level take little time, and do not count.

        Parameters
        ----------
        iteration, iterations : int
            Steps done, which may be said again and be none, and planned.
        coarse : bool
            Whether it was on a coarse level.
        """
        if self.maximum() == 0 or iteration == 0:
            if self.value() > 0:
                self.begin()
            self.setRange(0, iterations)
            self.setValue(0)
            self.setFormat(f"0/{iterations}")
        if coarse:
            self.setFormat("coarse start")
            if self.value() == 0:
                self.begin()
            return
        if (iteration, iterations) == (self.value(), self.maximum()):
            return  # a tile says so after each of its iterations
        now = time.perf_counter()
        if not 0 < self.value() < iteration:  # the first, or something else is counted from here
            self._before = iteration - 1
            self._counting = self._stepped if self.value() else self._counting
        self._stepped = now
        left = (now - self._counting) / (iteration - self._before) * (iterations - iteration)
        self.setRange(0, iterations)
        self.setValue(iteration)
        about = f" · {duration(left)} left" if iteration < iterations else ""
        self.setFormat(f"{iteration}/{iterations}{about}")
