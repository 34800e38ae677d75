"""The deconvolution widget."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING

from napari_deconv.deconvolution import METHODS, deconvolve
from napari_deconv.deconvolution.front_door import memory_needed
from napari_deconv.errors import DeconvWarning
from napari_deconv.files import Image, read_image
from napari_deconv.psf.psf import Psf
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.layers import KEY, spacing

UM = {"scale": SPACING, "units": ("µm",) * 3}


def shown(widget, holder, *names):
    """Tell of some fields whether they are shown in the widget."""
    return [getattr(holder, name).native.isVisibleTo(widget) for name in names]


@pytest.fixture
def deconvolution(viewer, open_widget, bead_image, psf_array):
    viewer.add_image(psf_array, name="PSF", **UM)
    viewer.add_image(bead_image, name="cells", **UM)
    hand = open_widget("Deconvolution")
    assert hand.widget.settings.stop.value == "consensus"
    hand.widget.settings.iterations.value = 8
    hand.widget.settings.stop.value = None
    return hand


def test_deconvolution_is_that_of_the_api(viewer, deconvolution, bead_image, psf_array):
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, iterations=8, levels="auto"
    )
    np.testing.assert_array_equal(viewer.layers["cells · RL 8"].data, expected.image)
    widget = deconvolution.widget
    settings = widget.settings
    settings.coarse_start.value = False
    settings.acceleration.value = "biggs"
    settings.smoothing.value = "tv"
    settings.smoothing_weight.value = "0.01"
    settings.noise.value = "damping"
    settings.gain.value = "1"
    widget.background.value = "value"
    widget.background_value.value = "90"
    widget.boundary.value = "reflect"
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, iterations=8, acceleration="biggs",
        regularization="tv", regularization_weight=0.01, damping=3, gain=1, background=90,
        boundary="reflect",
    )  # fmt: skip
    np.testing.assert_array_equal(viewer.layers[-1].data, expected.image)
    assert "background 90, gain 1 grey value a photon" in widget.result_line.text().lower()


def test_direct_filters_find_their_weight(viewer, deconvolution, bead_image, psf_array):
    widget = deconvolution.widget
    widget.settings.method.value = "wiener"
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, method="wiener",
        regularization_weight="auto",
    )  # fmt: skip
    np.testing.assert_array_equal(viewer.layers["cells · Wiener filter"].data, expected.image)
    assert f"smoothness {expected.weights['gcv']:.2g}." in widget.result_line.text()
    widget.settings.smoothness.value = "0.02"
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, method="wiener",
        regularization_weight=0.02,
    )  # fmt: skip
    np.testing.assert_array_equal(viewer.layers[-1].data, expected.image)


def test_a_stop_rule_ends_it_and_going_on_does_not_heed_it(
    viewer, deconvolution, bead_image, psf_array
):
    widget = deconvolution.widget
    widget.settings.iterations.value = 60
    widget.settings.stop.value = "quality"
    assert widget._rows[widget.settings.iterations].text() == "Most iterations"
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, iterations=60, levels="auto",
        stop="quality",
    )  # fmt: skip
    assert 10 < expected.iterations < 60
    layer = viewer.layers[f"cells · RL {expected.iterations}"]
    np.testing.assert_array_equal(layer.data, expected.image)
    reason = expected.stop_reason
    assert widget.result_line.text().startswith(f"{reason[0].upper()}{reason[1:]}. Background 9")
    widget.going_on.button.click()
    deconvolution.wait()
    assert layer.name == f"cells · RL {expected.iterations + 10}"


def test_from_what_consensus_stops_one_can_go_on(viewer, deconvolution, bead_image, psf_array):
    widget = deconvolution.widget
    widget.settings.stop.value = "consensus"
    widget.settings.gain.value = "1"
    deconvolution.run()
    assert "gain 1 grey value a photon" in widget.result_line.text()
    options = {"spacing": SPACING, "levels": "auto", "gain": 1.0}
    psf = Psf(psf_array, SPACING)
    stopped = deconvolve(bead_image, psf, iterations=8, stop="consensus", **options)
    layer = viewer.layers[-1]
    np.testing.assert_array_equal(layer.data, stopped.image)
    widget.going_on.button.click()
    deconvolution.wait()
    assert layer.name == f"cells · RL {stopped.iterations + 10}"
    more = deconvolve(bead_image, psf, iterations=stopped.iterations + 10, **options)
    np.testing.assert_array_equal(layer.data, more.image)  # all photons, as if never stopped


def test_blind_shows_the_psf_it_found(viewer, deconvolution, bead_image, psf_array):
    settings = deconvolution.widget.settings
    settings.method.value = "blind"
    settings.symmetric_psf.value = True
    deconvolution.run()
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, method="blind", iterations=8,
        symmetric_psf=True,
    )  # fmt: skip
    np.testing.assert_array_equal(viewer.layers["PSF (blind)"].data, expected.psf.data)
    assert "cells · Blind Richardson–Lucy 8" in viewer.layers
    assert deconvolution.widget.psf.value.name == "PSF"


def test_the_coarse_start_does_not_run_backwards(viewer, deconvolution, monkeypatch):
    widget = deconvolution.widget
    bar = widget.progress_bar
    shown, step = [], bar.step

    def note(iteration, iterations, coarse):
        step(iteration, iterations, coarse)
        shown.append((bar.text().split(" · ")[0], bar.value() / bar.maximum()))

    monkeypatch.setattr(bar, "step", note)
    deconvolution.run()
    filled = [part for _, part in shown]
    assert filled == sorted(filled)
    texts = list(dict.fromkeys(text for text, _ in shown))
    assert texts == ["coarse start", *(f"{done}/8" for done in range(1, 9))]


def test_going_on_is_one_longer_run(viewer, deconvolution, bead_image, psf_array):
    widget = deconvolution.widget
    assert not widget.going_on.button.isVisibleTo(widget)
    deconvolution.run()
    layer = viewer.layers[-1]
    for _ in range(2):
        widget.going_on.button.click()
        deconvolution.wait()
    assert viewer.layers[-1] == layer
    assert layer.name == "cells · RL 28"
    expected = deconvolve(
        bead_image, Psf(psf_array, SPACING), spacing=SPACING, iterations=28, levels="auto"
    )
    np.testing.assert_allclose(layer.data, expected.image, rtol=1e-5)
    brightest = max(np.percentile(layer.data, 99.9), layer.data.max() / 5)
    assert layer.contrast_limits[1] == pytest.approx(brightest)
    assert layer.contrast_limits_range[1] >= layer.data.max()
    viewer.layers.remove(layer)
    widget.boundary.value = "reflect"
    assert not widget.going_on.button.isVisibleTo(widget)
    widget.boundary.value = "padded"
    widget.going_on.button.click()
    deconvolution.wait()
    assert viewer.layers[-1].name == "cells · RL 38"


def test_what_is_painted_is_left_out(viewer, deconvolution, bead_image, psf_array):
    labels = np.zeros(bead_image.shape, int)
    labels[10:14, 30:40, 30:40] = 1
    viewer.add_labels(labels, name="dead", **UM)
    deconvolution.widget.leave_out.value = viewer.layers["dead"].__wrapped__
    deconvolution.run()
    psf = Psf(psf_array, SPACING)
    expected = deconvolve(
        bead_image, psf, spacing=SPACING, iterations=8, levels="auto", mask=labels == 0
    )
    np.testing.assert_array_equal(viewer.layers[-1].data, expected.image)


def test_the_newest_psf_is_chosen_and_results_are_not(viewer, deconvolution, psf_array):
    widget = deconvolution.widget
    assert widget.psf.value.name == "PSF"
    assert widget.image.value.name == "cells"
    metadata = {KEY: {"role": "psf"}}
    viewer.add_image(psf_array, name="distilled", metadata=metadata, **UM)
    assert widget.psf.value.name == "distilled"
    deconvolution.run()
    assert widget.image.value.name == "cells"
    assert widget.psf.value.name == "distilled"
    viewer.layers["cells"].name = "nuclei"
    assert widget.image.value.name == "nuclei"
    viewer.layers.remove("distilled")
    assert widget.psf.value is None or widget.psf.value.name == "PSF"


def test_a_measured_psf_is_preferred_to_a_true_one(viewer, deconvolution, psf_array):
    widget = deconvolution.widget
    viewer.layers.remove("PSF")
    assert widget.psf.value is None
    viewer.add_image(psf_array, name="true", metadata={KEY: {"role": "true psf"}}, **UM)
    assert widget.psf.value.name == "true"
    viewer.add_image(psf_array, name="PSF (beads)", metadata={KEY: {"role": "psf"}}, **UM)
    assert widget.psf.value.name == "PSF (beads)"
    viewer.add_image(psf_array, name="also true", metadata={KEY: {"role": "true psf"}}, **UM)
    assert widget.psf.value.name == "PSF (beads)"


def test_a_voxel_size_typed_for_one_psf_stays_with_it(viewer, open_widget, bead_image, psf_array):
    viewer.add_image(bead_image, name="cells", **UM)
    viewer.add_image(psf_array, name="PSF scaled", **UM)
    quality, hand = open_widget("PSF quality").widget, open_widget("Deconvolution")
    quality.voxel_size.field.value = "0.5 × 0.2 ×"  # what a PSF says is taken all the same
    hand.widget.settings.iterations.value = 2
    hand.widget.settings.stop.value = None
    hand.run()
    assert viewer.layers[-1].metadata[KEY]["inputs"]["psf"]["spacing"] == list(SPACING)
    viewer.add_image(psf_array, name="PSF bare")
    asked = hand.widget.psf_voxel_size.field
    asked.value = "0.2 × 0.08 × 0.08"
    hand.run()
    viewer.add_image(psf_array, name="PSF other")
    assert asked.value == ""
    viewer.layers.remove("PSF bare")
    newest = hand.widget.history.fill().actions()[0].menu()
    next(each for each in newest.actions() if "settings" in each.text()).trigger()
    assert "is gone" in hand.widget.result_line.text()
    assert hand.widget.psf.value.name == "PSF other"
    assert asked.value == ""


def test_a_choice_by_hand_is_kept(viewer, deconvolution, bead_image, said):
    widget = deconvolution.widget
    viewer.add_image(bead_image, name="second", **UM)
    assert widget.image.value.name == "second"
    widget.image.value = viewer.layers["cells"].__wrapped__
    viewer.add_image(bead_image, name="third", **UM)
    assert widget.image.value.name == "cells"
    for name in ("cells", "second", "third"):
        viewer.layers.remove(name)
    assert widget.image.value is None  # not the PSF
    widget.image.value = viewer.layers["PSF"].__wrapped__
    deconvolution.click()
    assert "as the image and as the PSF" in said()[-1]


def test_notes_are_not_cut_off(viewer, deconvolution, bead_image, psf_array):
    viewer.add_image(bead_image, name="bare")
    viewer.add_image(psf_array, name="bare PSF")
    widget = deconvolution.widget
    deconvolution.qtbot.wait(100)
    form = widget._form.widget()
    form.layout().activate()
    for note in (widget.psf_voxel_size.note.native, widget.voxel_size.note.native):
        assert note.width() == form.layout().contentsRect().width()
        assert note.height() >= note.heightForWidth(note.width())


def test_a_typed_voxel_size_is_remembered(viewer, open_widget, bead_image):
    viewer.add_image(bead_image, name="bare")
    first = open_widget("Bead detection").widget
    second = open_widget("PSF distilling").widget
    first.voxel_size.field.value = "0.25 × 0.1 × 0.1"
    assert second.voxel_size.value(3) == SPACING
    viewer.add_image(bead_image, name="scaled", **UM)
    viewer.layers.remove("scaled")
    assert first.image.value.name == "bare"
    assert first.voxel_size.field.value == "0.25 × 0.1 × 0.1"
    assert first.voxel_size.note.value == ""
    third = open_widget("Deconvolution").widget
    assert third.voxel_size.value(3) == SPACING


def test_results_keep_the_voxel_size_that_was_typed(
    viewer, open_widget, said, bead_image, tmp_path
):
    """They are drawn on their source, whose scale is wrong."""
    wrong = viewer.add_image(bead_image, name="beads", units=("µm",) * 3)
    hand = open_widget("Background subtraction")
    hand.widget.method.value = "gaussian"
    hand.click()
    assert "Enter it above" in said()[-1]
    hand.widget.voxel_size.field.value = "0.25 × 0.1 × 0.1"
    hand.run()
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.scale, wrong.scale)
    assert spacing(result) == SPACING
    result.save(str(tmp_path / "result.ome.tif"), plugin="napari-deconv")
    assert read_image(tmp_path / "result.ome.tif").spacing == pytest.approx(SPACING)


def test_psfs_of_all_kinds(viewer, open_widget, said, bead_image, psf_array):
    viewer.add_image(bead_image, name="cells", **UM)
    hand = open_widget("Deconvolution")
    widget = hand.widget
    widget.settings.iterations.value = 2
    widget.settings.stop.value = None
    assert widget.psf.value is None
    hand.click()
    assert said()[-1].startswith("No PSF is chosen")

    viewer.add_image(psf_array, name="PSF 2", scale=(0.2, 0.08, 0.08), units=("µm",) * 3)
    asked = widget.psf_voxel_size
    assert not asked.field.native.isVisibleTo(widget)
    hand.run()
    assert any("resampled" in message for message in said())

    viewer.add_image(psf_array, name="PSF of 1 µm", units=("µm",) * 3)
    assert asked.field.native.isVisibleTo(widget)
    assert "The PSF says 1 × 1 × 1 µm" in asked.note.value

    viewer.add_image(psf_array, name="bare PSF")
    assert asked.note.native.isVisibleTo(widget)
    assert "The PSF has no voxel size: enter it." in asked.note.value
    hand.click()
    assert said()[-1].startswith("The PSF has no voxel size. Enter it above as z × y × x")
    asked.field.value = "0.2 × 0.08"
    hand.click()
    assert "expected 3 numbers" in said()[-1]
    asked.field.value = "0.2 × 0.08 × 0.08"
    assert asked.note.value == ""
    hand.run()
    psf = Psf(psf_array, (0.2, 0.08, 0.08))
    with pytest.warns(DeconvWarning, match="resampled"):
        expected = deconvolve(bead_image, psf, spacing=SPACING, iterations=2, levels="auto")
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.data, expected.image)
    assert result.metadata[KEY]["inputs"]["psf"] == {
        "layer": "bare PSF",
        "spacing": [0.2, 0.08, 0.08],
    }
    recipe = Recipe.of(result.metadata[KEY])
    arrays = {"cells": Image(bead_image, SPACING, "ZYX"), "bare PSF": psf_array}
    with pytest.warns(DeconvWarning, match="resampled"):
        again = recipe.run(arrays=arrays)
    np.testing.assert_array_equal(again.image, expected.image)


def test_channels_and_times_are_looped_over(viewer, deconvolution, bead_image):
    series = np.stack([bead_image, bead_image[:, ::-1]])
    viewer.add_image(
        series, name="two", scale=(1, *SPACING), units=("pixel", *["µm"] * 3),
        axis_labels=("c", "z", "y", "x"),
    )  # fmt: skip
    deconvolution.run()
    layer = viewer.layers["two · RL 8"]
    assert layer.data.shape == series.shape
    np.testing.assert_array_equal(layer.scale, (1, *SPACING))


def test_fields_that_do_not_apply_are_hidden(viewer, deconvolution):
    widget = deconvolution.widget
    settings = widget.settings
    names = ("iterations", "stop", "smoothness", "acceleration")
    assert shown(widget, settings, *names) == [True, True, False, False]
    widget.more_button.click()
    names = ("coarse_start", "acceleration", "smoothing", "smoothing_weight", "noise", "gain")
    assert shown(widget, settings, *names) == [True, True, True, False, True, False]
    settings.smoothing.value = "tv"
    settings.noise.value = "read_noise"
    names = ("smoothing_weight", "damping", "read_noise", "gain", "offset")
    assert shown(widget, settings, *names) == [True, False, True, True, True]
    settings.noise.value = "photons"
    settings.stop.value = "discrepancy"
    assert shown(widget, settings, "read_noise", "gain") == [False, True]
    settings.method.value = "fista"
    names = ("iterations", "smoothness", "coarse_start", "acceleration", "smoothing_weight")
    assert shown(widget, settings, *names) == [True, True, True, False, False]
    settings.method.value = "wiener"
    names = ("iterations", "stop", "smoothness", "coarse_start", "smoothing", "noise", "gain")
    assert shown(widget, settings, *names) == [False, False, True, False, False, False, False]
    assert not widget.leave_out.native.isVisibleTo(widget)
    deconvolution.qtbot.waitUntil(lambda: len(widget.device.choices) > 1, timeout=20_000)
    assert {"auto", "cpu"} < set(widget.device.choices)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_accepted_as_it_stands(deconvolution, bead_image, psf_array, method):
    """The fields, untouched, ask for nothing that the method does not take."""
    settings = deconvolution.widget.settings
    settings.method.value = method
    for smoothing in settings.smoothing.choices:
        settings.smoothing.value = smoothing
        given = settings.parameters()
        assert memory_needed(bead_image, Psf(psf_array, SPACING), **given) > 0
        field = settings.named()["regularization_weight"]
        if "regularization_weight" in given:
            automatic = given["regularization_weight"] == "auto"
            assert automatic == (field.native.placeholderText() == "automatic")


def test_messages_speak_of_the_fields(deconvolution, said):
    settings = deconvolution.widget.settings
    settings.smoothing.value = "tv"
    settings.smoothing_weight.value = "-1"
    deconvolution.run()
    assert said()[-1].startswith("“Smoothness” -1.0: expected a number above 0")
    settings.smoothing_weight.value = "much"
    deconvolution.click()
    assert said()[-1].startswith("“much” is not understood")
