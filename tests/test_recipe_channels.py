"""Recipes with a PSF for each channel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_deconv import (
    Recipe,
    deconvolve,
    make_psf,
    prepare_blocks,
    subtract_background,
    write_image,
)
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image
from napari_deconv.psf.synthetic.presets import fluorophores
from napari_deconv.recipe.channels import psf_of_each, stack_blocks, stack_channels
from napari_deconv.recipe.schema import PsfSource

SPACING = (0.2, 0.08, 0.08)
NARROW = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.2, 0.2))
WIDE = make_psf("gaussian", shape=(7, 11, 11), spacing=SPACING, fwhm=(0.7, 0.3, 0.3))
IMAGE = np.random.default_rng(0).poisson(30, (2, 2, 8, 24, 24)).astype("u2")
IMAGE[..., 4, 12, 6:18] += 300
RECIPE = """napari-deconv: 1
input: {path: cells.ome.tif}
psf:
  channels:
  - {file: narrow.ome.tif}
  - {optics: {model: gaussian, shape: [7, 11, 11], fwhm: [0.7, 0.3, 0.3]}}
deconvolution: {iterations: 6, stop: quality}
engine: cpu
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("cells.ome.tif", IMAGE, SPACING, axes="TCZYX", channels=["DAPI", "GFP"])
    NARROW.save("narrow.ome.tif")
    Path("recipe.yaml").write_text(RECIPE)
    return tmp_path


def alone(image, psf, **options):
    return deconvolve(
        image, psf, iterations=6, stop="quality", spacing=SPACING, engine="cpu", **options
    )


@pytest.mark.usefixtures("files")
def test_each_channel_is_as_if_it_were_alone():
    recipe = Recipe.load("recipe.yaml")
    expected = [alone(IMAGE[:, channel], psf) for channel, psf in enumerate((NARROW, WIDE))]
    outcome = recipe.plan().run()
    result = outcome.result
    np.testing.assert_array_equal(result.image, np.stack([e.image for e in expected], 1))
    for name in ("divergence", "quality", "flux"):
        for channel, one in enumerate(expected):
            rows = one.history[name].shape[-1]
            np.testing.assert_array_equal(
                result.history[name][:, channel, :rows], one.history[name]
            )
    np.testing.assert_array_equal(result.background, np.stack([e.background for e in expected], 1))
    assert result.iterations == max(e.iterations for e in expected)

    names: dict[str, object] = {}
    exec(recipe.to_python(), names)
    np.testing.assert_array_equal(names["result"].image, result.image)
    again = Recipe.of(json.loads(json.dumps(outcome.record, allow_nan=False)))
    again.save("again.yaml")
    assert Recipe.load("again.yaml") == again
    np.testing.assert_array_equal(again.run().image, result.image)
    given = Image(IMAGE, SPACING, "TCZYX")
    np.testing.assert_array_equal(recipe.run(given).image, result.image)


@pytest.mark.usefixtures("files")
def test_background_and_mask_are_those_of_each_channel():
    mask = IMAGE[0, 0] < 250
    write_image("mask.tif", mask.astype(np.uint8))
    text = RECIPE.replace("psf:", "mask: mask.tif\nbackground: {method: mean, factor: 0.5}\npsf:")
    Path("recipe.yaml").write_text(text.replace("TCZYX", "CZYX"))
    write_image("cells.ome.tif", IMAGE[0], SPACING, axes="CZYX")
    result = Recipe.load("recipe.yaml").run()
    for channel, psf in enumerate((NARROW, WIDE)):
        less = subtract_background(IMAGE[0, channel], factor=0.5, engine="cpu")
        expected = alone(less, psf, mask=mask)
        np.testing.assert_array_equal(result.image[channel], expected.image)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - {file: narrow.ome.tif}\n", "", "PSFs for 1 channels, the image has 2 channels"),
        ("path: cells.ome.tif", "path: narrow.ome.tif", "the image has no channels"),
        ("cells.ome.tif}", "cells.ome.tif, channel: 1}", "its input is one channel"),
        ("path: cells.ome.tif", "sample: cells_widefield", "a sample or a layer"),
        ("  - {file: narrow.ome.tif}", "  - {fil: narrow.ome.tif}",
         r"line 5: psf.channels.0.fil is not known: did you mean file\?"),
        ("  - {file: narrow.ome.tif}", "  - {channels: [{file: a}]}",
         "line 4: psf.channels cannot be: a channel has no"),
        ("deconvolution: {iterations: 6, stop: quality}", "convolution: {}",
         "a PSF for each channel belongs to a deconvolution"),
        ("engine: cpu", "initial: narrow.ome.tif", "line 8: initial cannot be: with a PSF for"),
    ],
)  # fmt: skip
def test_what_does_not_fit(old, new, message):
    assert old in RECIPE
    Path("recipe.yaml").write_text(RECIPE.replace(old, new))
    with pytest.raises(DeconvError, match=message):
        Recipe.load("recipe.yaml").run()


