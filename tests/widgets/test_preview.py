"""Previews: what they show, that they follow, that nothing of them stays."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
from hand import SPACING, Hand
from qtpy.QtCore import QTimer

from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.beads import detect_beads, detection, threshold_beads
from napari_deconv.deconvolution import deconvolve
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.models import make_psf
from napari_deconv.widgets.common import workers
from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.common.results import in_sight

UM = {"scale": SPACING, "units": ("µm",) * 3, "translate": (1.0, 2.0, 3.0)}


@pytest.fixture
def settle(qtbot):
    """Wait until a widget's preview has shown what it has to show."""

    def wait(widget):
        preview = widget.preview

        def idle():
            waits = preview._timer.isActive() or preview._turns._waiting
            return not waits and preview._worker is None

        qtbot.waitUntil(idle, timeout=20_000)

    return wait


@pytest.fixture
def preview(open_widget, settle):
    """Open a widget with its preview switched on."""

    def open_it(title, **fields):
        widget = open_widget(title).widget
        for name, value in fields.items():
            getattr(widget, name).value = value
        widget.preview.box.value = True
        settle(widget)
        return widget

    return open_it


def aside(viewer):
    return {
        layer.name: layer
        for layer in viewer.layers
        if layer.metadata.get(KEY, {}).get("role") == "aside" and layer.visible
    }


@pytest.mark.parametrize(
    ("method", "options"),
    [("rolling_ball", {"radius": 1.0, "spacing": SPACING}), ("percentile", {"percentile": 1}),
     ("mean", {"factor": 1.25, "floor": 0.1})],
)  # fmt: skip
def test_background_is_that_of_the_run(viewer, preview, bead_image, settle, method, options):
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Background subtraction", method=method)
    layer = aside(viewer)["Preview · background"]
    expected = subtract_background(bead_image, method, **options)
    current = viewer.dims.current_step[0]
    shown = expected[current : current + 1]
    np.testing.assert_allclose(layer.data, shown, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(layer.translate, np.add(UM["translate"], (current * 0.25, 0, 0)))
    assert layer not in widget.image.choices


@pytest.mark.parametrize("method", ["top_hat", "rolling_ball"])
def test_of_the_surfaces_the_margin_is_right(viewer, preview, bead_image, qtbot, settle, method):
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Background subtraction", method=method)
    viewer.scene.camera.zoom *= 3
    qtbot.wait(100)
    widget.radius.value = 0.5
    settle(widget)
    layer = aside(viewer)["Preview · background"]
    assert layer.data.shape[1] < 40
    start = np.round((layer.translate - UM["translate"]) / SPACING).astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, layer.data.shape, strict=True))
    expected = subtract_background(bead_image, method, radius=0.5, spacing=SPACING)[box]
    np.testing.assert_allclose(layer.data, expected, atol=1e-3)
    widget.output.value = estimate_background
    settle(widget)
    expected = estimate_background(bead_image, method, radius=0.5, spacing=SPACING)[box]
    np.testing.assert_allclose(layer.data, expected, atol=1e-3)


def test_beads_are_those_of_the_run(viewer, preview, bead_image, settle):
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Bead detection")
    found = detect_beads(bead_image, spacing=SPACING, bead_diameter=0.1)
    np.testing.assert_allclose(aside(viewer)["Preview · beads"].data, found.positions)
    widget.method.value = "otsu"
    settle(widget)
    layers = aside(viewer)
    np.testing.assert_array_equal(
        layers["Preview · labels"].data, threshold_beads(bead_image, "otsu")
    )
    widget.threshold.value = "x"
    widget.method.value = "manual"
    settle(widget)
    assert aside(viewer) == {}
    assert "No preview: “x” is not understood" in widget.preview.note.text()
    assert widget.preview.note.isVisibleTo(widget)


def test_a_layer_of_it_that_is_deleted_is_not_missed(viewer, preview, bead_image, settle):
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Bead detection", method="otsu")
    viewer.layers.remove("Preview · labels")
    for method, names in (("dog", {"beads"}), ("otsu", {"labels", "beads"})):
        widget.method.value = method
        settle(widget)
        assert set(aside(viewer)) == {f"Preview · {name}" for name in names}
    found = detect_beads(bead_image, spacing=SPACING, bead_diameter=0.1, method="otsu")
    np.testing.assert_allclose(aside(viewer)["Preview · beads"].data, found.positions)


