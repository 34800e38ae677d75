"""Compare: two layers with a divider between them, and what is dragged."""

from __future__ import annotations

import numpy as np
import pytest
from comparing import KINDS, add, look, turned, volume
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

pytestmark = pytest.mark.usefixtures("quick_collection", "dask_in_place")


def seen_from(layer, point):
    """The value of a layer at a place in the world, None outside."""
    return layer.get_value(point, world=True) if layer.visible else None


def check_sides(viewer, widget, at):
    """Left of the divider is the first layer, right of it the second, and nothing twice."""
    left, right = (picture.layer for picture in widget._now.pictures)
    middle = viewer.dims.point
    for x in np.arange(0.03, 4.9, 0.2):
        if abs(x - at) < 0.06:
            continue
        point = (middle[0], 2.0, x)
        own = (left, right) if x < at else (right, left)
        source = widget._now.pictures[0 if x < at else 1].source
        index = tuple(np.rint(source.world_to_data(point)).astype(int))
        assert seen_from(own[0], point) == source.data[index], x
        assert seen_from(own[1], point) is None, x


def test_each_side_shows_its_layer_where_it_lies(viewer, compare):
    for place in (0.0, 0.3, 0.5, 1.0):
        look(compare, view="split", divider=place)
        check_sides(viewer, compare, -0.05 + 5.0 * place)


def test_the_divider_lies_between_the_sides(viewer, compare):
    look(compare, view="split", divider=0.3)
    line = viewer.layers["Divider (compare)"]
    ends = np.array([line.data_to_world(end) for end in line.data[0]])
    np.testing.assert_allclose(ends[:, 2], -0.05 + 5.0 * 0.3)
    np.testing.assert_allclose(sorted(ends[:, 1]), (-0.05, 3.95))


def canvas_point(viewer, world):
    """Where in the canvas a point (y, x) of the world is."""
    camera = viewer.scene.camera
    size = np.array(viewer.canvas.size)
    y, x = (np.array(world) - np.array(camera.center)[-2:]) * camera.zoom + size / 2
    return QPoint(round(x), round(y))


def drag(viewer, start, end):
    """Drag with the mouse in the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    first, last = canvas_point(viewer, start), canvas_point(viewer, end)
    QTest.mouseMove(native, first)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=first)
    for share in (0.25, 0.5, 0.75, 1.0):
        QTest.mouseMove(native, first + (last - first) * share)
        QApplication.processEvents()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=last)
    QApplication.processEvents()


@pytest.fixture
def real(make_napari_viewer, qtbot):
    """A viewer that is shown, with a pair of layers and the widget."""
    viewer = make_napari_viewer(show=True)
    cells = add(viewer, "cells", volume(1))
    add(viewer, "cells · RL", volume(3), "result", cells)
    _, widget = viewer.window.add_plugin_dock_widget("napari-deconv", "Compare")
    qtbot.wait(300)
    return viewer, widget


@pytest.mark.filterwarnings("ignore:.*qt_viewer.*")
def test_the_divider_and_the_profile_are_dragged_in_the_canvas(real):
    viewer, widget = real
    look(widget, view="split")
    centre = tuple(viewer.scene.camera.center)
    drag(viewer, (2.0, 2.45), (2.0, 3.95))
    assert widget.fields.divider.value == pytest.approx(0.8, abs=0.03)
    assert tuple(viewer.scene.camera.center) == centre  # the picture stays
    drag(viewer, (2.0, 1.0), (2.0, 2.0))  # far from the divider: the picture moves
    assert widget.fields.divider.value == pytest.approx(0.8, abs=0.03)
    assert tuple(viewer.scene.camera.center) != centre
    assert viewer.scene.camera.mouse_pan
    viewer.reset_view()
    look(widget, view="none", measure="profile")
    start, end = widget._now.profile.ends
    drag(viewer, end[1:], (3.0, 4.0))
    np.testing.assert_allclose(widget._now.profile.ends[0], start, atol=1e-6)
    np.testing.assert_allclose(widget._now.profile.ends[1][1:], (3.0, 4.0), atol=0.05)


QUARTERS = [90, *(pytest.param(angle, marks=pytest.mark.slow) for angle in (180, 270))]


@pytest.mark.parametrize("angle", QUARTERS)
def test_the_split_of_turned_layers_is_where_the_divider_is(viewer, open_widget, angle):
    first = add(viewer, "first", volume(1), **turned(angle))
    add(viewer, "second", volume(2), "result", first, **turned(angle))
    widget = open_widget("Compare").widget
    look(widget, view="split", divider=0.3)
    left, right = (picture.layer for picture in widget._now.pictures)
    low, high = np.array([layer.extent.world[:, 2] for layer in (left, right)])
    box = first.extent.world[:, 2]
    at = box[0] - 0.05 + 0.3 * (np.ptp(box) + 0.1)
    assert low[1] < at < high[0]
    np.testing.assert_allclose((low[0], high[1]), box, atol=1e-9)
    np.testing.assert_allclose(high[0] - low[1], 0.1)


def test_the_split_of_a_pyramid_keeps_its_levels_together(viewer, open_widget):
    data, options = KINDS["multiscale"]()
    first = add(viewer, "first", data, **options)
    add(viewer, "second", data, "result", first, **options)
    widget = open_widget("Compare").widget
    look(widget, view="split", divider=0.3)
    left, right = (picture.layer for picture in widget._now.pictures)
    for one, other, whole in zip(left.data, right.data, first.data, strict=True):
        assert one.shape[-1] + other.shape[-1] == whole.shape[-1]
        assert one.shape[-1] / whole.shape[-1] == left.data[0].shape[-1] / 64
        assert np.shares_memory(one, whole)
