"""From what was done to a recipe, and from the recipe to the same array."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest

from napari_deconv import (
    Beads,
    Psf,
    Recipe,
    Rejection,
    convolve,
    deconvolve,
    detect_beads,
    distill_psf,
    estimate_background,
    load_psf,
    make_psf,
    sample_data,
    simulate_acquisition,
    subtract_background,
    write_image,
)
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image
from napari_deconv.provenance import describe, file_origin, made, record
from napari_deconv.psf.clean import repair_psf
from napari_deconv.sample_data import beads_widefield

SPACING = (0.2, 0.08, 0.08)
CPU = get_engine("cpu")
PSF = make_psf("gaussian", shape=(9, 15, 15), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))


def cross(shape=(12, 32, 32)):
    """A blurred cross, photons counted."""
    truth = np.zeros(shape, np.float32)
    truth[..., 16, 8:24] = truth[..., 8:24, 16] = 500
    truth *= np.hanning(shape[0])[:, None, None]
    return np.random.default_rng(0).poisson(convolve(truth, PSF, engine="cpu") + 10).astype("u2")


IMAGE = cross()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with the image, alone and as the second channel of another, and the PSF."""
    monkeypatch.chdir(tmp_path)
    write_image("image.tif", IMAGE, SPACING)
    write_image("both.ome.tif", np.stack([IMAGE[::-1], IMAGE]), SPACING)
    write_image("mask.tif", (IMAGE < 60).astype(np.uint8))
    PSF.save("psf.ome.tif")
    return tmp_path


def written(text, name="recipe.yaml"):
    Path(name).write_text(f"napari-deconv: 1\n{text}\nengine: cpu\n")
    return Recipe.load(name)


def array_of(result):
    return result.positions if isinstance(result, Beads) else np.asarray(result)


def everything_agrees(recipe, expected):
    """Run, the script, the record of the run, and the YAML of that record give one array."""
    expected = array_of(expected)
    outcome = recipe.plan().run()
    np.testing.assert_array_equal(array_of(outcome.result), expected)
    names: dict[str, object] = {}
    script = recipe.to_python()
    exec(script, names)
    last = script.rstrip().rpartition("\n")[2]
    name = recipe.plan().result.name
    assert name in names, last
    np.testing.assert_array_equal(array_of(names[name]), expected)
    tree = json.loads(json.dumps(outcome.record, allow_nan=False))
    again = Recipe.of(tree)
    again.save("again.yaml")
    reloaded = Recipe.load("again.yaml")
    assert reloaded == Recipe.of(tree)
    np.testing.assert_array_equal(array_of(reloaded.run()), expected)
    return again


# -- each step ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ("method: richardson_lucy, iterations: 6, stop: quality, levels: auto", {
            "iterations": 6, "stop": "quality", "levels": "auto"}),
        ("iterations: 5, regularization: tv, regularization_weight: 1e-3, background: 10", {
            "iterations": 5, "regularization": "tv", "regularization_weight": 1e-3,
            "background": 10.0}),
        ("method: wiener, regularization_weight: auto, boundary: reflect", {
            "method": "wiener", "regularization_weight": "auto", "boundary": "reflect"}),
        ("method: landweber, iterations: 4", {"method": "landweber", "iterations": 4}),
        ("method: gradient_consensus, iterations: 4, gain: 1", {
            "method": "gradient_consensus", "iterations": 4, "gain": 1.0}),
        ("method: blind, iterations: 3, symmetric_psf: true", {
            "method": "blind", "iterations": 3, "symmetric_psf": True}),
        ("acceleration: null, iterations: 3, centre_psf: false", {
            "acceleration": None, "iterations": 3, "centre_psf": False}),
    ],
)  # fmt: skip
def test_deconvolution(options, given):
    recipe = written(f"input: image.tif\npsf: {{file: psf.ome.tif}}\ndeconvolution: {{{options}}}")
    psf = load_psf("psf.ome.tif")[0]
    everything_agrees(recipe, deconvolve(IMAGE, psf, spacing=SPACING, engine="cpu", **given))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("options", "given"),
    [
        ("method: percentile, percentile: 5", {"percentile": 5}),
        ("method: top_hat, radius: 0.5", {"radius": 0.5, "spacing": SPACING}),
        ("method: mean, floor: 0", {"floor": 0}),
        ("method: gaussian, radius: 3, spacing: pixels", {"radius": 3}),
    ],
)
def test_background(options, given):
    method = options.split(":")[1].split(",")[0].strip()
    recipe = written(f"input: image.tif\nbackground: {{{options}}}")
    expected = subtract_background(IMAGE, method, engine="cpu", **given)
    assert "pixels" not in everything_agrees(recipe, expected).to_yaml() or "pixels" in options