def test_what_is_on_its_way_into_the_window_stays_out_when_it_ends(
    viewer, preview, bead_image, settle, qtbot
):
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Bead detection")
    added = []
    off = partial(setattr, widget.preview.box, "value", False)
    viewer.layers.events.inserted.connect(
        lambda event: (added.append(event.value.name), QTimer.singleShot(0, off))
    )
    widget.method.value = "otsu"  # labels, and points in a turn to come
    qtbot.waitUntil(lambda: bool(added), timeout=20_000)
    settle(widget)
    qtbot.wait(100)
    assert added == ["Preview · labels"]
    assert aside(viewer) == {}


def test_how_wide_beads_are_is_found_once_for_a_view(
    viewer, preview, bead_image, settle, qtbot, monkeypatch
):
    asked = []
    measure = detection.spot_size
    monkeypatch.setattr(detection, "spot_size", lambda *it: asked.append(it) or measure(*it))
    viewer.add_image(bead_image, name="beads", **UM)
    widget = preview("Bead detection")
    assert len(asked) == 1
    widget.bead_diameter.value = 0.2
    settle(widget)
    assert len(asked) == 1
    found = detect_beads(bead_image, spacing=SPACING, bead_diameter=0.2)
    np.testing.assert_allclose(aside(viewer)["Preview · beads"].data, found.positions)
    viewer.layers["beads"].data = np.ascontiguousarray(bead_image[:, ::-1])
    widget.bead_diameter.value = 0.1
    settle(widget)
    viewer.scene.camera.zoom *= 3
    qtbot.wait(100)
    settle(widget)
    assert len(asked) == 4  # the call above is one


def test_a_psf_is_previewed_whole(viewer, preview, settle):
    viewer.add_image(np.ones((8, 32, 32)), name="cells", **UM)
    widget = preview("Synthetic PSF", model="gaussian", size="9 × 15 × 15")
    layer = aside(viewer)["Preview · PSF"]
    widget.fwhm_lateral.value = 0.4
    settle(widget)
    expected = make_psf("gaussian", shape=(9, 15, 15), spacing=SPACING, fwhm=(0.6, 0.4, 0.4))
    np.testing.assert_array_equal(layer.data, expected.data)
    assert layer in viewer.layers


def focus(layer):
    """Where the middle voxel of a PSF lies, in µm."""
    return layer.translate + np.array(layer.data.shape) // 2 * layer.scale


def test_a_psf_is_previewed_where_one_looks(viewer, preview, settle, qtbot):
    um = UM | {"scale": (250, 100, 100), "units": ("nm",) * 3, "translate": (1000, 2000, 3000)}
    viewer.add_image(np.ones((40, 256, 256)), name="cells", **um)
    viewer.dims.set_current_step(0, 3)
    viewer.scene.camera.center = (0, 8000, 9000)
    zoom = viewer.scene.camera.zoom = 4 * viewer.scene.camera.zoom
    widget = preview("Synthetic PSF", model="gaussian", size="9 × 15 × 15")
    layer = aside(viewer)["Preview · PSF"]
    place = (1 + 3 * 0.25, 8, 9)
    np.testing.assert_allclose(focus(layer), place)
    viewer.dims.set_point(0, viewer.dims.point[0] + 750)  # to be seen out of focus
    viewer.scene.camera.center = (0, 8500, 9000)
    widget.size.value = "9 × 25 × 25"
    settle(widget)
    assert layer.data.shape == (9, 25, 25)
    np.testing.assert_allclose(focus(layer), place)
    assert (viewer.scene.camera.center[1:], viewer.scene.camera.zoom) == ((8500, 9000), zoom)
    viewer.scene.camera.center = (0, 20000, 9000)
    widget.fwhm_lateral.value = 0.4
    settle(widget)
    np.testing.assert_allclose(focus(layer), (1 + 6 * 0.25, 20, 9))
    Hand(qtbot, None, widget).run()
    result = viewer.layers["PSF Gaussian"]
    assert in_sight(viewer, result)
    assert focus(result)[0] == pytest.approx(1 + 6 * 0.25)
    assert result.translate[2] > 3 + 255 * 0.1


def test_without_any_image_the_result_lies_where_the_preview_was(viewer, preview, qtbot):
    widget = preview("Synthetic PSF", model="gaussian", size="9 × 15 × 15")
    widget.voxel_size.field.value = "0.25 × 0.1 × 0.1"
    qtbot.waitUntil(lambda: "Preview · PSF" in viewer.layers)
    shown = viewer.layers["Preview · PSF"]
    assert in_sight(viewer, shown)
    Hand(qtbot, None, widget).run()
    np.testing.assert_allclose(viewer.layers["PSF Gaussian"].translate, shown.translate, atol=1e-9)
    assert in_sight(viewer, viewer.layers["PSF Gaussian"])


