"""A real viewer, small images, nothing left behind."""

from __future__ import annotations

import gc
import threading
import time

import dask
import numpy as np
import pytest
from comparing import UNITS, add, volume
from hand import SPACING, Hand, blob
from large_cases import POINTS, PSF, RUN, UM
from napari.qt.threading import WorkerBase
from napari.settings import get_plugin_settings
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_deconv import plan_blocks, set_limits
from napari_deconv.files import write_image


def pytest_collection_modifyitems(items):
    for item in items:
        if "widgets" in item.path.parts:
            item.add_marker(pytest.mark.gui)


@pytest.fixture(scope="session")
def bead_image():
    """Nine beads, 2.4 µm apart, 0.80 × 0.30 × 0.30 µm wide, on a background of 100."""
    rng = np.random.default_rng(1)
    image = np.full((24, 72, 72), 100.0)
    for y in (12, 36, 60):
        for x in (12, 36, 60):
            centre = np.array([12, y, x]) + rng.uniform(-0.5, 0.5, 3)
            image += 2000 * blob(image.shape, centre)
    image = rng.poisson(image).astype(np.uint16)
    image.flags.writeable = False
    return image


@pytest.fixture(scope="session")
def psf_array():
    """The Gaussian of the beads."""
    return blob((13, 13, 13), (6, 6, 6)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_leaks():
    """No test leaves a thread or a worker behind."""
    before = set(threading.enumerate())
    yield
    assert QThreadPool.globalInstance().waitForDone(10_000)
    QApplication.processEvents()  # what workers said last
    new = {thread.name for thread in set(threading.enumerate()) - before if not thread.daemon}
    assert not {name for name in new if not name.startswith("napari-deconv_")}  # the engine's own
    assert not WorkerBase._worker_set


@pytest.fixture
def dask_in_place():
    """Let Dask work in the thread that asks, which can be seen, and start no others."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def said():
    """What has been notified since the test began."""
    notification_manager.records.clear()
    return lambda: [record.message for record in notification_manager.records]


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def open_widget(qtbot, viewer):
    def open_it(title):
        dock, widget = viewer.window.add_plugin_dock_widget("napari-deconv", title)
        preview = getattr(widget, "preview", None)
        if preview is not None:  # has tests of its own
            preview.box.value = False
        return Hand(qtbot, dock, widget)

    return open_it


@pytest.fixture
def slowly(monkeypatch):
    """Every step takes a while, so that there is time to cancel; gives what was reported."""
    from napari_deconv.widgets.common.workers import Worker

    report, reported = Worker._report, []

    def slow(self, progress):
        reported.append(progress)
        time.sleep(0.05)
        report(self, progress)

    monkeypatch.setattr(Worker, "_report", slow)
    return reported


# -- layers that are not in memory -----------------------------------------------------------------
@pytest.fixture
def memory(monkeypatch, bead_image):
    """Limit the memory so that the image has to be cut; gives the plan of its tiles."""
    monkeypatch.setattr(get_plugin_settings("napari-deconv").compute, "memory", 0.004)
    set_limits(memory=4e6)
    plan = plan_blocks(bead_image, PSF, **RUN)
    assert np.prod(plan.counts) >= 4
    yield plan
    set_limits()


@pytest.fixture
def ready(viewer, open_widget):
    """Open the widget on the PSF and the last layer, its settings those of `RUN`."""

    def get_ready():
        viewer.add_image(POINTS, name="PSF", visible=False, **UM)
        viewer.layers.move(len(viewer.layers) - 1, 0)
        hand = open_widget("Deconvolution")
        hand.widget.device.choices = [("cpu", "cpu")]
        hand.widget.settings.iterations.value = RUN["iterations"]
        hand.widget.settings.stop.value = None
        hand.widget.settings.coarse_start.value = False
        return hand

    return get_ready


@pytest.fixture
def to_disk(monkeypatch):
    """Click the button, give the name of a file, and wait for the end.

    Returns the name that was proposed, None if it was not asked for, and what was told.
    """

    def run(hand, path, *, wait=True):
        proposed, told = [], []
        given = lambda *given: proposed.append(given[2]) or (str(path), "")  # noqa: E731
        monkeypatch.setattr(QFileDialog, "getSaveFileName", given)
        hand.widget.disk_button.told.connect(told.append)
        hand.widget.disk_button.click()
        if wait:
            hand.wait()
            hand.qtbot.wait(50)  # the layer comes in a turn of its own
        return proposed[0] if proposed else None, told

    return run


@pytest.fixture
def cells(viewer, bead_image, tmp_path):
    """A file of others, opened by napari's own reader."""
    path = tmp_path / "cells.ome.zarr"
    write_image(path, bead_image, SPACING)
    return viewer.open(str(path), plugin="napari")[0]


# -- layers to compare -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def quick_collection():
    """Leave out of each collection what is there before: napari collects with every removal."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def pair(viewer):
    """An image, its result, points, and a hidden layer."""
    cells = add(viewer, "cells", volume(1))
    add(viewer, "other", volume(2))
    viewer.add_points(np.ones((3, 3)), name="beads", units=UNITS)
    result = add(viewer, "cells · RL", volume(3), "result", cells)
    viewer.layers["other"].visible = False
    viewer.layers.selection.active = viewer.layers["beads"]
    return cells, result


@pytest.fixture
def compare(open_widget, pair):
    return open_widget("Compare").widget