@pytest.mark.usefixtures("files")
def test_the_background_itself():
    recipe = written("input: image.tif\nbackground_estimate: {method: gaussian, radius: 0.8}")
    expected = estimate_background(IMAGE, "gaussian", radius=0.8, spacing=SPACING, engine="cpu")
    everything_agrees(recipe, expected)


@pytest.mark.usefixtures("files")
def test_convolution_and_acquisition():
    source = "input: image.tif\npsf: {file: psf.ome.tif}\n"
    expected = convolve(IMAGE, PSF, boundary="circular", spacing=SPACING, engine="cpu")
    everything_agrees(written(source + "convolution: {boundary: circular}"), expected)
    expected = simulate_acquisition(IMAGE, PSF, photons=80, seed=3, spacing=SPACING, engine="cpu")
    everything_agrees(written(source + "acquisition: {photons: 80, seed: 3}"), expected)


@pytest.mark.usefixtures("files")
def test_a_channel_a_mask_and_two_dimensions():
    psf = load_psf("psf.ome.tif")[0]
    recipe = written(
        "input: {path: both.ome.tif, channel: 1}\nmask: mask.tif\npsf: {file: psf.ome.tif}\n"
        "deconvolution: {iterations: 4}"
    )
    expected = deconvolve(IMAGE, psf, mask=IMAGE < 60, iterations=4, spacing=SPACING, engine="cpu")
    everything_agrees(recipe, expected)

    write_image("plane.tif", IMAGE[6], SPACING[1:])
    recipe = written(
        "input: plane.tif\ndeconvolution: {iterations: 4}\n"
        "psf: {optics: {model: gaussian, shape: [15, 15], fwhm: 0.25}}"
    )
    plane = make_psf("gaussian", shape=(15, 15), spacing=SPACING[1:], fwhm=0.25)
    expected = deconvolve(IMAGE[6], plane, iterations=4, spacing=SPACING[1:], engine="cpu")
    everything_agrees(recipe, expected)


@pytest.mark.usefixtures("files")
def test_a_chain_in_another_order():
    """Deconvolved, then its background taken away, then blurred with a PSF that was found."""
    recipe = written("""
input:
  recipe:
    input:
      recipe: {input: image.tif, psf: {file: psf.ome.tif}, deconvolution: {iterations: 4}}
    background: {method: percentile, percentile: 10}
psf:
  recipe:
    input: image.tif
    psf: {file: psf.ome.tif}
    deconvolution: {method: blind, iterations: 2}
convolution: {}""")
    options = {"spacing": SPACING, "engine": "cpu"}
    sharp = deconvolve(IMAGE, PSF, iterations=4, **options)
    dark = subtract_background(sharp.image, "percentile", percentile=10, engine="cpu")
    found = deconvolve(IMAGE, PSF, method="blind", iterations=2, **options).psf
    everything_agrees(recipe, convolve(dark, found, **options))


def test_psfs_of_optics(files):
    recipe = written(
        "psf: {optics: {model: vectorial, shape: [11, 49, 49], spacing: [0.2, 0.08, 0.08], na: 1.2,"
        " wavelength: 0.52, modality: confocal, excitation: .488, pinhole: .inf}}"
    )
    expected = make_psf(
        "vectorial", shape=(11, 49, 49), spacing=SPACING, na=1.2, wavelength=0.52,
        modality="confocal", excitation=0.488, pinhole=float("inf"), engine="cpu",
    )  # fmt: skip
    everything_agrees(recipe, expected)
    recipe.run().save(files / "made.ome.tif")
    assert Recipe.of(Psf.load("made.ome.tif").metadata).psf == Recipe.load("again.yaml").psf


@pytest.fixture(scope="module")
def sample():
    return beads_widefield((24, 96, 96), engine="cpu")


