"""A bar that says how far a run is, and how long it takes."""

from __future__ import annotations

import time
from math import ceil

from qtpy.QtWidgets import QProgressBar

from napari_deconv._progress import duration

__all__ = ["ProgressBar"]

_FINE = 1000  # values of the bar, to a step


class ProgressBar(QProgressBar):
    """Steps done and planned, and the time left; it is seen only during a run."""

    def __init__(self) -> None:
        super().__init__()
        self._counting = self._stepped = 0.0
        self._before = 0
        self._done = 0.0
        self.setVisible(False)

    def wait(self) -> None:
        """Show that a run has been asked for."""
        self.setRange(0, 0)
        self.setVisible(True)

    def begin(self) -> None:
        """Count the time from now."""
        self._counting = time.perf_counter()

    def step(self, done: float, iterations: int, coarse: bool) -> None:
        """Fill the bar; steps on a coarse level take little time, and do not count.

        Parameters
        ----------
        done : float
            Steps done, with the part of the next one; it may be said again and be none.
        iterations : int
            Steps planned.
        coarse : bool
            Whether it was on a coarse level.
        """
        if self.maximum() == 0 or done == 0:
            if self.value() > 0:
                self.begin()
            self._fill(0, iterations)
            self.setFormat(f"0/{iterations}")
        if coarse:
            self.setFormat("coarse start")
            if self.value() == 0:
                self.begin()
            return
        if done == self._done and _FINE * iterations == self.maximum():
            return
        now = time.perf_counter()
        if not 0 < self._done < done:  # the first, or something else is counted from here
            self._before = ceil(done) - 1
            self._counting = self._stepped if self._done else self._counting
        self._stepped = now
        left = (now - self._counting) / (done - self._before) * (iterations - done)
        self._fill(done, iterations)
        about = f" · {duration(left)} left" if done < iterations else ""
        self.setFormat(f"{int(done)}/{iterations}{about}")

    def _fill(self, done: float, iterations: int) -> None:
        self._done = done
        self.setRange(0, _FINE * iterations)
        self.setValue(round(_FINE * done))
