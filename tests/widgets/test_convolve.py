"""Convolve and Simulate acquisition, as a person uses them."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING, blob
from npe2 import PluginManifest

from napari_deconv import Psf, Recipe, convolve, simulate_acquisition
from napari_deconv.psf.psf import resample_psf
from napari_deconv.widgets.common.layers import KEY

WIDGETS = ["Convolve", "Simulate acquisition"]
UNITS = ("µm",) * 3
CAMERA = {"photons": 300, "background": 5, "read_noise": 1.5, "gain": 2, "offset": 50, "seed": 4}


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(2)
    volume = np.zeros((12, 40, 44), np.float32)
    volume[rng.integers(2, 10, 20), rng.integers(4, 36, 20), rng.integers(4, 40, 20)] = 100
    return volume


@pytest.fixture
def psf_layer(viewer, psf_array):
    return viewer.add_image(psf_array, name="PSF", scale=SPACING, units=UNITS)


@pytest.fixture
def simulate(open_widget):
    """Open Simulate acquisition with the camera set."""

    def open_it():
        hand = open_widget("Simulate acquisition")
        for name, value in CAMERA.items():
            getattr(hand.widget, name).value = value
        return hand

    return open_it


def expected(psf, image, **given):
    return simulate_acquisition(image, psf, **CAMERA, **given, engine="cpu")


def test_they_are_in_the_filter_menu():
    menus = PluginManifest.from_distribution("napari-deconv").contributions.menus
    commands = {entry.command for entry in menus["napari/layers/filter"]}
    assert {"napari-deconv.convolve", "napari-deconv.simulate"} <= commands


def test_a_stack_is_blurred(viewer, open_widget, truth, psf_layer):
    source = viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = open_widget("Convolve")
    assert (hand.widget.image.value, hand.widget.psf.value) == (source, psf_layer)
    hand.run()
    result = viewer.layers[-1]
    assert result.name == "cells · blurred"
    assert result.data.dtype == np.float32
    psf = Psf(psf_layer.data, SPACING)
    np.testing.assert_array_equal(result.data, convolve(truth, psf, engine="cpu"))
    assert hand.widget.result_line.text().startswith("Blurred with “PSF”. ")
    written = result.metadata[KEY]
    assert (written["operation"], written["role"], written["source"]) == (
        "convolve", "result", "cells",
    )  # fmt: skip
    hand.run()
    assert viewer.layers[-1].name.startswith("cells · blurred")  # not the blurred one again
    assert hand.widget.image.value == source


@pytest.mark.parametrize("boundary", ["zero", "circular"])
def test_what_lies_outside(viewer, open_widget, truth, psf_layer, boundary):
    viewer.add_image(truth, scale=SPACING, units=UNITS)
    hand = open_widget("Convolve")
    hand.widget.boundary.value = boundary
    hand.run()
    blurred = convolve(truth, psf_layer.data, boundary=boundary, engine="cpu")
    np.testing.assert_allclose(viewer.layers[-1].data, blurred, rtol=0, atol=1e-5 * blurred.max())


def test_a_camera_records_a_stack(viewer, simulate, truth, psf_layer):
    source = viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = simulate()
    hand.run()
    result = viewer.layers[-1]
    assert result.name == "cells · simulated"
    assert result.data.dtype == np.uint16
    np.testing.assert_array_equal(result.data, expected(psf_layer.data, truth))
    ratio = 300 / np.sqrt(300 + 5 + 0.75**2)
    assert f"Signal-to-noise ratio {ratio:.3g} in the brightest" in hand.widget.result_line.text()
    assert result.metadata[KEY]["parameters"]["photons"] == 300
    # what comes out is an image to deconvolve, not the next object to simulate
    assert hand.widget.image.value == source
    assert result.metadata[KEY]["role"] == "image"
    hand.widget.seed.value = 5
    hand.run()
    assert np.mean(viewer.layers[-1].data != result.data) > 0.5


def test_the_result_is_what_deconvolution_takes(viewer, simulate, open_widget, truth, psf_layer):
    metadata = {KEY: {"role": "truth"}}
    viewer.add_image(truth, name="t", scale=SPACING, units=UNITS, metadata=metadata)
    simulate().run()
    widget = open_widget("Deconvolution").widget
    assert (widget.image.value.name, widget.psf.value) == ("t · simulated", psf_layer)


def test_a_plane(viewer, simulate, truth, psf_array):
    viewer.add_image(psf_array[6], name="PSF", scale=SPACING[1:], units=("µm",) * 2)
    viewer.add_image(truth.max(axis=0), name="cells", scale=SPACING[1:], units=("µm",) * 2)
    simulate().run()
    np.testing.assert_array_equal(viewer.layers[-1].data, expected(psf_array[6], truth.max(axis=0)))


@pytest.mark.parametrize("title", WIDGETS)
def test_a_series_of_stacks(viewer, open_widget, truth, psf_layer, title):
    series = np.stack([truth, truth[:, ::-1], truth / 2])
    source = viewer.add_image(
        series, name="series", scale=(2, *SPACING), units=("s", *UNITS), axis_labels=tuple("tzyx")
    )
    open_widget(title).run()
    result = viewer.layers[-1]
    np.testing.assert_array_equal(result.scale, source.scale)
    assert result.units == source.units
    if title == "Convolve":
        for frame, image in zip(result.data, series, strict=True):
            np.testing.assert_array_equal(frame, convolve(image, psf_layer.data, engine="cpu"))
    else:
        assert result.data.shape == series.shape
        first, *_, last = (frame.max() - 110.0 for frame in result.data)
        assert last == pytest.approx(first / 2, rel=0.3)  # one exposure, not one for each


def test_channels_of_planes(viewer, open_widget, truth, psf_array):
    viewer.add_image(psf_array[6], name="PSF", scale=SPACING[1:], units=("µm",) * 2)
    viewer.add_image(
        truth[:3], name="channels", scale=(1, *SPACING[1:]), units=("pixel", "µm", "µm"),
        axis_labels=("c", "y", "x"),
    )  # fmt: skip
    open_widget("Convolve").run()
    for plane, image in zip(viewer.layers[-1].data, truth[:3], strict=True):
        np.testing.assert_array_equal(plane, convolve(image, psf_array[6], engine="cpu"))


@pytest.mark.parametrize("title", WIDGETS)
def test_it_lies_on_its_source(viewer, open_widget, truth, psf_layer, title):
    turn, affine = np.eye(3), np.eye(4)  # in the plane: napari draws no other
    turn[1:, 1:], affine[1:3, 1:] = [[0.8, -0.6], [0.6, 0.8]], [[1, 0.2, 5], [-0.1, 1.1, 3]]
    source = viewer.add_image(
        truth, name="cells", scale=SPACING, units=UNITS, translate=(1, -2, 3), rotate=turn,
        affine=affine, colormap="green", blending="additive", visible=False,
    )  # fmt: skip
    open_widget(title).run()
    result = viewer.layers[-1]
    for corner in ((0, 0, 0), (11, 0, 43), (5.5, 39, 7)):
        np.testing.assert_allclose(result.data_to_world(corner), source.data_to_world(corner))
    assert (result.colormap.name, result.blending) == ("green", "additive")
    np.testing.assert_array_equal(source.data, truth)
    assert result.visible


@pytest.mark.parametrize("title", WIDGETS)
def test_a_layer_in_nanometres(viewer, open_widget, said, truth, psf_layer, title):
    scale = tuple(1000 * step for step in SPACING)
    viewer.add_image(truth, name="cells", scale=scale, units=("nm",) * 3)
    hand = open_widget(title)
    assert hand.widget.voxel_size.field.value == "0.25 × 0.1 × 0.1"
    hand.run()
    np.testing.assert_array_equal(viewer.layers[-1].scale, scale)
    assert not [message for message in said() if "resampled" in message]


def test_a_psf_of_other_voxels(viewer, open_widget, truth):
    fine = blob((25, 13, 13), (12, 6, 6), (2.7, 1.3, 1.3)).astype(np.float32)
    step = (0.125, 0.1, 0.1)
    viewer.add_image(fine, name="PSF", scale=step, units=UNITS)
    viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = open_widget("Convolve")
    hand.run()
    assert "the PSF was resampled" in hand.widget.result_line.text()
    psf = resample_psf(Psf(fine, step), SPACING)
    np.testing.assert_array_equal(viewer.layers[-1].data, convolve(truth, psf, engine="cpu"))


@pytest.mark.parametrize("title", WIDGETS)
def test_voxel_sizes_that_layers_lack_are_asked_for(viewer, open_widget, truth, psf_array, title):
    viewer.add_image(truth, name="cells")
    viewer.add_image(psf_array, name="PSF")
    hand = open_widget(title)
    widget = hand.widget
    asked = widget.psf_voxel_size
    assert "The PSF has no voxel size: enter it." in asked.note.value
    assert asked.note.native.isVisibleTo(widget)
    hand.click()
    assert "The PSF has no voxel size. Enter it above" in widget.result_line.text()
    asked.field.value = "0.125 × 0.1 × 0.1"
    hand.click()
    assert "The layer has no voxel size. Enter it above" in widget.result_line.text()
    widget.voxel_size.field.value = "0.25 × 0.1 × 0.1"
    hand.run()
    result = viewer.layers[-1]
    assert result.metadata[KEY]["inputs"]["psf"]["spacing"] == [0.125, 0.1, 0.1]
    assert result.metadata[KEY]["parameters"]["spacing"] == list(SPACING)
    if title == "Convolve":
        psf = resample_psf(Psf(psf_array, (0.125, 0.1, 0.1)), SPACING)
        np.testing.assert_array_equal(result.data, convolve(truth, psf, engine="cpu"))
    viewer.layers["PSF"].scale, viewer.layers["PSF"].units = SPACING, UNITS
    assert not asked.field.native.isVisibleTo(widget)


def test_a_raw_recording_of_a_bead_is_repaired(viewer, open_widget, truth, psf_array):
    recorded = np.pad(psf_array, 10) * 500 + 100
    viewer.add_image(recorded, name="PSF", scale=SPACING, units=UNITS)
    viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = open_widget("Convolve")
    hand.run()
    blurred = convolve(truth, psf_array, engine="cpu")
    np.testing.assert_allclose(viewer.layers[-1].data, blurred, rtol=0, atol=0.02 * blurred.max())


@pytest.mark.parametrize("title", WIDGETS)
def test_what_cannot_be_is_said(viewer, open_widget, truth, psf_layer, title):
    hand = open_widget(title)
    widget = hand.widget
    hand.click()
    assert "No image is chosen" in widget.result_line.text()
    viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    widget.psf.value = viewer.layers["cells"]
    hand.click()
    assert "chosen as the image and as the PSF" in widget.result_line.text()
    widget.psf.value = None
    hand.click()
    assert "No PSF is chosen" in widget.result_line.text()
    plane = viewer.add_image(truth[0], name="plane", scale=SPACING[1:], units=("µm",) * 2)
    widget.image.value, widget.psf.value = plane, psf_layer
    hand.click()
    assert "“plane” is planes (y, x), the PSF has 3 axes" in widget.result_line.text()
    assert len(viewer.layers) == 3


def test_saturation_is_said(viewer, simulate, said, truth, psf_layer):
    viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = simulate()
    hand.widget.bits.value = 8
    hand.run()
    assert viewer.layers[-1].data.max() == 255
    assert "voxels are saturated, at 255" in hand.widget.result_line.text()


def test_a_series_can_be_cancelled(viewer, open_widget, slowly, truth, psf_layer):
    viewer.add_image(
        np.stack([truth] * 50), scale=(1, *SPACING), units=("s", *UNITS), axis_labels=tuple("tzyx")
    )
    hand = open_widget("Convolve")
    hand.click()
    hand.wait_for_progress()
    hand.click()
    hand.wait()
    assert hand.widget.result_line.text() == "Cancelled."
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("title", WIDGETS)
def test_the_recipe_makes_it_again(viewer, open_widget, tmp_path, truth, psf_layer, title):
    viewer.add_image(truth, name="cells", scale=SPACING, units=UNITS)
    hand = open_widget(title)
    hand.run()
    hand.widget.outcome.recipe.save(tmp_path / "recipe.yaml")
    again = Recipe.load(tmp_path / "recipe.yaml").run()
    np.testing.assert_array_equal(again, viewer.layers[-1].data)
