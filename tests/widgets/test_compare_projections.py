"""Compare: projections of a series, and at several resolutions."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from comparing import KINDS, SHAPE, add, look, settle, volume
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_deconv.errors import DeconvError
from napari_deconv.widgets.compare import measures

pytestmark = pytest.mark.usefixtures("quick_collection")


@pytest.fixture
def series(viewer):
    """Two series of three volumes."""
    data, options = KINDS["series"]()
    first = add(viewer, "first", data, **options)
    return first, add(viewer, "second", 2 * data, "result", first, **options)


@pytest.fixture
def pyramids(viewer):
    """Two pyramids, of which the middle resolution is on the screen."""
    data = [volume(seed, (8, size, size)) for seed, size in enumerate((64, 32, 16))]
    first = add(viewer, "first", data, multiscale=True)
    doubled = [2 * level for level in data]
    second = add(viewer, "second", doubled, "result", first, multiscale=True)
    for layer in (first, second):
        layer.locked_data_level = 1
    return first, second


@pytest.fixture
def slow(monkeypatch):
    """Hold each projection up until it is let go; tells the times of those that were made."""
    project, go = measures.project, threading.Semaphore(0)
    go.times = []

    def wait(images, *, callback):
        go.times.append(images[0][1].box[0].start)
        go.acquire()
        return project(images, callback=callback)

    monkeypatch.setattr(measures, "project", wait)
    yield go
    go.release(100)


def montages(viewer):
    return {
        layer.name.removesuffix(" · projections"): np.asarray(layer.data)[(0,) * (layer.ndim - 2)]
        for layer in viewer.layers
        if layer.visible
    }


def lateral(layer, *place):
    return np.asarray(layer.data[place]).max(0)


def test_they_follow_new_voxels(qtbot, viewer, open_widget, series, slow):
    first, second = series
    widget = open_widget("Compare").widget
    slow.release(1)
    look(widget, view="projections")
    first.data = first.data + 7
    qtbot.waitUntil(lambda: len(slow.times) == 2)  # one is on its way when the next voxels come
    second.data = 100 * second.data[::-1]
    slow.release(2)
    settle(widget)
    time = viewer.dims.current_step[0]
    for layer in series:
        montage = montages(viewer)[layer.name]
        np.testing.assert_array_equal(montage[: SHAPE[1], : SHAPE[2]], lateral(layer, time))
        limits = viewer.layers[f"{layer.name} · projections"].contrast_limits
        np.testing.assert_allclose(limits, np.percentile(montage, (0.5, 99.9)), rtol=1e-5)


def test_other_voxels_have_other_contrast_unless_the_user_has_set_it(viewer, open_widget, series):
    widget = open_widget("Compare").widget
    look(widget, view="projections")
    shown = {layer.name: layer for layer in viewer.layers if layer.visible}
    before = {name: layer.contrast_limits for name, layer in shown.items()}
    shown["second · projections"].contrast_limits = 0, 10
    for layer in series:
        layer.data = 100 * layer.data
    settle(widget)
    limits = shown["first · projections"].contrast_limits
    np.testing.assert_allclose(limits, 100 * np.array(before["first · projections"]), rtol=1e-5)
    assert shown["second · projections"].contrast_limits == [0, 10]


def test_they_follow_the_slider_of_a_series(viewer, open_widget, series):
    widget = open_widget("Compare").widget
    look(widget, view="projections")
    for time in (0, 2, 1, 0):
        viewer.dims.set_current_step(0, time)
        settle(widget)
        for layer in series:
            there = montages(viewer)[layer.name][: SHAPE[1], : SHAPE[2]]
            np.testing.assert_array_equal(there, lateral(layer, time))
    look(widget, view="none")
    viewer.dims.set_current_step(0, 2)
    look(widget, view="projections")
    there = montages(viewer)["second"][: SHAPE[1], : SHAPE[2]]
    np.testing.assert_array_equal(there, lateral(series[1], 2))


def test_the_window_goes_on_meanwhile_and_the_last_step_counts(viewer, open_widget, series, slow):
    widget = open_widget("Compare").widget
    viewer.dims.set_current_step(0, 0)
    slow.release()
    look(widget, view="projections")
    for time in (1, 2, 0, 2):
        viewer.dims.set_current_step(0, time)
        QApplication.processEvents()
        there = montages(viewer)["first"][: SHAPE[1], : SHAPE[2]]
        np.testing.assert_array_equal(there, lateral(series[0], 0))  # as long as it takes
    slow.release(2)
    settle(widget)
    assert slow.times == [0, 1, 2]
    there = montages(viewer)["first"][: SHAPE[1], : SHAPE[2]]
    np.testing.assert_array_equal(there, lateral(series[0], 2))


def test_a_plane_of_the_same_volume_changes_nothing(viewer, open_widget, series, slow):
    widget = open_widget("Compare").widget
    slow.release()
    look(widget, view="projections")
    viewer.dims.set_current_step(1, 4)
    settle(widget)  # nothing is made: it would wait for ever
    assert set(montages(viewer)) == {"first", "second"}


def test_what_comes_after_the_view_is_left_is_dropped(viewer, open_widget, series, slow):
    hand = open_widget("Compare")
    hand.widget.fields.view.value = "projections"
    QTest.qWait(50)
    hand.widget.fields.view.value = "beside"
    QTest.qWait(50)
    slow.release()
    settle(hand.widget)
    assert set(montages(viewer)) == {"first (compare)", "second (compare)"}
    viewer.dims.set_current_step(0, 1)
    look(hand.widget, view="none")
    hand.widget.fields.view.value = "projections"
    QTest.qWait(50)
    viewer.window.remove_dock_widget(hand.dock)
    slow.release()
    settle(hand.widget)
    assert [layer.name for layer in viewer.layers] == ["first", "second"]


def test_an_error_is_said_once(viewer, open_widget, series, said, monkeypatch):
    def fail(images, *, callback):
        raise DeconvError("not these")

    monkeypatch.setattr(measures, "project", fail)
    widget = open_widget("Compare").widget
    look(widget, view="projections")
    assert widget.result_line.text() == "not these"
    assert said() == ["not these"]


# -- several resolutions -------------------------------------------------------------------------
def test_projections_are_of_the_resolution_that_is_chosen(viewer, open_widget, pyramids):
    widget = open_widget("Compare").widget
    for choice, level, line in (
        ("full", 0, "“first” at full resolution. “second” at full resolution."),
        ("shown", 1, "“first” at resolution level 1, as shown. “second” at resolution level 1, "),
        ("full", 0, "“first” at full resolution. “second” at full resolution."),
    ):
        widget.resolution.value = choice
        look(widget, view="projections")
        for layer in pyramids:
            there, shape = montages(viewer)[layer.name], layer.data[level].shape
            np.testing.assert_array_equal(there[: shape[1], : shape[2]], layer.data[level].max(0))
        scale = viewer.layers["first · projections"].scale[-2:]
        np.testing.assert_allclose(scale, pyramids[0].scale[-2:] * 2**level)
        assert line in widget.result_line.text()


def test_measures_are_of_the_resolution_that_is_chosen(viewer, open_widget, pyramids):
    hand = open_widget("Compare")
    widget = hand.widget
    look(widget, measure="spectrum")
    ends = {}
    for choice, line in (("full", "at full resolution"), ("shown", "at resolution level 1")):
        widget.resolution.value = choice
        hand.run()
        ends[choice] = widget.plot._curves[0].x[-1]
        for layer in pyramids:
            assert f"“{layer.name}” {line}" in widget.result_line.text()
    assert ends["full"] == pytest.approx(2 * ends["shown"])  # half the voxels, half the limit


def test_the_resolution_is_asked_for_where_it_counts(viewer, open_widget, pyramids):
    widget = open_widget("Compare").widget
    asked = {}
    for measure in ("none", "profile", "spectrum", "pair", "residual"):
        look(widget, measure=measure)
        asked[measure] = widget.resolution.native.isVisibleTo(widget)
    assert asked == {
        "none": False, "profile": False, "spectrum": True, "pair": True, "residual": True,
    }  # fmt: skip
    look(widget, measure="none", view="projections")
    assert widget.resolution.native.isVisibleTo(widget)
    look(widget, view="none", measure="spectrum")
    viewer.add_image(volume(1), name="plain")
    widget.image.value = widget.after.value = viewer.layers["plain"]
    assert not widget.resolution.native.isVisibleTo(widget)
    widget.after.value = pyramids[1]
    assert widget.resolution.native.isVisibleTo(widget)
