"""Layers that do not fit into memory are refused before they are read; what is in view is not."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from comparing import settle
from large_cases import POINTS, UM
from napari.settings import get_plugin_settings
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_deconv import set_limits

pytestmark = pytest.mark.usefixtures("dask_in_place")

WIDGETS = (
    "Background subtraction", "Bead detection", "PSF distilling", "Convolve",
    "Simulate acquisition", "PSF quality", "Compare",
)  # fmt: skip


@pytest.fixture
def little_memory(monkeypatch):
    """Less than the image needs, and more than a plane with what lies around it."""
    monkeypatch.setattr(get_plugin_settings("napari-deconv").compute, "memory", 0.003)
    yield
    set_limits()


@pytest.fixture
def stored(bead_image):
    """The beads, of which each plane that is read is noted."""
    planes = []

    def plane(block_info=None):
        number = block_info[None]["chunk-location"][0]
        planes.append(number)
        return bead_image[number : number + 1]

    lazy = da.map_blocks(plane, chunks=((1,) * 24, (72,), (72,)), dtype=bead_image.dtype)
    return lazy, planes


def read_all(planes):
    return set(planes) == set(range(24))


@pytest.mark.parametrize("title", WIDGETS)
def test_a_layer_that_does_not_fit_is_refused_unread(
    viewer, open_widget, little_memory, stored, title
):
    lazy, planes = stored
    viewer.add_image(POINTS, name="PSF", **UM)
    layer = viewer.add_image(lazy, name="cells", contrast_limits=(0, 2000), **UM)
    hand = open_widget(title)
    hand.widget.image.value = layer
    if title == "Compare":
        hand.widget.fields.measure.value = "spectrum"
        settle(hand.widget)
    planes.clear()
    hand.run()
    line = hand.widget.result_line.text()
    assert line.startswith("“cells” does not fit into memory: 24 × 72 × 72 voxels take some 5.0 MB")
    assert line.endswith("there is room for 3.0 MB. Crop it.")
    assert not planes
    assert len(viewer.layers) == 2

    get_plugin_settings("napari-deconv").compute.memory = 0
    if title in ("Background subtraction", "Convolve"):
        hand.run()
        assert read_all(planes)
        assert len(viewer.layers) == 3


def test_a_coarser_resolution_fits(viewer, open_widget, little_memory, bead_image):
    lazy = da.from_array(bead_image, chunks=(8, 36, 36))
    layer = viewer.add_image([lazy, lazy[:, ::2, ::2]], name="cells", multiscale=True, **UM)
    hand = open_widget("Background subtraction")
    hand.run()
    assert hand.widget.result_line.text().endswith("Crop it, or choose a coarser resolution.")
    layer.locked_data_level = 1
    hand.widget.resolution.value = "shown"
    hand.run()
    assert viewer.layers[-1].data.shape == (24, 36, 36)


def test_a_layer_in_memory_is_taken_as_it_is(viewer, open_widget, little_memory, bead_image):
    viewer.add_image(bead_image, name="cells", **UM)
    open_widget("Background subtraction").run()
    assert viewer.layers[-1].name == "cells · background"


def test_projections_of_one_that_does_not_fit_are_refused(
    viewer, open_widget, little_memory, stored
):
    lazy, planes = stored
    for name in ("first", "second"):
        viewer.add_image(lazy, name=name, contrast_limits=(0, 2000), **UM)
    widget = open_widget("Compare").widget
    widget.image.value, widget.after.value = viewer.layers
    settle(widget)
    planes.clear()
    widget.fields.view.value = "projections"
    settle(widget)
    assert "“first” does not fit into memory" in widget.result_line.text()
    assert not read_all(planes)


def test_the_preview_goes_on(qtbot, viewer, open_widget, little_memory, stored):
    lazy, planes = stored
    viewer.add_image(lazy, name="cells", contrast_limits=(0, 2000), **UM)
    widget = open_widget("Background subtraction").widget
    widget.method.value, widget.radius.value = "rolling_ball", 0.8
    planes.clear()
    widget.preview.box.value = True
    shown = lambda: "Preview · background" in viewer.layers  # noqa: E731
    qtbot.waitUntil(shown, timeout=10_000)
    assert planes
    assert not read_all(planes)
    assert "does not fit" not in widget.preview.note.text()
    assert QThreadPool.globalInstance().waitForDone(10_000)
    QApplication.processEvents()
    np.testing.assert_array_equal(viewer.layers["Preview · background"].data.shape[-2:], (72, 72))
