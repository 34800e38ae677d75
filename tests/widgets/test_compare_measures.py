"""Compare: what is measured, and how it is told."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from comparing import settle
from hand import Hand, blob
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_deconv.metrics import fourier_shell_correlation, power_spectrum, residual
from napari_deconv.solvers.thinning import split_photons
from napari_deconv.widgets.common.layers import KEY, provenance
from napari_deconv.widgets.compare.world import length, sample_line

SPACING = (0.2, 0.1, 0.1)
SHAPE = (16, 64, 64)
GAIN, OFFSET, BACKGROUND = 2.0, 20.0, 40.0
UNITS = ("µm",) * 3


pytestmark = pytest.mark.usefixtures("quick_collection")


@pytest.fixture(scope="module")
def scene():
    """An object, the PSF and the recorded image."""
    rng = np.random.default_rng(5)
    psf = blob((9, 11, 11), (4, 5, 5), (1.2, 1.3, 1.3))
    psf /= psf.sum()
    truth = 8000 * scipy.ndimage.gaussian_filter(rng.random(SHAPE) ** 12, (0.7, 1.2, 1.2))
    truth *= np.linspace(0.02, 2, SHAPE[2])
    model = scipy.ndimage.convolve(truth, psf, mode="reflect") + BACKGROUND
    image = GAIN * rng.poisson((model - OFFSET) / GAIN) + OFFSET
    return truth, psf, image


@pytest.fixture
def layers(viewer, scene):
    truth, psf, image = scene
    options = {"scale": SPACING, "units": UNITS, "rgb": False}
    cells = viewer.add_image(image, name="cells", **options)
    viewer.add_image(
        psf, name="PSF (mine)", metadata=provenance({}, "psf"), visible=False, **options
    )
    found = {"found": {"background": BACKGROUND, "gain": GAIN}}
    inputs = {"inputs": {"psf": {"layer": "PSF (mine)"}}}
    made = provenance({}, "result", cells, **found, **inputs)
    result = viewer.add_image(truth, name="cells · RL", metadata=made, **options)
    viewer.add_image(psf, name="PSF (newer)", metadata=provenance({}, "psf"), **options)
    return cells, result


@pytest.fixture
def compare(open_widget, layers):
    return open_widget("Compare").widget


def run(qtbot, widget, what):
    widget.fields.measure.value = what
    QApplication.processEvents()
    Hand(qtbot, None, widget).run()
    QApplication.processEvents()


def curves(widget):
    return {curve.label: curve for curve in widget.plot._curves}


def test_the_profile_is_in_micrometres_and_of_both_layers(viewer, compare, layers):
    compare.fields.measure.value = "profile"
    QApplication.processEvents()
    compare._now.profile.ends = [(1.6, 2.0, 1.0), (1.6, 5.0, 5.0)]  # 5 µm
    QTest.qWait(100)
    shown = curves(compare)
    assert set(shown) == {"cells", "cells · RL"}
    for layer in layers:
        curve = shown[layer.name]
        assert curve.x[0] == 0
        assert curve.x[-1] == pytest.approx(5.0)
        place = np.linspace(0, 1, len(curve.x))
        points = np.array([(8, 20 + 30 * t, 10 + 40 * t) for t in place]).T
        expected = scipy.ndimage.map_coordinates(layer.data.astype(float), points, order=1)
        np.testing.assert_allclose(curve.y, expected, rtol=1e-6)
    assert compare.plot.isVisible() or not compare.isVisible()
    compare.fields.normalised.value = True
    for curve in curves(compare).values():
        assert (np.min(curve.y), np.max(curve.y)) == (0, 1)
    viewer.dims.set_current_step(0, 3)
    QTest.qWait(100)
    assert compare._now.profile.ends[0][0] == pytest.approx(3 * 0.2)


def test_a_line_is_sampled_where_layers_lie(viewer, scene):
    """A ramp in world coordinates is the same ramp through every transform."""
    grid = np.indices((4, 40, 30)).astype(float)
    options = {"scale": SPACING, "units": UNITS, "rgb": False}
    turned = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    shown = viewer.add_image(grid[0], rotate=turned, translate=(0, 1, 2), **options)
    shown.data = np.moveaxis(grid, 0, -1) @ (turned @ np.diag(SPACING))[2] + 2  # x of the world
    nano = viewer.add_image(
        np.moveaxis(grid, 0, -1) @ np.array([0, 0, 0.1]),
        scale=np.multiply(SPACING, 1000), units=("nm",) * 3, rgb=False,
    )  # fmt: skip
    start, end = np.array([0.2, 1.1, 2.2]), np.array([0.2, 1.4, 2.8])
    if viewer.layers.units[-1].is_compatible_with("nanometer"):
        factor = length(viewer, np.zeros(3), np.array([0, 0, 1.0]))[0]
        start, end = start / factor, end / factor
    place, values = sample_line(viewer, [shown, nano], start, end)
    for profile in values:
        np.testing.assert_allclose(profile, 2.2 + 0.6 * place, rtol=1e-5)
    _, outside = sample_line(viewer, [shown], start + 1e6, end + 1e6)
    assert np.isnan(outside).all()


def test_measures_are_those_of_the_core_and_say_what_they_mean(qtbot, compare, layers):
    run(qtbot, compare, "spectrum")
    shown = curves(compare)
    assert set(shown) == {"cells", "cells z", "cells · RL", "cells · RL z"}
    expected = power_spectrum(layers[1].data, SPACING)
    start = expected["lateral"].power[0]
    np.testing.assert_allclose(shown["cells · RL z"].y, expected["axial"].power / start, rtol=1e-6)
    assert not compare.plot.isHidden()

    run(qtbot, compare, "halves")
    line = compare.result_line.text()
    assert line.startswith("Resolution (1/7): lateral 0.")
    assert "grey values a photon" in line
    assert set(curves(compare)) == {"lateral", "axial", "1/7", "½ bit"}

    run(qtbot, compare, "pair")
    expected = fourier_shell_correlation(*(layer.data for layer in layers), SPACING)
    np.testing.assert_allclose(curves(compare)["axial"].y, expected["axial"].correlation, rtol=1e-6)
    assert "only if their noise is independent" in compare.result_line.text()


def test_halves_of_the_photons_become_layers(qtbot, viewer, compare, layers):
    run(qtbot, compare, "split")
    halves = [viewer.layers[f"cells · half {number}"] for number in (1, 2)]
    np.testing.assert_allclose(sum(half.data for half in halves) / 2, layers[0].data, rtol=1e-5)
    for half in halves:
        np.testing.assert_allclose(half.scale, SPACING)
        about = half.metadata[KEY]
        assert (about["role"], about["source"]) == ("image", "cells")
        assert about["measured"] == "split_photons"
        assert f"half {about['parameters']['half']}" in half.name
        again = split_photons(
            layers[0].data, 0.5, gain=about["parameters"]["gain"],
            offset=about["parameters"]["offset"],
        )  # fmt: skip
        np.testing.assert_array_equal(half.data, again[about["parameters"]["half"] - 1])


def test_the_residual_takes_what_the_result_was_made_with(qtbot, viewer, compare, layers, scene):
    assert compare.psf.value == viewer.layers["PSF (mine)"]
    run(qtbot, compare, "residual")
    shown = viewer.layers["cells · residual"]
    assert shown.contrast_limits == [-5, 5]
    assert shown.metadata[KEY]["role"] == "residual"
    np.testing.assert_allclose(shown.scale, SPACING)
    assert shown.data.std() == pytest.approx(1, abs=0.15)
    about = shown.metadata[KEY]
    assert about["measured"] == "residual"
    assert about["made"]["device"]
    taken = dict(about["parameters"])
    names = taken.pop("layers")
    assert names == {"image": "cells", "result": layers[1].name, "psf": "PSF (mine)"}
    assert (taken.pop("psf_spacing"), taken.pop("place")) == (list(SPACING), [])
    again = residual(*(viewer.layers[name].data for name in names.values()), **taken)
    np.testing.assert_allclose(shown.data, again.image, atol=1e-5)
    line = compare.result_line.text()
    assert "estimated" not in line
    assert "Little more than noise" in line
    truth, psf, image = scene
    blurred = scipy.ndimage.gaussian_filter(truth, 2)
    layers[1].data = blurred
    run(qtbot, compare, "residual")
    assert "Structure is left" in compare.result_line.text()
    known = residual(image, blurred, psf, background=BACKGROUND, gain=GAIN, offset=OFFSET)
    words = compare.result_line.text().split()  # the offset is estimated, not known
    assert float(words[1]) == pytest.approx(known.spread, rel=0.05)
    assert float(words[words.index("%") - 1]) / 100 == pytest.approx(known.beyond, rel=0.1)


def test_the_residual_treats_the_psf_as_the_run_did(qtbot, viewer, compare, layers, scene):
    """A recorded bead: it has an offset, and is off its centre."""
    truth, psf, _ = scene
    recorded = np.pad(psf * 20_000, [(6, 2), (10, 6), (10, 6)]) + 100
    compare.psf.value.metadata, compare.psf.value.data = {}, recorded
    run(qtbot, compare, "residual")
    assert "Little more than noise" in compare.result_line.text()

    made = layers[1].metadata[KEY] | {"parameters": {"centre_psf": False}}
    layers[1].metadata = {KEY: made}
    layers[1].data = np.roll(truth, (-2, -2, -2), (0, 1, 2))
    run(qtbot, compare, "residual")
    uncentred = float(compare.result_line.text().split()[1])
    layers[1].metadata = {KEY: made | {"parameters": {"centre_psf": True}}}
    run(qtbot, compare, "residual")
    assert uncentred < 0.7 * float(compare.result_line.text().split()[1])


def test_what_the_run_left_out_does_not_count(qtbot, viewer, compare, layers):
    image, result = layers
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:9, 20:40, 20:40] = 3
    image.data = np.where(labels > 0, 60_000, image.data)
    made = result.metadata[KEY]
    inputs = made["inputs"] | {"mask": {"layer": "dead"}}
    result.metadata = {KEY: made | {"inputs": inputs}}
    compare.fields.gain.value, compare.fields.offset.value = str(GAIN), str(OFFSET)
    run(qtbot, compare, "residual")
    line = compare.result_line.text()
    assert "Structure is left" in line
    assert "What the run left out counts here" in line
    viewer.add_labels(labels, name="dead", scale=SPACING, units=UNITS)
    run(qtbot, compare, "residual")
    line = compare.result_line.text()
    assert "Little more than noise" in line
    assert "left out" not in line
    shown = viewer.layers["cells · residual [1]"]
    assert shown.metadata[KEY]["parameters"]["layers"]["mask"] == "dead"
    shown = shown.data
    assert np.all(shown[labels > 0] == 0)


def test_a_series_is_measured_where_the_slider_stands(qtbot, viewer, open_widget, scene):
    truth, psf, image = scene
    options = {
        "scale": (1, *SPACING), "units": ("s", *UNITS), "axis_labels": tuple("tzyx"), "rgb": False,
    }  # fmt: skip
    viewer.add_image(psf, name="PSF", scale=SPACING, units=UNITS, visible=False)
    cells = viewer.add_image(np.stack([0 * image + 50, image]), name="cells", **options)
    found = {"background": [7.0, BACKGROUND], "gain": [3.0, GAIN]}
    made = provenance({}, "result", cells, found=found)
    viewer.add_image(np.stack([0 * truth, truth]), name="cells · RL", metadata=made, **options)
    widget = open_widget("Compare").widget
    viewer.dims.set_current_step(0, 1)
    run(qtbot, widget, "residual")
    shown = viewer.layers["cells · residual"]
    assert shown.data.shape == (1, *SHAPE)
    np.testing.assert_allclose(shown.translate, (1, 0, 0, 0))
    assert shown.data.std() == pytest.approx(1, abs=0.15)


def test_an_unknown_camera_is_estimated_and_a_known_one_taken(qtbot, compare, layers):
    layers[1].metadata = provenance({}, "result", layers[0])
    run(qtbot, compare, "residual")
    assert "estimated" in compare.result_line.text()
    compare.fields.gain.value, compare.fields.offset.value = "3.5", "20"
    run(qtbot, compare, "halves")
    assert "3.5 grey values a photon" in compare.result_line.text()
    compare.fields.gain.value = "many"
    compare.run_button.click()
    assert "expected one number" in compare.result_line.text()


def test_a_result_that_was_saved_and_opened_again_knows_how_it_was_made(
    qtbot, tmp_path, viewer, compare, layers
):
    path = str(tmp_path / "saved.ome.tif")
    assert layers[1].save(path, plugin="napari-deconv") == [path]
    viewer.layers.remove(layers[1])
    (opened,) = viewer.open(path, plugin="napari")
    assert (compare.image.value, compare.after.value) == (layers[0], opened)
    assert compare.psf.value == viewer.layers["PSF (mine)"]
    run(qtbot, compare, "residual")
    assert "estimated" not in compare.result_line.text()


def test_run_is_there_where_there_is_something_to_run_and_says_what_is_missing(compare, said):
    for what in ("none", "profile"):
        compare.fields.measure.value = what
        assert compare.run_button.isHidden()
    for what in ("spectrum", "halves", "pair", "residual", "split"):
        compare.fields.measure.value = what
        assert not compare.run_button.isHidden()
    compare.fields.measure.value = "none"
    compare.fields.measure.value = "residual"
    for field, words in (
        (compare.psf, "No PSF is chosen"),
        (compare.after, "No result after is chosen"),
    ):
        before, field.value = field.value, None
        compare.run_button.click()
        assert words in compare.result_line.text()
        field.value = before
    assert len(said()) == 2


def test_a_missing_voxel_size_is_asked_for(qtbot, viewer, open_widget):
    for name in ("one", "two"):
        viewer.add_image(np.random.default_rng(1).random((32, 32)), name=name)
    widget = open_widget("Compare").widget
    widget.after.value, widget.image.value = viewer.layers["two"], viewer.layers["one"]
    widget.fields.measure.value = "spectrum"
    widget.run_button.click()
    assert "no voxel size" in widget.result_line.text()
    widget.voxel_size.field.value = "0.1 × 0.1"
    Hand(qtbot, None, widget).run()
    assert curves(widget)["two"].x[-1] == pytest.approx(5)


def test_projections_lie_side_by_side(viewer, compare, layers):
    compare.fields.view.value = "projections"
    settle(compare)
    shown = [layer for layer in viewer.layers if layer.visible]
    assert [layer.name for layer in shown] == ["cells · projections", "cells · RL · projections"]
    montage = np.asarray(shown[0].data)[0]
    np.testing.assert_array_equal(montage[:64, :64], layers[0].data.max(0))
    assert montage.shape == (64 + 1 + 32, 64 + 1 + 32)
    np.testing.assert_allclose(shown[0].scale[-2:], 0.1)
    viewer.dims.set_current_step(0, 3)
    assert shown[0].get_value((3 * 0.2, 1, 1), world=True) is not None
    compare.fields.view.value = "none"
    QApplication.processEvents()
    assert "cells · projections" not in viewer.layers


def test_the_psf_of_a_run_is_chosen_whatever_came_after(viewer, open_widget):
    """Through a real run: its record holds more of a PSF layer than its place."""
    rng = np.random.default_rng(0)
    place = {"scale": (0.2, 0.1, 0.1), "units": ("µm",) * 3}
    psf = np.zeros((5, 7, 7), np.float32)
    psf[2, 3, 3] = 1
    viewer.add_image(psf, name="PSF (mine)", **place)
    viewer.add_image(rng.poisson(50.0, (8, 24, 24)).astype(np.uint16), name="cells", **place)
    hand = open_widget("Deconvolution")
    hand.widget.settings.stop.value = None
    hand.widget.settings.iterations.value = 2
    hand.run()
    viewer.add_image(psf, name="PSF (newer)", **place)
    compare = open_widget("Compare").widget
    compare.fields.measure.value = "residual"
    assert compare.psf.value.name == "PSF (mine)"