@pytest.mark.filterwarnings("ignore::napari_deconv.DeconvWarning")
def test_beads_and_what_is_distilled_from_them(tmp_path, monkeypatch, sample):
    monkeypatch.chdir(tmp_path)
    write_image("beads.tif", sample.image, SPACING)
    options = {"spacing": SPACING, "bead_diameter": 0.1, "engine": "cpu"}
    rules = Rejection(neighbour=False, brightness_range=(0.3, 3.0))
    found = detect_beads(sample.image, reject=rules, **options)
    finding = "bead_diameter: 0.1, reject: {neighbour: false, brightness_range: [0.3, 3]}"
    everything_agrees(written(f"input: beads.tif\nbeads: {{{finding}}}"), found)

    shape = "bead_diameter: 0.1, shape: [11, 21, 21], iterations: 5"
    psf = distill_psf(sample.image, found, shape=(11, 21, 21), iterations=5, **options)
    recipe = written(f"psf: {{beads: {{path: beads.tif, detection: {{{finding}}}, {shape}}}}}")
    again = everything_agrees(recipe, psf)
    assert again.psf.beads.detection.reject.neighbour is False

    # beads found on another image than the one they are distilled from
    clear = subtract_background(sample.image, "top_hat", radius=1, spacing=SPACING, engine="cpu")
    elsewhere = detect_beads(clear, **options)
    recipe = written(f"""
psf:
  beads:
    path: beads.tif
    {shape.replace(", shape", chr(10) + "    shape").replace("], i", "]" + chr(10) + "    i")}
    detection:
      recipe:
        input: beads.tif
        background: {{method: top_hat, radius: 1}}
        beads: {{bead_diameter: 0.1}}""")
    expected = distill_psf(sample.image, elsewhere, shape=(11, 21, 21), iterations=5, **options)
    everything_agrees(recipe, expected)


def test_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = sample_data.cells_widefield
    small = functools.wraps(whole)(functools.cache(lambda: whole((8, 64, 64), engine="cpu")))
    monkeypatch.setattr(sample_data, "cells_widefield", small)
    recipe = written(
        "input: {sample: cells_widefield}\npsf: {sample: cells_widefield}\n"
        "deconvolution: {method: wiener}"
    )
    sample = small()
    expected = deconvolve(
        sample.image, sample.psf, method="wiener", spacing=sample.spacing, engine="cpu"
    )
    everything_agrees(recipe, expected)


# -- what a widget writes down --------------------------------------------------------------------


def widgets_record(result, **inputs):
    return record(result.recipe, inputs, made(0.5, CPU, result.stop_reason))


@pytest.mark.filterwarnings("ignore:The PSF had an offset")
def test_what_was_gone_on_from(tmp_path):
    """30 iterations and 10 more of layers that are in no file; the PSF is a raw recording."""
    recorded = PSF.data * 1e5 + 100
    points = Psf(repair_psf(recorded)[0], SPACING)
    options = {"spacing": SPACING, "engine": "cpu", "background": 10.0}
    origins = {
        "image": {"layer": "cells"},
        "psf": {"layer": "recorded", "spacing": list(SPACING)},
        "mask": {"layer": "Labels"},
    }
    mask = IMAGE < 60
    first = deconvolve(IMAGE, points, iterations=30, mask=mask, **options)
    more = deconvolve(IMAGE, points, iterations=10, mask=mask, initial=first, **options)
    before = widgets_record(first, **origins)
    recipe = Recipe.of(widgets_record(more, **origins, initial=before))
    assert recipe.layers == ("cells", "recorded", "Labels")
    arrays = {"cells": Image(IMAGE, None, "ZYX"), "recorded": recorded, "Labels": mask}
    np.testing.assert_array_equal(recipe.run(arrays=arrays), more.image)

    recipe.save(tmp_path / "go.yaml", arrays)
    assert {path.name for path in tmp_path.iterdir()} == {
        "go.yaml", "go.image.ome.tif", "go.psf.ome.tif", "go.mask.ome.tif",
    }  # fmt: skip
    text = (tmp_path / "go.yaml").read_text()
    assert "path: go.image.ome.tif" in text
    assert "layer" not in text
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in list(tmp_path.glob("go.*")):
        path.rename(moved / path.name)
    again = Recipe.load(moved / "go.yaml")
    np.testing.assert_array_equal(again.run(), more.image)
    names: dict[str, object] = {}
    exec(again.to_python(), names)
    np.testing.assert_array_equal(names["result"], more.image)


