"""What the GUI tests share: small beads, and a hand that clicks."""

from __future__ import annotations

import numpy as np

SPACING = (0.25, 0.1, 0.1)
SIGMA = (1.36, 1.27, 1.27)  # voxels: FWHM 0.80, 0.30, 0.30 µm


def blob(shape, centre, sigma=SIGMA):
    """A Gaussian of height 1, written down axis by axis."""
    profiles = [
        np.exp(-0.5 * ((np.arange(n) - c) / s) ** 2)
        for n, c, s in zip(shape, centre, sigma, strict=True)
    ]
    return np.multiply.outer(np.multiply.outer(profiles[0], profiles[1]), profiles[2])


class Hand:
    """Drives a docked widget as a person does."""

    def __init__(self, qtbot, dock, widget):
        self.qtbot, self.dock, self.widget = qtbot, dock, widget

    def click(self):
        self.widget.run_button.click()

    def wait_for_progress(self):
        bar = self.widget.progress_bar
        self.qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() > 0, timeout=20_000)

    def wait(self):
        button = self.widget.run_button
        ready = lambda: button.text() == "Run" and button.isEnabled()  # noqa: E731
        self.qtbot.waitUntil(ready, timeout=30_000)

    def run(self):
        self.click()
        assert self.widget.run_button.text() == "Cancel"
        self.wait()
