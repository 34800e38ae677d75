"""What is left behind: nothing, after many runs, previews and docks."""

from __future__ import annotations

import ctypes
import gc
import platform
import threading
import tracemalloc
from collections import Counter

import numpy as np
import psutil
import pytest
from hand import SPACING
from napari.qt.threading import WorkerBase
from napari.utils.events import EmitterGroup
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication

from napari_deconv import list_devices

UM = {"scale": SPACING, "units": ("µm",) * 3}
_M_MMAP_THRESHOLD = -3  # of malloc.h
RUNS = 50
HISTORY = 20  # runs that a widget remembers
PART_OF_AN_IMAGE = 0.2 * 4 * 24 * 72 * 72  # bytes, in single precision

DEVICES = [device.key for device in list_devices()][::-1]
ENGINES = [device.engine for device in list_devices()][::-1]
WIDGETS = {
    "Background subtraction": {},
    "Bead detection": {},
    "PSF distilling": {"size": "9 × 13 × 13"},
    "Synthetic PSF": {"model": "gaussian", "size": "9 × 15 × 15"},
    "Deconvolution": {"settings.iterations": 3, "settings.stop": None},
    "PSF quality": {},
    "Convolve": {},
    "Simulate acquisition": {},
    "Compare": {"fields.measure": "spectrum"},
}
PREVIEWED = {
    "Background subtraction": ("percentile", (2, 3)),
    "Bead detection": ("bead_diameter", (0.12, 0.11)),
    "Synthetic PSF": ("fwhm_lateral", (0.3, 0.25)),
    "Deconvolution": ("settings.iterations", (4, 3)),
}


@pytest.fixture
def images(viewer, bead_image, psf_array):
    viewer.add_image(psf_array, name="PSF", **UM)
    viewer.add_image(bead_image, name="beads", **UM)
    return viewer


def find(widget, name):
    found = widget
    for part in name.split("."):
        found = getattr(found, part)
    return found


def left(viewer, widget):
    """Count what could be left behind."""
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    QApplication.processEvents()
    gc.collect()
    emitters = [viewer.layers.events, viewer.dims.events, viewer.scene.camera.events]
    emitters += [layer.events for layer in viewer.layers]
    ours = Counter(
        type(each).__name__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("napari_deconv.")
    )
    return {
        "threads": threading.active_count(),
        "layers": len(viewer.layers),
        "callbacks": sum(map(_callbacks, emitters)),
        "children": 0 if widget is None else len(widget.findChildren(QObject)),
        "windows": len(QApplication.topLevelWidgets()),
        "workers": len(WorkerBase._worker_set),
        **ours,
    }


def _callbacks(events: EmitterGroup) -> int:
    return len(events.callbacks) + sum(len(each.callbacks) for each in events.emitters.values())


def occupied(traced):
    """Count bytes: what Python has allocated, and all of the process, PoCL's buffers too."""
    return traced(), psutil.Process().memory_info().rss


def grown(before, after):
    return {name: (before.get(name, 0), n) for name, n in after.items() if n > before.get(name, 0)}


@pytest.fixture
def traced():
    """Follow what is allocated, arrays too: how many bytes there are.

    The GNU C library keeps what is freed, and the more of it the larger the arrays were: it is told
    to give larger ones back, else the memory of the process says nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        assert ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, 2**16)
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def set_fields(widget, device, fields):
    widget.device.choices = [(device, device)]
    for name, value in fields.items():
        find(widget, name).value = value


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES, ids=ENGINES)
@pytest.mark.parametrize("title", WIDGETS)
def test_runs_leave_nothing(images, open_widget, traced, title, device):
    hand = open_widget(title)
    set_fields(hand.widget, device, WIDGETS[title])
    inputs = set(images.layers)

    def run():
        hand.run()
        for layer in [layer for layer in images.layers if layer not in inputs]:
            images.layers.remove(layer)

    for _ in range(HISTORY):
        run()
    before, memory = left(images, hand.widget), occupied(traced)
    for _ in range(RUNS):
        run()
    more = grown(before, left(images, hand.widget))
    # napari's list of tasks, until its window closes
    assert {name: after - first for name, (first, after) in more.items()} == dict.fromkeys(
        ("Worker", "_Signals", "Task"), RUNS
    )
    assert np.all(np.subtract(occupied(traced), memory) < RUNS * PART_OF_AN_IMAGE)


@pytest.mark.parametrize(
    "title",
    [name if name == "Deconvolution" else pytest.param(name, marks=pytest.mark.slow)
     for name in PREVIEWED],
)  # fmt: skip
def test_previews_leave_nothing(images, open_widget, qtbot, traced, title):
    widget = open_widget(title).widget
    set_fields(widget, "cpu", WIDGETS[title])
    preview = widget.preview
    preview.box.value = True
    name, values = PREVIEWED[title]
    idle = lambda: not (preview._timer.isActive() or preview._turns._waiting or preview._worker)  # noqa: E731

    def move():
        for value in values:
            find(widget, name).value = value
            qtbot.waitUntil(idle, timeout=20_000)

    move()
    before, memory = left(images, widget), occupied(traced)
    for _ in range(RUNS // len(values)):
        move()
    assert grown(before, left(images, widget)) == {}
    assert np.all(np.subtract(occupied(traced), memory) < RUNS * PART_OF_AN_IMAGE)


@pytest.mark.parametrize("title", ["Deconvolution", "Compare"])
def test_docks_leave_nothing(images, open_widget, title, qtbot):
    def open_and_close():
        widget = open_widget(title).widget
        qtbot.wait(60)
        images.window.remove_dock_widget(widget)
        widget.deleteLater()

    open_and_close()
    before = left(images, None)
    for _ in range(20):
        open_and_close()
    assert grown(before, left(images, None)) == {}