def test_paths_are_relative_to_the_recipe_only_beside_it(files):
    """Wherever it is saved from and loaded from, it is the same file."""
    recipe = Recipe.model_validate({
        "napari-deconv": 1, "input": {"path": "image.tif"}, "background": {"method": "mean"},
    })  # fmt: skip
    (files / "sub").mkdir()
    for place, path in (("here.yaml", "image.tif"), ("sub/there.yaml", str(files / "image.tif"))):
        recipe.save(place)
        assert f"path: {path}" in Path(place).read_text()
        assert Recipe.load(place).input.path == str(files / "image.tif")


def test_where_an_array_is_in_a_file(files):
    both = str((files / "both.ome.tif").resolve())
    assert file_origin("both.ome.tif", IMAGE) == {"path": both, "channel": 1}
    assert file_origin(both, np.stack([IMAGE[::-1], IMAGE])) == {"path": both}
    assert file_origin(both, IMAGE + 1) is None
    assert file_origin("missing.tif", IMAGE) is None


def test_the_script_for_the_console():
    result = deconvolve(IMAGE, PSF, iterations=2, spacing=SPACING, engine="cpu")
    origins = {"image": {"layer": 'a "cell"'}, "psf": {"layer": "psf"}}
    viewer = type("Viewer", (), {"layers": {'a "cell"': Image(IMAGE, None, "ZYX"), "psf": PSF}})
    script = Recipe.of(widgets_record(result, **origins)).to_python()
    names = {"viewer": viewer}
    exec(script, names)
    np.testing.assert_array_equal(names["result"], result.image)


def test_other_image_other_engine(files):
    text = (
        "input: image.tif\npsf: {file: psf.ome.tif}\nbackground: {method: constant, value: 0}\n"
        "deconvolution: {iterations: 10}"
    )
    recipe = written(text)
    other = np.ascontiguousarray(IMAGE[:, ::-1])
    write_image("other.tif", other, SPACING)
    expected = np.asarray(recipe.run("other.tif"))
    assert not np.array_equal(expected, recipe.run())
    for given_image in (Path("other.tif"), Image(other, SPACING, "ZYX")):
        np.testing.assert_array_equal(recipe.run(given_image), expected)
    elsewhere = recipe.run("other.tif", engine="opencl")
    assert elsewhere.recipe["engine"].startswith("opencl")
    assert np.abs(elsewhere - expected).max() < 1e-3 * expected.max()
    with pytest.raises(DeconvError, match=r"has no voxel size.*spacing: \[z, y, x\]"):
        recipe.run(other)


@pytest.mark.filterwarnings("ignore::napari_deconv.DeconvWarning")
def test_beads_changed_by_hand(tmp_path, sample):
    options = {"spacing": SPACING, "bead_diameter": 0.1, "engine": "cpu"}
    found = detect_beads(sample.image, **options)
    psf = distill_psf(sample.image, found, shape=(11, 21, 21), iterations=5, **options)
    origins = {"image": {"layer": "beads"}, "beads": {"layer": "beads · beads"}}
    recipe = Recipe.of(record(psf.metadata, origins, made(1, CPU)))
    recipe.save(tmp_path / "p.yaml", {"beads": sample.image, "beads · beads": found})
    np.testing.assert_array_equal(Recipe.load(tmp_path / "p.yaml").run(), psf.data)
    with pytest.raises(DeconvError, match="needs the arrays of beads: they are in no file"):
        recipe.save(tmp_path / "q.yaml", {"beads · beads": found})
    with pytest.raises(DeconvError, match="the layer “beads”, which is not in it"):
        recipe.run()


def test_a_record_that_does_not_say_enough():
    call = describe("deconvolve", {"iterations": 3, "background": IMAGE}, CPU)
    for tree, message in (
        ({"sample": "cells_widefield"}, "nothing to write down"),
        ({"operation": "sharpen"}, "cannot say 'sharpen'"),
        (describe("deconvolve", {}, CPU), "not written down what"),
        (call | {"inputs": {"image": {"path": "a"}}}, "background was an array of shape"),
    ):
        with pytest.raises(DeconvError, match=message):
            Recipe.of(tree)
