"""A recipe done to many files: names, what is skipped, what fails, the table and the log."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from shell_cases import SPACING

import napari_deconv
from napari_deconv import DeconvError, Psf, load_psf, read_image, write_image
from napari_deconv.blocks import BlockPlan
from napari_deconv.files import provenance_of
from napari_deconv.files.unfinished import begun

RECIPE = """napari-deconv: 1
psf: {file: psf.tif}
deconvolution: {iterations: 6, gain: 1}
engine: cpu
"""


@pytest.fixture
def folder(shell, image):
    """A folder with three images and a text, one image deeper, and a recipe."""
    Path("recipe.yaml").write_text(RECIPE)
    Path("data/deep").mkdir(parents=True)
    for name, data in (
        ("a.ome.tif", image),
        ("b.tif", image[:, ::-1]),
        ("c.ome.zarr", image[::-1]),
    ):
        write_image(f"data/{name}", data, SPACING)
    write_image("data/deep/d.tif", image[:, :, ::-1], SPACING)
    Path("data/notes.txt").write_text("no image")
    return image


def table(folder="out"):
    with Path(folder, "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["output"]: row for row in csv.DictReader(file)}


def names(folder="out"):
    found = {path.name for path in Path(folder).iterdir() if not path.name.startswith(".")}
    return found - {"summary.csv", "napari-deconv.log"}


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ("data", "a.ome.tif b.ome.tif c.ome.zarr"),
        ("data/*.tif", "a.ome.tif b.ome.tif"),
        ("data/**/*.tif", "a.ome.tif b.ome.tif d.ome.tif"),
        ("data/c.ome.zarr data/[ab]*", "a.ome.tif b.ome.tif c.ome.zarr"),
        ("data/a.ome.tif data/a* data/../data/a.ome.tif", "a.ome.tif"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_inputs_are_files_folders_and_patterns(shell, inputs, outputs):
    result = shell(f"run recipe.yaml {inputs} --output out -e cpu")
    assert names() == set(outputs.split())
    count = len(outputs.split())
    assert result.stdout == f"{count} done, 0 skipped, 0 failed: see out/summary.csv.\n"
    lines = result.stderr.splitlines()
    assert [line.split()[0] for line in lines] == [f"[{n}/{count}]" for n in range(1, count + 1)]


def test_each_result_is_that_of_its_file(shell, folder):
    shell("run recipe.yaml data/a.ome.tif data/b.tif data/c.ome.zarr --output out")
    psf = load_psf("psf.tif")[0]
    for name, data in (("a.ome.tif", folder), ("b.ome.tif", folder[:, ::-1]),
                       ("c.ome.zarr", folder[::-1])):  # fmt: skip
        expected = napari_deconv.deconvolve(
            data, psf, iterations=6, gain=1, spacing=SPACING, engine="cpu"
        )
        np.testing.assert_array_equal(read_image(f"out/{name}").data, expected.image)
        row = table()[name]
        measured = {k: float(v[-1]) for k, v in expected.history.items()}
        assert float(row["background"]) == pytest.approx(expected.background, rel=1e-5)
        for column in ("divergence", "discrepancy", "quality", "flux"):
            assert float(row[column]) == pytest.approx(measured[column], rel=1e-5), column
        assert (row["status"], row["iterations"], row["voxels"]) == ("done", "6", str(data.size))
        assert row["stop_reason"] == expected.stop_reason
        assert row["checksum"] == provenance_of(f"out/{name}")["checksum"]


def test_the_format_of_the_recipe(shell, folder):
    text = RECIPE + "output: {format: ome-zarr, ngff: '0.4', dtype: uint16}\n"
    Path("recipe.yaml").write_text(text)
    shell("run recipe.yaml data/b.tif --output out")
    written = read_image("out/b.ome.zarr")
    assert zarr.open_group("out/b.ome.zarr").metadata.zarr_format == 2
    assert zarr.open_group("out/b.ome.zarr").attrs["multiscales"][0]["version"] == "0.4"
    expected = napari_deconv.deconvolve(
        folder[:, ::-1], load_psf("psf.tif")[0], iterations=6, gain=1, spacing=SPACING, engine="cpu"
    )
    np.testing.assert_array_equal(written.data, np.rint(expected.image))
    assert (written.spacing, written.data.dtype) == (SPACING, np.uint16)


def modified(name="out/a.ome.tif"):
    return Path(name).stat().st_mtime_ns


@pytest.mark.usefixtures("folder")
def test_what_is_done_is_skipped_until_recipe_input_or_psf_change(shell):
    command = "run recipe.yaml data/a.ome.tif data/b.tif --output out"

    def again(more=""):
        before = modified()
        said = shell(command + more)
        assert ("a.ome.tif: skipped" in said.stderr) == (modified() == before)
        return [int(word) for word in said.stdout.split() if word.isdigit()]

    shell(command)
    first = table()
    assert again() == [0, 2, 0]
    assert table() == first
    Path("data/a.ome.tif").touch()  # the content counts
    shutil.move("data/b.tif", "b.tif")  # and not the place
    command = command.replace("data/b.tif", "b.tif")
    assert again() == [0, 2, 0]
    assert again(" --redo") == [2, 0, 0]
    write_image("data/a.ome.tif", read_image("data/a.ome.tif").data[::-1], SPACING)
    assert again() == [1, 1, 0]
    Path("recipe.yaml").write_text(RECIPE.replace("6", "7"))
    assert again() == [2, 0, 0]
    Path("recipe.yaml").write_text("# a remark\n" + RECIPE.replace("6", "7"))
    assert again() == [0, 2, 0]
    Psf(Psf.load("psf.tif").data[:, :, 1:-1], SPACING).save("psf.tif")
    assert again() == [2, 0, 0]
    Path("out/b.ome.tif").unlink()
    assert again() == [1, 1, 0]


@pytest.mark.usefixtures("folder")
def test_a_store_is_another_when_a_chunk_was_written(shell):
    command = "run recipe.yaml data/c.ome.zarr --output out"
    shell(command)
    assert "skipped" in shell(command).stderr
    array = zarr.open_group("data/c.ome.zarr")["0"]
    array[0] = array[0] + 1
    assert "skipped" not in shell(command).stderr


def test_beads_are_tables_and_skipped_as_well(shell, bead_file):
    path, _ = bead_file
    Path("beads.yaml").write_text("napari-deconv: 1\nbeads: {bead_diameter: 0.1}\nengine: cpu")
    said = shell(f"run beads.yaml {path} --output out").stderr
    row = table()["beads.csv"]
    assert f"{row['accepted']} of {row['beads']} beads accepted" in said
    assert "skipped" in shell(f"run beads.yaml {path} --output out").stderr
    Path("beads.yaml").write_text("napari-deconv: 1\nbeads: {bead_diameter: 0.2}\nengine: cpu")
    assert "skipped" not in shell(f"run beads.yaml {path} --output out").stderr


@pytest.mark.usefixtures("folder")
def test_a_bad_file_does_not_hold_up_the_others(shell):
    Path("data/b.tif").write_bytes(b"II*\0\0\0\0\0")  # a TIFF without a page
    tifffile.imwrite("data/bare.tif", np.ones((9, 8, 8), "u2"), photometric="minisblack")
    result = shell_failing(shell, "run recipe.yaml data --output out")
    assert names() == {"a.ome.tif", "c.ome.zarr"}
    assert "2 done, 0 skipped, 2 failed" in result.stdout
    *_, title, first, second = result.stderr.splitlines()
    assert title == "error: 2 of 4 files failed:"
    assert "data/b.tif has no image in it" in first
    assert "data/bare.tif → bare.ome.tif: failed: The image has no voxel size" in second
    rows = table()
    assert [rows[n]["status"] for n in sorted(rows)] == ["done", "failed", "failed", "done"]
    assert "has no image in it" in rows["b.ome.tif"]["error"]
    # the next run does only what failed
    shutil.copy("data/a.ome.tif", "data/b.tif")
    Path("data/bare.tif").unlink()
    assert "1 done, 2 skipped, 0 failed" in shell("run recipe.yaml data --output out").stdout
    assert table()["b.ome.tif"]["error"] == ""
    assert len(Path("out/napari-deconv.log").read_text().splitlines()) == 7


@pytest.mark.usefixtures("folder")
def test_what_the_recipe_reads_is_not_replaced(shell):
    Path("psf.tif").rename("psf.ome.tif")
    Path("recipe.yaml").write_text(RECIPE.replace("psf.tif", "psf.ome.tif"))
    shutil.copy("data/b.tif", "data/psf.tif")
    before = Path("psf.ome.tif").read_bytes()
    said = shell("run recipe.yaml data/psf.tif data/b.tif --output .", code=2).stderr
    assert "psf.ome.tif is read: choose another folder" in said
    assert Path("psf.ome.tif").read_bytes() == before


@pytest.mark.usefixtures("folder")
def test_what_is_no_result_is_not_replaced(shell):
    Path("out").mkdir()
    raw = Path("out/a.ome.tif")
    shutil.copy("data/a.ome.tif", raw)
    before = raw.read_bytes()
    for more in ("", " --redo"):
        result = shell_failing(shell, f"run recipe.yaml data --output out{more}")
        assert "out/a.ome.tif is there already, and no result: move it" in result.stderr
        assert raw.read_bytes() == before
    raw.unlink()
    assert "1 done, 2 skipped" in shell("run recipe.yaml data --output out").stdout


def shell_failing(shell, command):
    """Run what ends with exit code 1, which is no single error in the last line."""
    from click.testing import CliRunner

    from napari_deconv.cli import main

    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.usefixtures("folder")
def test_warnings_are_in_the_table(shell):
    Path("recipe.yaml").write_text(RECIPE.replace("gain: 1", "spacing: [0.2, 0.08, 0.1]"))
    said = shell("run recipe.yaml data/a.ome.tif --output out").stderr
    assert said.count("warning: The PSF") == 1
    assert table()["a.ome.tif"]["warnings"] in said


def test_positions_are_results_of_their_own(shell, image):
    Path("recipe.yaml").write_text(RECIPE)
    with tifffile.TiffWriter("plate.ome.tif", ome=True) as tif:
        for name, data in (("well A/1", image), ("well B/2", image[:, ::-1])):
            about = {"axes": "ZYX", "Name": name} | {
                f"PhysicalSize{axis}": size for axis, size in zip("ZYX", SPACING, strict=True)
            }
            tif.write(data, metadata=about)
    shell("run recipe.yaml plate.ome.tif --output out")
    assert names() == {"plate_well_A_1.ome.tif", "plate_well_B_2.ome.tif"}
    psf = load_psf("psf.tif")[0]
    second = napari_deconv.deconvolve(
        image[:, ::-1], psf, iterations=6, gain=1, spacing=SPACING, engine="cpu"
    )
    np.testing.assert_array_equal(read_image("out/plate_well_B_2.ome.tif").data, second.image)
    origin = provenance_of("out/plate_well_B_2.ome.tif")["inputs"]["image"]
    assert origin == {"path": str(Path("plate.ome.tif").absolute()), "position": 1}
    assert table()["plate_well_B_2.ome.tif"]["position"] == "well_B_2"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("data/*.tif -o out.tif", "out.tif is the name of a file: with several INPUTs, 2 here"),
        ("data", "--output is missing: with several INPUTs, 3 here, give a folder"),
        ("data --output none/out", "There is no folder none to make out in"),
        ("data/*.png --output out", "No image fits data/*.png: expected names that end in .tif"),
        ("missing.tif data --output out", "There is no file missing.tif"),
        ("data/deep/d.tif twice/d.ome.tif --output out", "would both become out/d.ome.tif"),
        ("data/a.ome.tif data/b.tif --output data", "data/a.ome.tif is read: choose"),
        ("empty --output out", "There is no image in empty"),
        ("data --output out --scheduler none.json", "There is no scheduler file none.json"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_is_said_before_anything_is_done(shell, command, message):
    Path("twice").mkdir()
    Path("empty").mkdir()
    shutil.copy("data/a.ome.tif", "twice/d.ome.tif")
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert message in shell(f"run recipe.yaml {command}", code=2).stderr
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


@pytest.mark.usefixtures("folder")
def test_a_dry_run_of_many_files(shell):
    shell("run recipe.yaml data/b.tif --output out")
    Path("data/bad.tif").write_text("no image")
    before = names()
    printed = shell("run recipe.yaml data --output out --dry-run").stdout
    assert "result = deconvolve(\n    image.data, psf, iterations=6" in printed
    lines = printed.splitlines()
    told = dict(zip(lines[-8::2], lines[-7::2], strict=True))
    assert told["# data/a.ome.tif → out/a.ome.tif"] == "#     in memory, in one piece"
    assert told["# data/b.tif → out/b.ome.tif"] == "#     it is there, and skipped"
    assert "would fail: data/bad.tif" in told["# data/bad.tif → out/bad.ome.tif"]
    assert names() == before


@pytest.mark.usefixtures("folder")
def test_what_does_not_fit_is_done_in_tiles(shell):
    """Of the same numbers, whether memory is enough or not."""
    large = np.tile(read_image("data/a.ome.tif").data, (1, 8, 8))
    write_image("data/large.tif", large, SPACING)
    shell("run recipe.yaml data/large.tif -o whole.ome.tif")
    little = "run recipe.yaml data/large.tif -o tiles.ome.zarr --memory 0.02"
    printed = shell(f"{little} --dry-run").stdout
    assert "result = prepare_blocks(\n    image.data, psf, iterations=6" in printed
    assert re.search(r"# [\d × ]+ voxels in \d+ tiles of [\d × ]+, overlapping by", printed)
    assert not Path("tiles.ome.zarr").exists()
    shell(little)
    whole, tiles = (read_image(name) for name in ("whole.ome.tif", "tiles.ome.zarr"))
    assert np.abs(whole.data - tiles.data).max() < 1e-3 * whole.data.max()
    assert tiles.spacing == SPACING
    assert tiles.metadata["operation"] == "deconvolve_blocks"


def test_the_schema_is_json(shell):
    schema = json.loads(shell("run --schema").stdout)
    assert {"blocks", "psf", "deconvolution", "output"} <= schema["properties"].keys()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another there")
@pytest.mark.parametrize(
    ("blocks", "command"),
    [
        ("", "the same command"),
        ("blocks: {block: [12, 64, 64]}\n", "the same command with --resume"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_ctrl_c_keeps_what_is_done(tmp_path, start, blocks, command):
    write_image("data/slow.tif", np.eye(256, dtype=np.uint16)[None].repeat(12, 0), SPACING)
    Path("recipe.yaml").write_text(RECIPE.replace("iterations: 6", "iterations: 300") + blocks)
    words = [sys.executable, "-m", "napari_deconv.cli", "run", "recipe.yaml", "data"]
    process = start([*words, "--output", "out"], stderr=subprocess.PIPE, cwd=tmp_path)
    for line in process.stderr:
        if line.startswith("[3/4]"):
            break
    while blocks and begun("out/slow.ome.tif") is None:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted, 3 of 4 files were done: {command} does the others" in errors
    assert names() == {"a.ome.tif", "b.ome.tif", "c.ome.zarr"}
    assert set(table()) == names()


@pytest.mark.usefixtures("folder")
def test_tiles_and_their_time_are_told_before_a_file_begins(shell, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_deconv.recipe.jobs.write_blocks", interrupt)
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [12, 32, 16], overlap: [0, 8, 8]}\n")
    said = shell("run recipe.yaml data/b.tif --output out", code=130).stderr
    told = "data/b.tif → b.ome.tif: 12 × 32 × 32 voxels in 2 tiles of 12 × 32 × 16, overlapping by"
    assert re.search(rf"^{told} .*\. Computing it takes about [\d.]+ s here", said, re.MULTILINE)


@pytest.mark.usefixtures("folder")
def test_the_log_has_one_line_for_each_file(shell, monkeypatch):
    """Tiles of one size are timed once."""
    measured = []
    monkeypatch.setattr(BlockPlan, "seconds", lambda plan: measured.append(plan) or 90.0)
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [12, 32, 16], overlap: [0, 8, 8]}\n")
    said = shell("run recipe.yaml data --output out").stderr
    lines = Path("out/napari-deconv.log").read_text().splitlines()
    assert [line.split(": ")[0].split()[-1] for line in lines] == [
        "a.ome.tif", "b.ome.tif", "c.ome.zarr",
    ]  # fmt: skip
    assert said.count("Computing it takes about 90 s") == 3
    assert len(measured) == 1


@pytest.mark.usefixtures("folder")
def test_a_file_is_done_where_its_time_cannot_be_measured(shell, monkeypatch):
    def lack(plan):
        raise DeconvError("no memory to measure")

    monkeypatch.setattr(BlockPlan, "seconds", lack)
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [12, 32, 16], overlap: [0, 8, 8]}\n")
    done = shell("run recipe.yaml data/b.tif --output out")
    assert "data/b.tif → b.ome.tif: 12 × 32 × 32 voxels in 2 tiles" in done.stderr
    assert "1 done" in done.stdout


@pytest.mark.usefixtures("folder")
def test_figures_of_tiles_are_in_the_table(shell):
    shell("run recipe.yaml data/b.tif --output out -e cpu")
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [12, 32, 32]}\n")
    shell("run recipe.yaml data/b.tif --output tiles -e cpu")
    whole, tiled = (table(name)["b.ome.tif"] for name in ("out", "tiles"))
    for name in ("divergence", "quality", "flux"):
        assert float(tiled[name]) == pytest.approx(float(whole[name]), rel=1e-3)
    assert tiled["discrepancy"] == tiled["held_out"] == ""


@pytest.mark.usefixtures("folder")
def test_what_neither_fits_nor_can_be_in_tiles_is_told_why(shell):
    Path("recipe.yaml").write_text(RECIPE.replace("iterations: 6", "iterations: 6, method: blind"))
    said = shell("run recipe.yaml data/b.tif -o out.tif --memory 0.0003", code=2).stderr
    assert "'blind' is not for tiles: each tile would find a PSF of its own" in said
