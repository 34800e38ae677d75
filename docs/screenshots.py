"""Make the screenshots of the documentation: every widget after a run on a sample.

It needs a display: ``xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_deconv.widgets.base import OperationWidget

IMAGES = Path(__file__).parent / "images"


def wait(seconds: float) -> None:
    """Let the window work and draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def run(viewer: napari.Viewer, title: str, **fields: object) -> OperationWidget:
    """Open a widget in place of the others, set some fields, run it to the end."""
    viewer.window.remove_dock_widget("all")
    _, widget = viewer.window.add_plugin_dock_widget("napari-deconv", title)
    for name, value in fields.items():
        getattr(widget, name).value = value
    wait(0.5)
    widget.run_button.click()
    while widget.run_button.text() != "Run":
        wait(0.1)
    return widget


def save(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window."""
    viewer.reset_view()
    wait(2)
    window = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
    window.quantize(256, Image.Quantize.MAXCOVERAGE).save(IMAGES / f"{name}.png", optimize=True)


def show_only(viewer: napari.Viewer, *names: str) -> None:
    """Show these layers and no others."""
    for layer in viewer.layers:
        layer.visible = layer.name in names


def beads(viewer: napari.Viewer) -> None:
    """Go from beads to a PSF."""
    viewer.open_sample("napari-deconv", "beads_widefield")
    run(viewer, "Background subtraction", method="rolling_ball")
    viewer.canvas.grid.enabled = True
    save(viewer, "background")
    viewer.canvas.grid.enabled = False
    show_only(viewer, "beads")
    run(viewer, "Bead detection").more_button.click()
    save(viewer, "beads")
    run(viewer, "PSF distilling")
    save(viewer, "distilling")
    run(viewer, "PSF quality")
    save(viewer, "psf_quality")


def synthetic(viewer: napari.Viewer) -> None:
    """Make a PSF from optics."""
    viewer.open_sample("napari-deconv", "cells_widefield")
    run(viewer, "Synthetic PSF").more_button.click()
    save(viewer, "synthetic_psf")


def cells(viewer: napari.Viewer) -> None:
    """Show before and after side by side."""
    viewer.open_sample("napari-deconv", "cells_widefield")
    run(viewer, "Deconvolution")
    viewer.canvas.grid.enabled = True
    show_only(viewer, "cells", "cells · RL 40")
    save(viewer, "deconvolution")


def main() -> None:
    """Make all screenshots."""
    IMAGES.mkdir(exist_ok=True)
    stories: list[Callable[[napari.Viewer], None]] = [beads, synthetic, cells]
    for story in stories:
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 800)
        wait(1)
        story(viewer)
        viewer.close()


if __name__ == "__main__":
    main()
