"""Layers to compare, and what is seen of them."""

from __future__ import annotations

import dask.array as da
import numpy as np
from hand import SPACING
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_deconv.widgets.common.layers import provenance, role

SHAPE = (6, 40, 50)
UNITS = ("µm",) * 3
VIEWS = ("beside", "split", "blink", "projections")


def volume(seed, shape=SHAPE):
    return np.random.default_rng(seed).gamma(2, 50, shape).astype(np.float32)


def add(viewer, name, data, kind=None, source=None, **options):
    options = {"scale": SPACING, "units": UNITS, "rgb": False} | options
    metadata = {} if kind is None else provenance({}, kind, source)
    return viewer.add_image(data, name=name, metadata=metadata, **options)


def settle(widget):
    """Let timers of 0 ms come, and the worker end."""
    for _ in range(5):
        QApplication.processEvents()
    while widget._worker is not None or widget._projecting is not None:
        QTest.qWait(10)
    QApplication.processEvents()


def look(widget, **fields):
    for name, value in fields.items():
        getattr(widget.fields, name).value = value
    settle(widget)


def state(viewer):
    """What of the viewer has to be as before."""
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    return (
        [(layer, layer.name, layer.visible, layer.name_overlay.visible) for layer in viewer.layers],
        set(viewer.layers.selection),
        (grid.enabled, grid.stride, grid.shape, grid.spacing),
        (tuple(camera.center), camera.zoom, camera.mouse_pan),
        (viewer.dims.point, viewer.dims.order, viewer.dims.range),
        len(viewer.mouse_drag_callbacks),
    )


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


def temporary(viewer):
    return [layer for layer in viewer.layers if role(layer) == "aside"]


def turned(angle):
    return {"rotate": np.array([[1, 0, 0], *np.c_[np.zeros(2), rotation(angle)]])}


def rotation(degrees):
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


KINDS = {
    "plane": lambda: (volume(1, (40, 50)), {"scale": SPACING[1:], "units": UNITS[1:]}),
    "series": lambda: (
        volume(1, (3, *SHAPE)),
        {"scale": (1, *SPACING), "units": ("s", *UNITS), "axis_labels": ("t", "z", "y", "x")},
    ),
    "dask": lambda: (da.from_array(volume(1), chunks=(1, 20, 20)), {}),
    "multiscale": lambda: (
        [volume(1, (6, 64, 64)), volume(2, (6, 32, 32)), volume(3, (6, 16, 16))],
        {"multiscale": True},
    ),
    "rotated": lambda: (volume(1), turned(90)),
    "affine": lambda: (volume(1), {"affine": np.diag([1, 1.2, -0.8, 1])}),
    "integers": lambda: (volume(1).astype(np.uint16), {}),
    "nanometres": lambda: (volume(1), {"scale": np.multiply(SPACING, 1000), "units": ("nm",) * 3}),
    "pixels": lambda: (volume(1), {"scale": (1, 1, 1), "units": ("pixel",) * 3}),
    "coarse": lambda: (volume(1, (3, 20, 25)), {"scale": np.multiply(SPACING, 2)}),
    "rgb": lambda: (volume(1, (40, 50, 3)).astype(np.uint8), {"rgb": True, "scale": (0.1, 0.1)}),
}
