"""Whether a file is done in tiles, and which, as the memory allows."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from math import prod
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_deconv import (
    DeconvError,
    Psf,
    Recipe,
    begun_blocks,
    make_psf,
    plan_blocks,
    read_image,
    set_limits,
    subtract_background,
    write_image,
)
from napari_deconv.deconvolution import parts
from napari_deconv.recipe.jobs import Job, Workshop
from napari_deconv.recipe.kept import Kept
from napari_deconv.recipe.plan import unwatched

SPACING = (0.2, 0.1, 0.1)
IMAGE = np.random.default_rng(0).poisson(50, (16, 80, 80)).astype(np.uint16)

pytestmark = pytest.mark.usefixtures("no_limits")


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image("a.tif", IMAGE, SPACING)
    psf = make_psf("gaussian", shape=(5, 7, 7), spacing=SPACING, fwhm=(0.4, 0.2, 0.2))
    psf.save("psf.tif")
    Path("r.yaml").write_text(
        "napari-deconv: 1\npsf: {file: psf.tif}\nengine: cpu\n"
        "deconvolution: {iterations: 2, background: 10}\n"
    )
    source = Path("a.tif")
    return Job(Recipe.load("r.yaml").on(source), source, Path("b.ome.zarr"))


def test_what_fits_is_done_in_one_piece(job):
    assert Workshop().plans(job) == []


def test_what_the_run_would_refuse_the_plan_refuses(job):
    write_image("a.tif", IMAGE)
    with pytest.raises(DeconvError, match="voxel size"):
        Workshop().plans(job)


def test_optics_of_other_axes_than_the_image(job):
    text = "napari-deconv: 1\ndeconvolution: {}\npsf: {optics: {model: gaussian, shape: %s}}\n"
    write_image("plane.tif", IMAGE[0], SPACING[1:])
    for path, shape, axes in (("plane.tif", [5, 7, 7], "y, x"), ("a.tif", [7, 7], "z, y, x")):
        Path("r.yaml").write_text(text % shape)
        other = Job(Recipe.load("r.yaml").on(path), Path(path), job.target)
        with pytest.raises(DeconvError) as error:
            Workshop().plans(other)
        assert f"psf.optics.shape is {shape}, and the image has the axes {axes}:" in str(
            error.value
        )


def test_what_no_tile_can_do_is_done_in_one_piece_or_not_at_all(job):
    recipe = job.recipe.model_copy(
        update={"deconvolution": job.recipe.deconvolution.model_copy(update={"method": "blind"})}
    )
    blind = Job(recipe, job.source, job.target)
    assert Workshop().plans(blind) == []
    set_limits(memory=20 * IMAGE.size)
    with pytest.raises(DeconvError, match="'blind' is not for tiles"):
        Workshop().plans(blind)


def test_a_series_needs_room_for_all_of_it_and_for_the_volume_at_hand(job):
    (plan,) = Workshop()._plans(job.recipe, unwatched)
    set_limits(memory=plan.memory.device / 0.6 * 1.05)  # the rest is for Python
    assert Workshop().plans(job) == []
    series = Path("series.ome.tif")
    write_image(series, np.stack(4 * [IMAGE]), SPACING, axes="TZYX")
    (tiles,) = Workshop().plans(Job(job.recipe.on(series), series, job.target))
    assert tiles.counts == (4, 1, 1, 1)


def test_a_series_is_streamed_by_methods_that_cut_no_volume(job):
    """A volume alone fits; the bits are those in memory."""
    biggs = job.recipe.deconvolution.model_copy(update={"acceleration": "biggs"})
    recipe = job.recipe.model_copy(update={"deconvolution": biggs})
    series = Path("series.ome.tif")
    write_image(series, np.stack([IMAGE, IMAGE[::-1], 3 * IMAGE, IMAGE // 2]), SPACING, axes="TZYX")
    (plan,) = Workshop()._plans(recipe, unwatched)
    set_limits(memory=plan.memory.device / 0.6 * 1.05)  # the rest is for Python
    streamed = Job(recipe.on(series), series, Path("streamed.ome.tif"))
    (tiles,) = Workshop().plans(streamed)
    assert tiles.counts == (4, 1, 1, 1)
    made = Workshop().run(streamed)
    set_limits(memory=None)
    assert Workshop().plans(streamed) == []
    whole = streamed.recipe.run()
    np.testing.assert_array_equal(read_image("streamed.ome.tif").data, whole.image)
    assert made.figures["iterations"] == whole.iterations
    set_limits(memory=0.5 * plan.memory.device)
    with pytest.raises(DeconvError, match=r"'biggs' is not for tiles: .* In one piece .* need"):
        Workshop().plans(streamed)


def test_what_can_be_held_but_not_computed_at_once_is_done_in_tiles(job):
    set_limits(memory=50 * IMAGE.size)
    (plan,) = Workshop().plans(job)
    assert prod(plan.counts) > 1
    assert plan.memory.device <= 50 * IMAGE.size


def test_what_was_begun_is_gone_on_with_in_its_tiles_whatever_is_free_now(job):
    class Stop(Exception):
        pass

    def two_tiles(progress):
        if progress.iteration == 2:
            raise Stop

    set_limits(memory=36 * IMAGE.size)
    with pytest.raises(Stop):
        Workshop().run(job, lambda step: nullcontext(two_tiles if step == "blocks" else None))
    begun = begun_blocks(job.target)
    set_limits(memory=65 * IMAGE.size)
    (plan,) = Workshop().plans(job)
    assert plan.block != begun
    done = []
    Workshop(begun="resume").run(
        job, lambda step: nullcontext(done.append if step == "blocks" else None)
    )
    assert done[0].iteration >= 2
    set_limits()
    expected = job.recipe.run("a.tif").image
    assert np.abs(read_image(job.target).data - expected).max() < 1e-3 * expected.max()


def test_tiles_that_see_as_far_as_a_weight_has_them_are_gone_on_with(job, monkeypatch):
    """The plan is made of the image that is filtered, without its background."""
    monkeypatch.setattr(parts, "_VOXELS", 2**14)  # of a part, which needs less memory than a tile

    class Stop(Exception):
        pass

    def two_tiles(progress):
        if progress.iteration == 2:
            raise Stop

    rng = np.random.default_rng(0)
    spots = gaussian_filter((rng.random(IMAGE.shape) < 2e-3).astype(float), (2, 1, 1))
    image = rng.poisson(50 + 1e4 * spots)
    write_image("a.tif", image.astype(np.uint16), SPACING)
    Path("r.yaml").write_text(
        "napari-deconv: 1\npsf: {file: psf.tif}\nengine: cpu\nbackground: {method: mean}\n"
        "deconvolution: {method: wiener, regularization_weight: auto, background: 10}\n"
    )
    job = Job(Recipe.load("r.yaml").on("a.tif"), Path("a.tif"), job.target)
    set_limits(memory=36 * IMAGE.size)
    with pytest.raises(Stop):
        Workshop().run(job, lambda step: nullcontext(two_tiles if step == "blocks" else None))
    (plan,) = Workshop(begun="resume").plans(job)
    light = subtract_background(image, engine="cpu")
    given = {"method": "wiener", "regularization_weight": "auto", "engine": "cpu"}
    given |= {"block": begun_blocks(job.target)}
    raw, filtered = (plan_blocks(data, Psf.load("psf.tif"), **given) for data in (image, light))
    assert plan.overlap == filtered.overlap != raw.overlap
    done = []
    Workshop(begun="resume").run(
        job, lambda step: nullcontext(done.append if step == "blocks" else None)
    )
    assert done[0].iteration >= 2
    set_limits()
    expected = job.recipe.run("a.tif").image
    difference = np.abs(read_image(job.target).data - expected)[4:-4, 10:-10, 10:-10]
    assert difference.max() < 1e-3 * expected.max()


@pytest.mark.parametrize("method", ["rolling_ball", "gaussian", "mean"])
def test_an_automatic_weight_after_any_background_is_done_in_memory_if_it_fits(job, method):
    Path("r.yaml").write_text(
        f"napari-deconv: 1\npsf: {{file: psf.tif}}\nengine: cpu\nbackground: {{method: {method}}}\n"
        "deconvolution: {method: wiener, regularization_weight: auto}\n"
    )
    job = Job(Recipe.load("r.yaml").on("a.tif"), Path("a.tif"), job.target)
    assert Workshop().plans(job) == []
    Workshop().run(job)
    np.testing.assert_array_equal(read_image(job.target).data, job.recipe.run("a.tif").image)


def test_a_psf_is_kept_for_the_next_file_and_no_image(job):
    write_image("c.tif", IMAGE[:, ::-1], SPACING)
    other = Job(job.recipe.on("c.tif"), Path("c.tif"), Path("d.tif"))
    workshop, called = Workshop(), []
    for each in (job, other):
        workshop.run(each, lambda step: nullcontext(called.append(step)))
    first, then = ["open_image"], ["plan_blocks", "read_image", "deconvolve", "write"]
    assert called == [*first, "load_psf", *then, *first, *then]
    kept = [type(value) for value, _ in workshop._kept._values.values()]
    assert kept == [Psf]
    expected = other.recipe.run("c.tif").image
    np.testing.assert_array_equal(read_image("d.tif").data, expected)


def test_what_is_kept_is_made_once_though_threads_ask_at_once():
    kept, made = Kept(), []

    def make():
        time.sleep(0.05)
        made.append("psf")
        return made[-1], "origin"

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: kept.get("key", make), range(4)))
    assert found == 4 * [("psf", "origin")]
    assert made == ["psf"]