@pytest.fixture
def cells(viewer, bead_image, psf_array):
    viewer.add_image(psf_array, name="PSF", **UM)
    image = np.pad(bead_image, ((8, 8), (30, 30), (30, 30)), mode="reflect")
    viewer.add_image(image, name="cells", **UM)
    viewer.reset_view()
    viewer.dims.set_current_step(0, 20)
    return image


def test_deconvolution_is_nearly_that_of_the_run(viewer, preview, cells, psf_array, settle, qtbot):
    widget = preview("Deconvolution")
    viewer.scene.camera.zoom *= 2
    qtbot.wait(100)
    widget.settings.stop.value = None
    widget.settings.iterations.value = 15
    settle(widget)
    layer = aside(viewer)["Preview · RL"]
    psf = Psf(psf_array, SPACING)
    expected = deconvolve(cells, psf, spacing=SPACING, iterations=15, levels="auto").image
    start = np.round((layer.translate - UM["translate"]) / SPACING).astype(int)
    depth = viewer.dims.current_step[0]
    assert start[0] == depth - 12
    assert layer.data.shape[0] == 25
    rows, columns = (slice(a, a + n) for a, n in zip(start[1:], layer.data.shape[1:], strict=True))
    plane, whole = layer.data[12], expected[depth, rows, columns]
    assert 10 < rows.start < rows.stop < 122
    error = np.linalg.norm(plane - whole) / np.linalg.norm(whole)
    assert error < 0.05  # of another number of voxels outside


def test_its_work_goes_on_when_what_it_sent_is_drawn(viewer, preview, cells, settle, monkeypatch):
    monkeypatch.setattr(workers, "_DRAWN", 3600.0)
    viewer.window.show()
    widget = preview("Deconvolution")
    happened, shown = [], workers.Worker.shown
    monkeypatch.setattr(
        workers.Worker, "shown", lambda worker: happened.append("on") or shown(worker)
    )
    canvas = viewer.window.__wrapped__._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(lambda _: happened.append("drawn"))
    aside(viewer)["Preview · RL"].events.data.connect(lambda _: happened.append("picture"))
    widget.settings.iterations.value = 15
    settle(widget)
    assert "on" in happened
    for place, what in enumerate(happened):
        if what == "on":
            since = happened[:place][::-1].index("picture")
            assert "drawn" in happened[place - since : place]


@pytest.mark.filterwarnings("ignore:.*below 0 and count as 0")
def test_an_image_without_its_background_is_previewed(viewer, preview, cells, settle):
    viewer.layers["cells"].data = cells.astype(np.float32) - np.float32(2 * np.median(cells))
    preview("Deconvolution")
    assert "Preview · RL" in aside(viewer)


def test_it_follows_the_view_and_newer_settings_win(viewer, preview, cells, settle, qtbot):
    widget = preview("Deconvolution")
    layer = aside(viewer)["Preview · RL"]
    before = layer.translate.copy()
    viewer.dims.set_current_step(0, 14)
    settle(widget)
    assert layer.translate[0] == UM["translate"][0] + (14 - 12) * 0.25
    assert before[0] != layer.translate[0]
    for iterations in range(5, 15):
        widget.settings.iterations.value = iterations
        qtbot.wait(20)
    widget.settings.method.value = "wiener"
    settle(widget)
    assert list(aside(viewer)) == ["Preview · Wiener filter"]


@pytest.fixture
def begun(monkeypatch):
    """Workers that were started, one after the other."""
    started, start = [], workers.Worker.start

    def noted(worker):
        started.append(worker)
        start(worker)

    monkeypatch.setattr(workers.Worker, "start", noted)
    return started


def test_a_slider_that_moves_starts_one_preview_when_it_rests(preview, cells, settle, begun):
    widget = preview("Deconvolution")
    begun.clear()
    for iterations in range(5, 25):  # without a pause: no event of a timer comes between
        widget.settings.iterations.value = iterations
    assert begun == []
    settle(widget)
    assert len(begun) == 1


