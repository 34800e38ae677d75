"""What holds for all five widgets: run, cancel, run again, close, results, errors."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import pytest
from hand import SPACING
from qtpy.QtCore import Qt

from napari_deconv.widgets import synthetic_psf
from napari_deconv.widgets.common.layers import KEY, spacing

PLACE = {
    "scale": SPACING,
    "units": ("µm",) * 3,
    "translate": (1.0, -2.0, 3.0),
    "axis_labels": ("z", "y", "x"),
}


@dataclass
class Case:
    """A widget, how to set it up, and the names and operations of its results."""

    title: str
    results: dict[str, str]
    fields: dict[str, Any]
    same_place: bool = True


CASES = [
    Case(
        "Background subtraction",
        {"beads · background": "subtract_background"},
        {"method": "rolling_ball", "radius": 1.0},
    ),
    Case(
        "Bead detection",
        {"beads · Otsu threshold": "detect_beads", "beads · beads": "detect_beads"},
        {"method": "otsu"},
    ),
    Case("PSF distilling", {"PSF (beads)": "distill_psf"}, {"iterations": "10"}, same_place=False),
    Case("Synthetic PSF", {"PSF Gaussian": "make_psf"}, {"model": "gaussian"}, same_place=False),
    Case("Deconvolution", {"beads · RL 12": "deconvolve"}, {"settings.iterations": 12}),
]


@pytest.fixture(params=CASES, ids=lambda case: case.title)
def case(request):
    return request.param


@pytest.fixture
def hand(case, viewer, open_widget, bead_image, psf_array):
    viewer.add_image(
        psf_array, name="PSF", scale=SPACING, units=("µm",) * 3, axis_labels=("z", "y", "x")
    )
    viewer.add_image(bead_image, name="beads", **PLACE)
    hand = open_widget(case.title)
    for name, value in case.fields.items():
        attrgetter(name)(hand.widget).value = value
    return hand


@pytest.fixture
def slow_hand(hand, slowly, monkeypatch):
    """A hand whose operation takes long; making a PSF reports no progress."""
    make_psf = synthetic_psf.make_psf

    def make_psf_slowly(**parameters):
        time.sleep(1)
        return make_psf(**parameters)

    monkeypatch.setattr(synthetic_psf, "make_psf", make_psf_slowly)
    return hand


def start(hand, case):
    """Start an operation and let it get somewhere."""
    hand.click()
    if case.title == "Synthetic PSF":
        hand.qtbot.wait(300)
    else:
        hand.wait_for_progress()


def added(viewer):
    return {layer.name: layer for layer in viewer.layers if layer.name not in ("PSF", "beads")}


def state(layer):
    return layer.scale.tolist(), layer.translate.tolist(), layer.units, dict(layer.metadata)


def test_two_runs(viewer, hand, case, bead_image, psf_array):
    sources = [state(layer) for layer in viewer.layers[:2]]
    copies = psf_array.copy(), bead_image.copy()

    hand.run()
    first = added(viewer)
    assert set(first) == set(case.results)
    for name, layer in first.items():
        recipe = layer.metadata[KEY]
        assert recipe["operation"] == case.results[name]
        assert recipe["source"] == "beads"
        assert json.loads(json.dumps(recipe)) == recipe
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        np.testing.assert_allclose(layer.scale, SPACING)
        if case.same_place:
            np.testing.assert_array_equal(layer.translate, PLACE["translate"])
            assert layer.axis_labels == PLACE["axis_labels"]

    assert [state(layer) for layer in viewer.layers[:2]] == sources
    assert viewer.layers["PSF"].data is psf_array
    assert viewer.layers["beads"].data is bead_image
    np.testing.assert_array_equal(psf_array, copies[0])
    np.testing.assert_array_equal(bead_image, copies[1])

    hand.run()
    second = {name: layer for name, layer in added(viewer).items() if name not in first}
    assert len(second) == len(first)
    for old, new in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(old.data, new.data)


def test_cancel_run_again_and_close_the_viewer(viewer, slow_hand, case, slowly):
    hand, reported = slow_hand, slowly
    start(hand, case)
    hand.click()
    steps = len(reported)
    assert not hand.widget.run_button.isEnabled()
    hand.wait()
    assert len(reported) - steps <= 1
    assert hand.widget.result_line.text() == "Cancelled."
    assert not hand.widget.progress_bar.isVisibleTo(hand.widget)
    assert added(viewer) == {}

    hand.click()
    hand.click()  # before it has begun
    hand.wait()
    assert added(viewer) == {}

    hand.run()
    assert set(added(viewer)) == set(case.results)

    start(hand, case)
    worker = hand.widget._worker
    viewer.close()
    assert worker.abort_requested


def test_the_line_is_not_cut_beside_another_dock(viewer, hand, case, qtbot):
    other = viewer.window.add_plugin_dock_widget("napari-deconv", "PSF quality")[0]
    widget, window = hand.widget, hand.dock.parentWidget()
    window.resize(1280, 800)
    with qtbot.waitExposed(window):
        window.show()
    hand.run()
    line = widget.result_line
    for height in (40, 400):
        window.resizeDocks([hand.dock, other], [height, 800 - height], Qt.Orientation.Vertical)
        for text in ("Done.", "A line about what has come out. " * 8):
            line.setText(text)
            qtbot.wait(50)
            assert line.height() >= line.heightForWidth(line.width())
            assert widget.outcome.geometry().bottom() < widget.height()
    assert window.height() == 800


def test_errors_are_said_in_one_line_and_closing_the_dock_cancels(
    viewer, slow_hand, case, said, bead_image, monkeypatch
):
    hand = slow_hand
    widget = hand.widget
    if case.title != "Synthetic PSF":  # it looks at the voxel size of the image only
        viewer.add_image(np.full((24, 72, 72), np.nan, np.float32), name="bad", **PLACE)
        assert widget.image.value.name == "bad"
        hand.run()
        message = said()[-1]
        assert "NaN" in message
        assert "\n" not in message
        assert widget.result_line.text() == message

    def fail(callback):
        raise RuntimeError("the device fell off")

    with monkeypatch.context() as patch:
        patch.setattr(widget, "_prepare", lambda: fail)
        hand.run()
    assert said()[-1] == f"{case.title} failed, RuntimeError: the device fell off"
    assert widget.result_line.text() == said()[-1]

    viewer.add_image(bead_image, name="bare")
    assert widget.image.value.name == "bare"
    assert widget.voxel_size.field.value == ""
    assert widget.voxel_size.note.native.isVisibleTo(widget)
    hand.click()
    assert "no voxel size" in said()[-1]
    widget.voxel_size.field.value = "0.25 × 0.1 × 0.1"
    hand.run()
    np.testing.assert_allclose(viewer.layers[-1].scale, (1, 1, 1))
    if not case.same_place:
        assert spacing(viewer.layers[-1]) == SPACING

    widget.more_button.click()
    assert widget.minimumSizeHint().width() <= 320

    layers = list(viewer.layers)
    start(hand, case)
    hand.dock.destroyOnClose()
    hand.wait()
    assert list(viewer.layers) == layers
    choices = widget.image.choices
    viewer.add_image(np.zeros((4, 4)))  # nothing of the widget listens any more
    assert widget.image.choices == choices
