"""Layers and windows that change while a widget works on them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hand import SPACING, Hand, blob
from kinds import KINDS, NAME, STACK
from napari.settings import get_plugin_settings
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_deconv import Psf, convolve, deconvolve
from napari_deconv.widgets.common.layers import KEY

pytestmark = pytest.mark.usefixtures("dask_in_place")

UM = {"scale": SPACING, "units": ("µm",) * 3}
POINTS = blob((9, 11, 11), (4, 5, 5)).astype(np.float32)
TITLES = ["Background subtraction", "Deconvolution", "Convolve", "Bead detection", "PSF distilling"]
OTHERS = ["PSF quality", "Simulate acquisition", "Synthetic PSF", "Compare"]


@pytest.fixture
def image(viewer):
    viewer.add_image(POINTS, name="PSF", **UM)
    return viewer.add_image(STACK.copy(), name=NAME, **UM)


@pytest.fixture
def held(monkeypatch):
    """Hold every operation before its first step until the event is set."""
    from napari_deconv.widgets.common.workers import Task

    go, call = threading.Event(), Task.__call__

    def hold(self, callback):
        assert go.wait(20)
        return call(self, callback)

    monkeypatch.setattr(Task, "__call__", hold)
    return go


def test_a_layer_renamed_while_it_is_worked_on(viewer, image, open_widget, held):
    hand = open_widget("Convolve")
    hand.click()
    image.name = "mitochondria"
    held.set()
    hand.wait()
    result = viewer.layers[-1]
    assert result.name == "mitochondria · blurred"
    np.testing.assert_array_equal(result.data, convolve(STACK, Psf(POINTS, SPACING)))


@pytest.mark.parametrize("title", TITLES)
def test_layers_deleted_while_they_are_worked_on(viewer, image, open_widget, held, said, title):
    hand = open_widget(title)
    hand.click()
    viewer.layers.clear()
    held.set()
    hand.wait()
    assert not [text for text in said() if "failed" in text]
    assert len(viewer.layers) == 1
    assert NAME in viewer.layers[0].name
    assert viewer.layers[0].metadata[KEY]["source"] == NAME


def test_each_window_gets_its_own_results(qtbot, make_napari_viewer, held):
    hands = []
    for name in ("first", "second"):
        viewer = make_napari_viewer()
        viewer.add_image(POINTS, name="PSF", **UM)
        viewer.add_image(STACK.copy(), name=name, **UM)
        dock, widget = viewer.window.add_plugin_dock_widget("napari-deconv", "Convolve")
        hands.append((viewer, Hand(qtbot, dock, widget)))
    for _, hand in hands:
        hand.click()
    held.set()
    for _, hand in hands:
        hand.wait()
    for (viewer, hand), name in zip(hands, ("first", "second"), strict=True):
        assert [layer.name for layer in viewer.layers] == ["PSF", name, f"{name} · blurred"]
        assert all(layer is None or layer in viewer.layers for layer in hand.widget.image.choices)


@pytest.mark.parametrize("title", ["Deconvolution", "Convolve"])
def test_data_replaced_while_they_are_worked_on(viewer, image, open_widget, held, title):
    """What was there when Run was clicked is what is computed."""
    hand = open_widget(title)
    if title == "Deconvolution":
        hand.widget.settings.iterations.value = 3
        hand.widget.settings.stop.value = None
    hand.click()
    image.data = np.zeros((5, 12, 14), np.float32)
    held.set()
    hand.wait()
    psf = Psf(POINTS, SPACING)
    expected = (
        convolve(STACK, psf)
        if title == "Convolve"
        else deconvolve(STACK, psf, spacing=SPACING, iterations=3, levels="auto").image
    )
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.data, expected)
    np.testing.assert_array_equal(result.scale, SPACING)


def test_a_pyramid_whose_data_are_replaced(viewer, image, open_widget, held):
    kind = KINDS["pyramid, as shown"]
    layer = kind.add(viewer)
    layer.locked_data_level = 1
    hand = open_widget("Background subtraction")
    hand.widget.resolution.value = "shown"
    hand.click()
    layer.data = [STACK[:, :20, :20], STACK[:, :20:4, :20:4]]
    held.set()
    hand.wait()
    result = viewer.layers[-1]
    assert result.data.shape == kind.taken.shape
    np.testing.assert_allclose(result.scale, kind.spacing)


def test_of_two_runs_at_once_the_second_waits(viewer, image, open_widget, held):
    first, second = open_widget("Convolve"), open_widget("Deconvolution")
    second.widget.settings.iterations.value = 3
    second.widget.settings.stop.value = None
    first.click()
    first.qtbot.waitUntil(lambda: first.widget.result_line.text() == "")
    first.qtbot.wait(100)
    second.click()
    assert second.widget.result_line.text() == "Waiting for the other run …"
    held.set()
    first.wait()
    second.wait()
    psf = Psf(POINTS, SPACING)
    np.testing.assert_array_equal(viewer.layers[f"{NAME} · blurred"].data, convolve(STACK, psf))
    expected = deconvolve(STACK, psf, spacing=SPACING, iterations=3, levels="auto").image
    np.testing.assert_array_equal(viewer.layers[f"{NAME} · RL 3"].data, expected)


def test_a_run_that_waits_is_cancelled_at_once(viewer, image, open_widget, held):
    first, second = open_widget("Convolve"), open_widget("Deconvolution")
    first.click()
    first.qtbot.waitUntil(lambda: first.widget.result_line.text() == "")
    second.click()
    second.qtbot.wait(100)
    second.click()
    second.wait()
    assert second.widget.result_line.text() == "Cancelled."
    assert first.widget.run_button.text() == "Cancel"
    held.set()
    first.wait()
    assert viewer.layers[-1].name == f"{NAME} · blurred"


def test_a_preview_says_that_it_waits(viewer, image, open_widget, held):
    run, hand = open_widget("Convolve"), open_widget("Background subtraction")
    run.click()
    run.qtbot.waitUntil(lambda: run.widget.result_line.text() == "")
    note = hand.widget.preview.note
    hand.widget.preview.box.value = True
    hand.qtbot.waitUntil(lambda: note.text() == "The preview waits for another run to end.")
    held.set()
    hand.qtbot.waitUntil(lambda: note.text().startswith("Of "), timeout=10_000)
    run.wait()


def test_a_window_is_closed_while_a_preview_is_made(qtbot, make_napari_viewer, held, said):
    gone, stays = make_napari_viewer(), make_napari_viewer()
    gone.add_image(STACK, name=NAME, **UM)
    gone.window.add_plugin_dock_widget("napari-deconv", "Background subtraction")
    qtbot.wait(200)  # it has begun
    gone.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    held.set()
    qtbot.wait(300)
    assert not said()
    assert len(stays.layers) == 0


@pytest.mark.parametrize("title", OTHERS)
def test_the_others_are_cancelled_and_lose_their_layers(
    viewer, image, open_widget, held, said, title
):
    hand = open_widget(title)
    if title == "Compare":
        hand.widget.fields.measure.value = "spectrum"
    before = list(viewer.layers)
    hand.click()
    hand.click()
    held.set()
    hand.wait()
    assert hand.widget.result_line.text() == "Cancelled."
    assert list(viewer.layers) == before
    held.clear()
    hand.click()
    viewer.layers.clear()
    held.set()
    hand.wait()
    assert hand.widget.result_line.text() not in ("", "Cancelled.", *said())


@pytest.mark.parametrize("title", [*TITLES, *OTHERS])
def test_the_window_is_closed_while_it_runs(viewer, image, open_widget, held, said, title):
    hand = open_widget(title)
    if title == "Compare":
        hand.widget.fields.measure.value = "spectrum"
    else:
        hand.widget.image.changed.emit(hand.widget.image.value)
    if getattr(hand.widget, "preview", None) is not None:
        hand.widget.preview.box.value = True
    hand.click()
    viewer.close()
    held.set()
    hand.qtbot.wait(200)  # `no_leaks` sees to the threads
    assert not said()


@pytest.mark.parametrize("title", ["Background subtraction", "Bead detection", "Deconvolution"])
@pytest.mark.parametrize(
    "name",
    [
        "t, y, x",
        "pyramid, as shown",
        "affine",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in KINDS
            if name not in ("t, y, x", "pyramid, as shown", "affine")
        ),
    ],
)
def test_the_preview_lies_where_the_voxels_are(viewer, open_widget, said, monkeypatch, title, name):
    kind = KINDS[name]
    monkeypatch.setattr(get_plugin_settings("napari-deconv").layers, "unit", kind.unit)
    points = POINTS if kind.space == 3 else POINTS[4]
    viewer.add_image(points, name="PSF", scale=SPACING[-kind.space :], units=("µm",) * kind.space)
    layer = kind.add(viewer)
    if kind.resolution == "shown":
        layer.locked_data_level = 1
    viewer.reset_view()
    hand = open_widget(title)
    widget = hand.widget
    widget.resolution.value = kind.resolution
    if kind.typed:
        widget.voxel_size.field.value = kind.typed
    widget.preview.box.value = True

    def settled():
        shown = [each for each in viewer.layers if each.name.startswith("Preview")]
        return bool(shown or widget.preview.note.text()) and widget.preview._worker is None

    hand.qtbot.waitUntil(settled, timeout=20_000)
    note = widget.preview.note.text()
    refused = note.startswith("No preview")
    shown = [each for each in viewer.layers if each.name.startswith("Preview")]
    assert bool(shown) != refused
    if refused:
        assert title == "Bead detection", note
        assert "split it" in note or "No bead" in note
    else:
        assert np.all(shown[0].units == layer.units)
        inside = shown[0].extent.world - layer.extent.world
        assert np.all(inside[0] >= -1e-6)
        assert np.all(inside[1] <= 1e-6)
        place = layer.world_to_data(shown[0].data_to_world((0,) * shown[0].ndim))
        np.testing.assert_allclose(place / kind.factors, np.round(place / kind.factors), atol=1e-6)
    assert not [text for text in said() if "Inconsistent units" not in text]  # of the PSF: napari's
