"""The same recipe in memory and block by block; results that are finished later."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from napari_deconv import (
    Recipe,
    convolve,
    deconvolve_blocks,
    estimate_background,
    make_psf,
    read_image,
    subtract_background,
    write_image,
)
from napari_deconv.blocks.background import subtract_background_blocks
from napari_deconv.cli import main
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import Image, provenance_of, save_image
from napari_deconv.files.unfinished import begun, written
from napari_deconv.psf import Psf
from napari_deconv.recipe.checksum import checksum
from napari_deconv.recipe.jobs import Job, Workshop
from napari_deconv.recipe.ways import IN_BLOCKS

SPACING = (0.2, 0.08, 0.08)
PSF = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))
RECIPE = """napari-deconv: 1
psf: {file: psf.ome.tif}
deconvolution: {iterations: 12}
engine: cpu
"""
BLOCKS = RECIPE + "blocks: {block: [16, 24, 32], overlap: [8, 16, 16]}\n"


def shell(command):
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 0, result.output


def cells(*leading):
    """Lines and points in a volume, photons counted on a background of 20."""
    truth = np.zeros((*leading, 16, 60, 80), np.float32)
    truth[..., 8, 30, 8:70] = truth[..., 4:12, 10:50, 40] = 300
    truth[..., 3, 50, 20] = 4000
    blurred = convolve(truth, PSF, engine="cpu")
    return np.random.default_rng(0).poisson(blurred + 20).astype("u2")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PSF.save("psf.ome.tif")
    write_image("cells.ome.tif", cells(), SPACING)
    Path("recipe.yaml").write_text(BLOCKS)
    return tmp_path


def both_ways(text, source="cells.ome.tif"):
    """Do a recipe in memory, and block by block into a file; give both arrays."""
    Path("recipe.yaml").write_text(text)
    recipe = Recipe.load("recipe.yaml")
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        whole = recipe.run(source)
        job = Job(recipe.on(source), Path(source), Path("blocks.ome.zarr"))
        assert Workshop().plans(job), "not in blocks"
        Workshop().run(job)
    return whole.image, read_image("blocks.ome.zarr").data


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "more",
    [
        "",
        "background: {method: percentile, percentile: 5}\n",
        "background: {method: mean, factor: 0.8}\n",
        "background: {method: constant, value: 15}\n",
        "mask: mask.tif\n",
    ],
)
def test_the_same_numbers_in_memory_and_block_by_block(more):
    write_image("mask.tif", (cells() < 800).astype(np.uint8))
    whole, blocks = both_ways(BLOCKS + more)
    assert np.abs(whole - blocks).max() < 1e-3 * whole.max()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", [RECIPE, BLOCKS])
def test_axes_of_length_1_stay_axes(text):
    image = Image(cells(), SPACING, "ZYX", {}, ("GFP",), 7.0, origin=(1, 2, 3), single="TC")
    save_image("cells.ome.zarr", image)
    Path("recipe.yaml").write_text(text)
    shell("run recipe.yaml cells.ome.zarr -o recipe.ome.zarr")
    shell("deconvolve cells.ome.zarr psf.ome.tif --iterations 2 -o deconvolved.ome.zarr")
    source = zarr.open_group("cells.ome.zarr").attrs["ome"]["multiscales"][0]
    for name in ("recipe", "deconvolved"):
        group = zarr.open_group(f"{name}.ome.zarr")
        result = group.attrs["ome"]["multiscales"][0]
        assert group["0"].shape == (1, 1, *cells().shape)
        assert result["axes"] == source["axes"]
        assert result["datasets"] == source["datasets"]


@pytest.mark.usefixtures("folder")
def test_an_only_plane_stays_a_plane_of_its_thickness():
    Psf(PSF.data[2], SPACING[1:]).save("psf.ome.tif")
    image = Image(cells()[8], SPACING[1:], "YX", origin=(2, 3), single="TCZ", plane=(0.3, 7.0))
    save_image("plane.ome.zarr", image)
    blocks = BLOCKS.replace("[16, 24, 32], overlap: [8, 16, 16]", "[24, 32], overlap: [16, 16]")
    for name, text in (("whole", RECIPE), ("blocks", blocks)):
        Path("recipe.yaml").write_text(text)
        shell(f"run recipe.yaml plane.ome.zarr -o {name}.ome.zarr")
    shell("deconvolve plane.ome.zarr psf.ome.tif --iterations 2 -o deconvolved.ome.zarr")
    source = zarr.open_group("plane.ome.zarr").attrs["ome"]["multiscales"][0]
    for name in ("whole", "blocks", "deconvolved"):
        group = zarr.open_group(f"{name}.ome.zarr")
        result = group.attrs["ome"]["multiscales"][0]
        assert group["0"].shape == (1, 1, 1, *cells()[8].shape)
        assert (result["axes"], result["datasets"]) == (source["axes"], source["datasets"])


@pytest.mark.usefixtures("folder")
def test_times_and_channels_with_their_own_psfs():
    write_image("series.ome.zarr", cells(2, 2), SPACING, axes="TCZYX", channels=["a", "b"],
                time_interval=3.0)  # fmt: skip
    wide = "{optics: {model: gaussian, shape: [7, 13, 13], fwhm: [0.7, 0.3, 0.3]}}"
    text = BLOCKS.replace("{file: psf.ome.tif}", f"{{channels: [{{file: psf.ome.tif}}, {wide}]}}")
    whole, blocks = both_ways(text, "series.ome.zarr")
    assert np.abs(whole - blocks).max() < 1e-3 * whole.max()
    written = read_image("blocks.ome.zarr")
    assert (written.axes, written.spacing, written.time_interval) == ("TCZYX", SPACING, 3.0)
    assert written.channels == ("a", "b")
    again = Recipe.of(provenance_of("blocks.ome.zarr"))
    assert again.to_dict()["blocks"] == Recipe.load("recipe.yaml").to_dict()["blocks"]
    assert [psf.file is None for psf in again.psf.channels] == [False, True]
    assert np.abs(again.run().image - whole).max() == 0


@pytest.mark.usefixtures("folder")
def test_one_mask_serves_all_channels():
    write_image("two.ome.zarr", np.stack([cells(), 2 * cells()]), SPACING, channels=["a", "b"])
    write_image("mask.tif", (cells() < 800).astype(np.uint8))
    whole, blocks = both_ways(BLOCKS + "mask: mask.tif\n", "two.ome.zarr")
    assert np.abs(whole - blocks).max() < 1e-3 * whole.max()


@pytest.mark.usefixtures("folder")
def test_what_was_found_is_written_down():
    """In the file, in the table, and with the result: each channel has its own numbers."""
    write_image("two.ome.zarr", np.stack([cells(), 2 * cells()]), SPACING, channels=["a", "b"])
    text = BLOCKS.replace("iterations: 12", "iterations: 30, stop: quality")
    channels = "{channels: [{file: psf.ome.tif}, {file: psf.ome.tif}]}"
    Path("recipe.yaml").write_text(text.replace("{file: psf.ome.tif}", channels))
    recipe = Recipe.load("recipe.yaml")
    job = Job(recipe.on("two.ome.zarr"), Path("two.ome.zarr"), Path("blocks.ome.zarr"))
    told = []
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        row = Workshop().run(job, lambda step: told.append(step) or _Callback(None)).figures
    assert told.count("prepare_blocks") == 2
    made = provenance_of("blocks.ome.zarr")["made"]
    steps = made["found"]["iterations"]
    levels = [estimate_background(image, engine="cpu") for image in (cells(), 2 * cells())]
    assert made["found"]["background"] == pytest.approx(levels)
    assert all(1 < n < 30 for n in steps)
    for n in steps:
        assert f"{n} iterations done: the median of what 3 tiles found" in made["stop_reason"]
    assert row["iterations"] == max(steps)
    assert row["stop_reason"] == made["stop_reason"]
    assert row["background"] == pytest.approx(np.mean(levels))
    assert row["voxels"] == 2 * cells().size
    assert np.isnan(row["gain"])


@pytest.mark.usefixtures("folder")
def test_a_coarse_start_is_sent_on():
    wide = "{optics: {model: gaussian, shape: [9, 25, 25], fwhm: [1.2, 0.5, 0.5]}}"
    text = BLOCKS.replace("{file: psf.ome.tif}", wide).replace("12}", "12, levels: auto}")
    _, blocks = both_ways(text.replace("[8, 16, 16]", "[16, 36, 48]"))
    psf = make_psf("gaussian", shape=(9, 25, 25), spacing=SPACING, fwhm=(1.2, 0.5, 0.5))
    expected = deconvolve_blocks(
        cells(), psf, block=(16, 24, 32), overlap=(16, 36, 48), iterations=12, levels="auto",
        spacing=SPACING, engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(blocks, expected.compute())


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "mean", "factor": 0.7, "floor": 0.5},
        {"method": "constant", "value": 12.5},
        {"method": "percentile", "percentile": 10},
    ],
)
def test_background_of_blocks_is_that_of_the_whole(options, planes):
    image = cells(2)
    whole = subtract_background(image, engine="cpu", planes=planes, **options)
    lazy = da.from_array(image, (1, 8, 32, 32))
    blocks = subtract_background_blocks(lazy, engine="cpu", planes=planes, **options)
    assert blocks.dtype == np.float32
    np.testing.assert_allclose(blocks.compute(), whole, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("background: {method: top_hat, radius: 1}\n", "'top_hat' cannot be subtracted block by"),
        ("initial: cells.ome.tif\n", "begins with the same light everywhere"),
        ("input: {sample: cells_widefield}\n", "Only an image in a file"),
    ],
)
def test_what_cannot_be_done_in_blocks_is_said(more, message):
    Path("recipe.yaml").write_text(BLOCKS + more)
    recipe = Recipe.load("recipe.yaml")
    with pytest.raises(DeconvError, match=message):
        (recipe if recipe.input else recipe.on("cells.ome.tif")).plan(way=IN_BLOCKS).run()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blocks: {block: [0, 8, 8]}", r"line 5: blocks.block.0 is 0: expected a number of"),
        ("blocks: {block: 64}", "line 5: blocks.block is 64: expected a list"),
        ("blocks: {overlap: [-1, 0, 0]}", "blocks.overlap.0 is -1"),
        ("blocks: {memory: 0}", "blocks.memory is 0: expected a number above 0"),
        ("blocks: {size: [8, 8, 8]}", "blocks.size is not known: Expected block, overlap, memory"),
        ("output: {format: ome-tiff, ngff: '0.4'}", "line 5: output.ngff cannot be: it is a v"),
        ("output: {format: ome-zarr, ngff: 0.4}", "output.ngff is 0.4: expected '0.4' or '0.5'"),
        ("input: {sample: bars_confocal, position: 1}", "line 5: input.position cannot be: a pos"),
    ],
)
def test_errors_name_line_key_and_what_was_expected(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(RECIPE + text)
    with pytest.raises(DeconvError, match=message):
        Recipe.load(tmp_path / "r.yaml")


def test_blocks_belong_to_a_deconvolution(tmp_path):
    (tmp_path / "r.yaml").write_text("napari-deconv: 1\nbackground: {}\nblocks: {memory: 1}")
    with pytest.raises(DeconvError, match="line 3: blocks cannot be: they belong to a deconv"):
        Recipe.load(tmp_path / "r.yaml")


class Stop(Exception):
    """What ends a run in the middle."""


def stopped_after(tiles):
    """Watch a run, and end it when so many tiles are done."""

    def stop(progress):
        if progress.iteration >= tiles:
            raise Stop

    return lambda step: _Callback(stop if step == "blocks" else None)


@pytest.mark.usefixtures("folder")
def test_an_interrupted_run_is_resumed_and_gives_the_same_bits():
    recipe = Recipe.load("recipe.yaml")
    source = Path("cells.ome.tif")
    straight, stopped = (Job(recipe.on(source), source, Path(f"{n}.ome.zarr")) for n in "ab")
    Workshop().run(straight)
    done = []

    def watch_until(limit):
        def note(progress):
            done.append(progress.iteration)
            if progress.iteration >= limit:
                raise Stop

        return lambda step: _Callback(note if step == "blocks" else None)

    with pytest.raises(Stop):
        Workshop().run(stopped, watch_until(4))
    assert not stopped.target.exists()
    before, said = list(done), []
    Workshop(begun="resume", say=said.append).run(stopped, watch_until(1000))
    (there,) = said
    assert there.startswith(f"b.ome.zarr: {before[-1]} of 9 tiles are there")
    assert list(dict.fromkeys(done[len(before) :])) == list(range(before[-1], 10))
    np.testing.assert_array_equal(read_image("a.ome.zarr").data, read_image("b.ome.zarr").data)
    assert provenance_of("b.ome.zarr")["checksum"] == straight.checksum

    with pytest.raises(Stop):
        Workshop().run(stopped, watch_until(2))
    Path("recipe.yaml").write_text(BLOCKS.replace("12", "13"))
    other = Job(Recipe.load("recipe.yaml").on(source), source, stopped.target)
    steps = []
    with pytest.raises(DeconvError, match="begun with another input or other settings"):
        Workshop(begun="resume").run(other, lambda step: steps.append(step) or _Callback(None))
    assert "prepare_blocks" not in steps  # which reads the image


@pytest.mark.usefixtures("folder")
def test_tiles_of_an_interrupted_run_are_not_thrown_away_unasked():
    recipe, source = Recipe.load("recipe.yaml"), Path("cells.ome.tif")
    job = Job(recipe.on(source), source, Path("a.ome.zarr"))

    with pytest.raises(Stop):
        Workshop().run(job, stopped_after(3))
    there = written(job.target)
    assert there >= 2
    with pytest.raises(DeconvError, match=rf"^{there} blocks of a.ome.zarr are there, .*--resume"):
        Workshop().run(job)
    assert written(job.target) == there
    Workshop(begun="anew").run(job)
    assert job.target.exists()


@pytest.mark.parametrize("target", ["a.ome.zarr", "a.ome.tif"])
@pytest.mark.usefixtures("folder")
def test_tiles_are_gone_on_with_where_the_image_fits_into_memory_by_now(target):
    source, target = Path("cells.ome.tif"), Path(target)
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [16, 24, 32]}\n")
    Path("whole.yaml").write_text(RECIPE)
    job, now = (
        Job(Recipe.load(f"{name}.yaml").on(source), source, target) for name in ("recipe", "whole")
    )
    assert Workshop().plans(now) == []

    with pytest.raises(Stop):
        Workshop().run(job, stopped_after(2))
    there = written(target)
    assert there >= 2
    with pytest.raises(DeconvError, match="are there, of a run that was interrupted: go on"):
        Workshop().run(now)
    assert written(target) == there
    said = []
    Workshop(begun="resume", say=said.append).run(now)
    assert provenance_of(target)["operation"] == "deconvolve_blocks"
    assert f": {there} of " in said[0]
    tiled = read_image(target).data

    with pytest.raises(Stop):
        Workshop().run(job, stopped_after(2))
    Workshop(begun="anew").run(now)
    assert provenance_of(target)["operation"] == "deconvolve"
    assert begun(target) is None
    assert not target.with_name(f".{target}.part").exists()
    np.testing.assert_allclose(read_image(target).data, tiled, atol=1e-3 * tiled.max())


@pytest.mark.usefixtures("folder")
def test_a_result_is_of_the_input_that_there_was_when_it_was_begun():
    source = Path("cells.ome.tif")
    recipe = Recipe.load("recipe.yaml").on(source)
    job = Job(recipe, source, Path("a.ome.zarr"))
    before = checksum(recipe, source)

    def replaced(step):
        write_image(source, cells()[::-1], SPACING)
        return _Callback(None)

    Workshop().run(job, replaced)
    assert provenance_of(job.target)["checksum"] == before
    assert not Job(recipe, source, job.target).is_done("")


@pytest.mark.usefixtures("folder")
def test_what_another_run_writes_is_refused_before_anything_is_measured():
    recipe, source = Recipe.load("recipe.yaml"), Path("cells.ome.tif")
    job, begun = Job(recipe.on(source), source, Path("a.ome.zarr")), []

    def second():
        Workshop().run(job, lambda step: begun.append(step) or _Callback(None))

    def refused(progress=None):
        tried.append(written(job.target))
        with ThreadPoolExecutor(1) as pool, pytest.raises(DeconvError, match="another run"):
            pool.submit(second).result()

    def meanwhile(step):
        if step == "prepare_blocks":
            refused()
        return _Callback(refused if step == "blocks" else None)

    tried = []
    Workshop().run(job, meanwhile)
    assert tried[0] == 0 < tried[-1]
    assert set(begun) == {"open_image", "load_psf", "plan_blocks"}
    assert read_image("a.ome.zarr").data.shape == cells().shape


class _Callback:
    def __init__(self, note):
        self._note = note

    def __enter__(self):
        return self._note

    def __exit__(self, *_):
        return None