def test_a_preview_that_is_out_of_date_ends_and_is_not_shown(
    viewer, preview, cells, settle, begun, qtbot, monkeypatch
):
    widget = preview("Deconvolution")
    layer = aside(viewer)["Preview · RL"]
    shown, go_on, began = [], threading.Event(), threading.Event()
    whole = widget.preview._prepare

    def held_up():
        function = whole()

        def wait(callback):
            began.set()
            assert go_on.wait(20)
            return function(callback=callback)

        return wait

    layer.events.set_data.connect(lambda: shown.append(widget.settings.iterations.value))
    begun.clear()
    monkeypatch.setattr(widget.preview, "_prepare", held_up)
    widget.settings.iterations.value = 5
    qtbot.waitUntil(began.is_set, timeout=20_000)
    monkeypatch.setattr(widget.preview, "_prepare", whole)
    for iterations in (6, 7):
        widget.settings.iterations.value = iterations
        qtbot.waitUntil(lambda: begun[0].abort_requested, timeout=20_000)
    assert len(begun) == 1  # the next one begins when this one has ended
    go_on.set()
    settle(widget)
    assert len(begun) == 2
    assert set(shown) == {7}


def test_it_is_hidden_by_a_run_and_comes_back_with_a_setting(viewer, preview, cells, settle, qtbot):
    widget = preview("Deconvolution")
    widget.settings.iterations.value = 3
    settle(widget)
    layer = aside(viewer)["Preview · RL"]
    assert layer.visible
    assert viewer.layers.selection.active.name == "cells"
    widget.run_button.click()
    assert not layer.visible
    qtbot.waitUntil(lambda: widget.run_button.text() == "Run", timeout=20_000)
    assert not layer.visible
    viewer.dims.set_current_step(0, 10)
    settle(widget)
    assert not layer.visible
    widget.settings.iterations.value = 4
    settle(widget)
    assert layer.visible
    widget.preview.box.value = False
    assert aside(viewer) == {}
    widget.settings.iterations.value = 5
    settle(widget)
    assert aside(viewer) == {}


def test_closing_the_dock_takes_it_away(viewer, preview, cells, qtbot):
    widget = preview("Deconvolution")
    count = len(viewer.dims.events.point.callbacks)
    camera = len(viewer.scene.camera.events.callbacks)
    viewer.window.remove_dock_widget(widget)
    assert aside(viewer) == {}
    assert len(viewer.dims.events.point.callbacks) == count - 1
    assert len(viewer.scene.camera.events.callbacks) == camera - 1


def test_what_is_out_of_view_is_said(viewer, preview, cells, settle, qtbot):
    widget = preview("Deconvolution")
    viewer.scene.camera.center = (0, 1000, 1000)
    qtbot.wait(100)
    settle(widget)
    assert aside(viewer) == {}
    assert "Hardly anything of “cells” is in view" in widget.preview.note.text()


def test_points_follow_in_their_layer(viewer, preview, bead_image, settle):
    image = bead_image.astype(np.float32)
    image[:, :24] = 3 * image[:, :24] - 200  # three beads are three times as bright
    viewer.add_image(image, name="beads", **UM)
    widget = preview("Bead detection")
    layer = aside(viewer)["Preview · beads"]
    for threshold, count in ((3000, 3), (500, 9), (3000, 3)):
        widget.threshold.value = str(threshold)
        settle(widget)
        given = {"spacing": SPACING, "bead_diameter": 0.1, "threshold": threshold}
        found = detect_beads(image, **given)
        assert len(found) == count
        assert aside(viewer) == {"Preview · beads": layer}
        np.testing.assert_allclose(layer.data, found.positions)
        assert list(layer.features["status"]) == list(found.status)
        lime = (layer.border_color == (0, 1, 0, 1)).all(axis=1)
        np.testing.assert_array_equal(lime, found.accepted)
        assert [str(text) for text in layer.text.values] == list(layer.features["reason"])


def test_it_comes_back_when_the_image_is_in_view_again(viewer, preview, cells, settle, qtbot):
    widget = preview("Deconvolution")
    centre = viewer.scene.camera.center
    viewer.scene.camera.center = (0, 1000, 1000)
    qtbot.wait(100)
    settle(widget)
    assert aside(viewer) == {}
    viewer.scene.camera.center = centre
    qtbot.wait(100)
    settle(widget)
    assert list(aside(viewer)) == ["Preview · RL"]
    shape = viewer.layers["cells"].data.shape
    assert widget.preview.note.text() == (
        f"Of {shape[1]} × {shape[2]} pixels, 25 planes about the middle of the view."
    )