def test_the_light_of_a_channel_is_in_its_name():
    seen = {"model": "vectorial", "shape": [5, 9, 9], "na": 1.2}
    source = PsfSource.model_validate({"optics": seen})
    each = psf_of_each(source, ["DAPI", "EGFP-tubulin"]).channels
    for psf, name in zip(each, ("DAPI", "GFP"), strict=True):
        assert psf.optics.wavelength == fluorophores()[name].emission / 1000
        assert psf.optics.excitation is None  # widefield takes none
    assert psf_of_each(source, ["DAPI"]).optics.wavelength == each[0].optics.wavelength
    assert psf_of_each(source, ["DAPI", "brightfield"]) is source
    assert psf_of_each(source, []) is source
    confocal = PsfSource.model_validate({
        "channels": [{"optics": seen | {"modality": "confocal", "excitation": 0.4}},
                     {"optics": seen | {"wavelength": 0.7}}, {"file": "a.tif"}]
    })  # fmt: skip
    first, second, third = psf_of_each(confocal, ["DAPI", "GFP", "Cy5"]).channels
    assert (first.optics.excitation, second.optics.wavelength, third.file) == (0.4, 0.7, "a.tif")
    assert first.optics.wavelength == each[0].optics.wavelength


def test_what_a_channel_has_fewer_rows_of_is_missing():
    options = {"spacing": SPACING, "engine": "cpu", "background": 20.0, "keep_every": 4}
    long, short = (
        deconvolve(IMAGE[:, channel], NARROW, iterations=steps, **options)
        for channel, steps in enumerate((12, 6))
    )
    stacked = stack_channels(Image(IMAGE, SPACING, "TCZYX"), [long, short])
    assert stacked.iterations == 12
    np.testing.assert_array_equal(stacked.history["iteration"][0], [[0, 5, 10], [0, 5, -1]])
    for name in ("divergence", "flux", "seconds"):
        rows = stacked.history[name]
        np.testing.assert_array_equal(rows[:, 0], long.history[name])
        np.testing.assert_array_equal(rows[:, 1, :2], short.history[name])
        assert np.isnan(rows[:, 1, 2]).all()
    # As of a series, what has ended shows its result.
    assert list(stacked.intermediate) == [4, 8, 12]
    np.testing.assert_array_equal(stacked.intermediate[4][:, 1], short.intermediate[4])
    np.testing.assert_array_equal(stacked.intermediate[8][:, 1], short.image)


def test_what_was_found_stays_with_its_time_and_channel():
    image = IMAGE * np.array([[1, 2], [3, 4]])[..., None, None, None]
    options = {"spacing": SPACING, "engine": "cpu", "block": (8, 12, 24), "iterations": 2}
    results = [prepare_blocks(image[:, channel], NARROW, **options) for channel in (0, 1)]
    stacked = stack_blocks(Image(image, SPACING, "TCZYX"), results)
    assert stacked.background.shape == stacked.image.shape[:2] == (2, 2)
    for time, channel in np.ndindex(2, 2):
        alone = results[channel]
        assert stacked.surveys[time, channel] is alone.surveys[time,]
        assert stacked.background[time, channel] == alone.background[time]
    one = stacked.image[1, 0].compute(scheduler="synchronous")
    np.testing.assert_array_equal(one, results[0].image[1].compute(scheduler="synchronous"))
