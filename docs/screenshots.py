"""Make the screenshots of the documentation: every widget on a sample, light and dark.

It needs a display: ``xvfb-run -a -s "-screen 0 1600x1200x24" python docs/screenshots.py``, with
names of `SHOTS` behind it for these only. A file is called ``NAME-light.png`` or ``NAME-dark.png``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import napari
import numpy as np
from napari.settings import get_plugin_settings
from PIL import Image
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from napari_deconv.files import write_image

IMAGES = Path(__file__).parent / "images"
SIZE = (1280, 800)
FILES = tempfile.TemporaryDirectory()


def wait(seconds: float) -> None:
    """Let the window work and draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def run(viewer: napari.Viewer, title: str, **fields: object) -> QWidget:
    """Open a widget in place of the others, set some fields, run it to the end."""
    widget = show(viewer, title, **fields)
    widget.run_button.click()
    finish(widget)
    return widget


def finish(widget: QWidget) -> None:
    """Wait for the end of a run."""
    while widget.run_button.text() != "Run":
        wait(0.1)


def show(viewer: napari.Viewer, title: str, **fields: object) -> QWidget:
    """Open a widget in place of the others, and set some fields."""
    viewer.window.remove_dock_widget("all")
    _, widget = viewer.window.add_plugin_dock_widget("napari-deconv", title)
    wait(0.5)
    for name, value in fields.items():
        getattr(widget, name).value = value
    wait(0.5)
    return widget


def only(viewer: napari.Viewer, *names: str, grid: bool = False) -> None:
    """Show these layers and no others, on each other or side by side."""
    for layer in viewer.layers:
        layer.visible = layer.name in names
    viewer.canvas.grid.enabled = grid


def background(viewer: napari.Viewer) -> None:
    """Show beads before and after."""
    run(viewer, "Background subtraction", method="rolling_ball")
    only(viewer, "beads", "beads · background", grid=True)


def beads(viewer: napari.Viewer) -> None:
    """Find beads, and unfold the rules."""
    widget = show(viewer, "Bead detection", bead_diameter=0.1)
    widget.preview.box.value = False  # unfolding More would show it again, over the result
    widget.run_button.click()
    finish(widget)
    widget.more_button.click()


def distilling(viewer: napari.Viewer) -> None:
    """Make a PSF of the beads that are found."""
    run(viewer, "Bead detection", bead_diameter=0.1)
    run(viewer, "PSF distilling", bead_diameter=0.1)


def psf_quality(viewer: napari.Viewer) -> None:
    """Measure the PSF of the beads."""
    distilling(viewer)
    run(viewer, "PSF quality")


def synthetic_psf(viewer: napari.Viewer) -> None:
    """Compute a PSF, all fields shown."""
    run(viewer, "Synthetic PSF").more_button.click()


def preview(viewer: napari.Viewer) -> None:
    """Look at settings before a run."""
    show(viewer, "Deconvolution").more_button.click()
    wait(5)


def deconvolution(viewer: napari.Viewer) -> None:
    """Deconvolve."""
    run(viewer, "Deconvolution")
    only(viewer, "cells", "cells · RL 40", grid=True)


def running(viewer: napari.Viewer) -> None:
    """Look at a run on its way."""
    widget = show(viewer, "Deconvolution")
    widget.run_button.click()
    while widget.progress_bar.value() < 20 and widget.run_button.text() != "Run":
        wait(0.05)


def large(viewer: napari.Viewer) -> None:
    """Look at all of a file being deconvolved in tiles."""
    cells, psf = viewer.layers["cells"], viewer.layers["PSF (cells, true)"]
    path = Path(FILES.name) / "tissue.ome.zarr"
    write_image(path, np.pad(cells.data, ((0, 0), (0, 512), (0, 512)), "reflect"), cells.scale)
    viewer.layers.clear()
    layer = viewer.open(path, plugin="napari")[0]
    layer.scale, layer.units = cells.scale, cells.units  # which this reader passes over
    layer.contrast_limits = cells.contrast_limits
    viewer.layers.insert(0, psf)
    viewer.layers.selection.active = layer
    viewer.dims.set_point(0, viewer.dims.range[0].stop / 2)
    get_plugin_settings("napari-deconv").compute.memory = 3.0
    widget = show(viewer, "Deconvolution")
    widget.settings.iterations.value = 10
    target = str(path.with_name("tissue_rl.ome.zarr"))
    with patch.object(QFileDialog, "getSaveFileName", return_value=(target, "")):
        widget.disk_button.click()
    while not widget.progress_bar.format().startswith("1/") or (
        "Writing" not in widget.result_line.text()
    ):
        wait(0.05)


def compare_split(viewer: napari.Viewer) -> None:
    """See before and after left and right of a divider, and their profiles."""
    run(viewer, "Deconvolution")
    fields = show(viewer, "Compare").fields
    fields.view.value, fields.measure.value = "split", "profile"
    wait(3)


def compare_projections(viewer: napari.Viewer) -> None:
    """See before and after from three sides, and the power spectra."""
    run(viewer, "Deconvolution")
    widget = show(viewer, "Compare")
    fields = widget.fields
    fields.view.value = "projections"
    wait(5)
    fields.measure.value = "spectrum"
    widget.run_button.click()
    wait(5)


def convolve(viewer: napari.Viewer) -> None:
    """Show what a PSF makes of the truth."""
    truth = next(layer for layer in viewer.layers if "truth" in layer.name)
    run(viewer, "Convolve", image=truth)
    only(viewer, viewer.layers[-1].name)


def simulate(viewer: napari.Viewer) -> None:
    """Record the truth with another camera."""
    run(viewer, "Simulate acquisition", photons=50).more_button.click()


SHOTS: dict[Callable[[napari.Viewer], None], str] = {
    background: "beads_widefield",
    beads: "beads_widefield",
    distilling: "beads_widefield",
    psf_quality: "beads_widefield",
    synthetic_psf: "cells_widefield",
    preview: "cells_widefield",
    running: "cells_widefield",
    large: "cells_widefield",
    deconvolution: "cells_widefield",
    compare_split: "cells_widefield",
    compare_projections: "cells_widefield",
    convolve: "cells_widefield",
    simulate: "cells_widefield",
}
"""What is done before the window is photographed, and the sample that is open."""


def save(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window."""
    wait(2)
    window = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
    window.quantize(192, Image.Quantize.MAXCOVERAGE).save(IMAGES / f"{name}.png", optimize=True)


def take(act: Callable[[napari.Viewer], None], sample: str) -> None:
    """Take a picture in either theme."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(*SIZE)
    wait(1)
    viewer.open_sample("napari-deconv", sample)
    act(viewer)
    viewer.reset_view()
    for theme in ("light", "dark"):
        viewer.theme = theme
        save(viewer, f"{act.__name__}-{theme}")
    viewer.window.remove_dock_widget("all")
    wait(3)  # a run that is going on ends after its step
    viewer.close()


def main(names: list[str]) -> None:
    """Take the pictures of these names, or all, each in a fresh napari with its own settings."""
    if len(names) == 1:
        for act in SHOTS:
            if act.__name__ in names:
                take(act, SHOTS[act])
        return
    for name in names or [act.__name__ for act in SHOTS]:
        with tempfile.TemporaryDirectory() as folder:
            settings = {"NAPARI_CONFIG": f"{folder}/settings.yaml"}
            subprocess.run([sys.executable, __file__, name], check=True, env=os.environ | settings)


if __name__ == "__main__":
    main(sys.argv[1:])
