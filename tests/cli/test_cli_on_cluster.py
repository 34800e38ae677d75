"""Recipes done on a real Dask cluster of two processes, through the command line."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from shell_cases import SPACING

import napari_deconv
from napari_deconv import read_image, write_image
from napari_deconv.files.unfinished import begun, written

RECIPE = """napari-deconv: 1
psf: {file: psf.tif}
deconvolution: {iterations: 6, gain: 1}
engine: cpu
"""


@pytest.fixture(scope="module")
def scheduler():
    """The address of two worker processes of one thread each."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def files(shell, image):
    """Four images and a file that is none, and their recipe."""
    Path("recipe.yaml").write_text(RECIPE)
    Path("data").mkdir()
    for name, data in (("a.ome.tif", image), ("b.tif", image[:, ::-1]),
                       ("c.ome.zarr", image[::-1]), ("d.tif", image[:, :, ::-1])):  # fmt: skip
        write_image(f"data/{name}", data, SPACING)
    Path("data/bad.tif").write_bytes(b"II*\0\0\0\0\0")  # a TIFF without a page


def table(folder):
    with Path(folder, "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["output"]: row for row in csv.DictReader(file)}


@pytest.mark.usefixtures("files")
def test_the_plan_is_that_of_the_cluster(shell, scheduler):
    Path("recipe.yaml").write_text(RECIPE + "blocks: {block: [12, 16, 16]}\n")
    command = f"run recipe.yaml data/b.tif --scheduler {scheduler}"
    *_, told, target = shell(f"{command} --dry-run").stdout.splitlines()
    refused = shell(f"{command} --threads 1", code=2).stderr
    assert re.fullmatch(r"# Computing it takes about \d+ s on 2 workers\.", told)
    assert target == "# to be written to recipe.ome.tif"
    assert "workers of a cluster take the cores that they were started with" in refused
    assert not Path("recipe.ome.tif").exists()


@pytest.mark.parametrize(
    "text",
    [
        RECIPE + "blocks: {block: [12, 16, 16], overlap: [6, 10, 10]}\n",
        RECIPE,
        RECIPE.replace("gain: 1", "gain: 1, stop: consensus"),  # which tiles follow otherwise
    ],
)
@pytest.mark.usefixtures("files")
def test_many_files_at_once_give_the_same(shell, scheduler, text):
    Path("recipe.yaml").write_text(text)
    here = shell_failing("run recipe.yaml data --output here")
    there = shell_failing(f"run recipe.yaml data --output there --scheduler {scheduler}")
    for said in (here, there):
        assert "4 done, 0 skipped, 1 failed" in said.stdout
        assert said.stderr.count("tiles of 12 × 16 × 16") == 4 * ("blocks" in text)
        assert "error: 1 of 5 files failed:" in said.stderr
    good = ("a.ome.tif", "b.ome.tif", "c.ome.zarr", "d.ome.tif")
    for name in good:
        image, expected = (read_image(f"{folder}/{name}").data for folder in ("there", "here"))
        np.testing.assert_array_equal(image, expected)
    rows, expected = table("there"), table("here")
    assert rows.keys() == expected.keys() == {*good, "bad.ome.tif"}
    for name, row in rows.items():
        for column in ("status", "file", "voxels", "checksum", "error", "iterations"):
            assert row[column] == expected[name][column]
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {"bad.ome.tif"}
    whole = napari_deconv.Recipe.load("recipe.yaml").run("data/a.ome.tif").image
    assert np.abs(read_image("there/a.ome.tif").data - whole).max() < 1e-3 * whole.max()


def shell_failing(command):
    """Run what ends with exit code 1, as one of the files is bad."""
    from click.testing import CliRunner

    from napari_deconv.cli import main

    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1, result.output
    return result


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another there")
@pytest.mark.usefixtures("files")
def test_ctrl_c_ends_all_files_and_begins_no_other(scheduler, tmp_path, start):
    slow = RECIPE.replace("iterations: 6", "iterations: 400")
    Path("recipe.yaml").write_text(slow + "blocks: {block: [12, 8, 8], overlap: [6, 10, 10]}\n")
    Path("data/bad.tif").unlink()
    process = start(
        [sys.executable, "-m", "napari_deconv.cli", "run", "recipe.yaml", "data", "--output", "out",
         "--scheduler", scheduler],
        stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    while sum(written(f"out/{name}.ome.tif") > 0 for name in "ab") < 2:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted, 0 of 4 files were done: the same command with --resume does" in errors
    assert "Traceback" not in errors, errors
    assert not Path("out/summary.csv").exists()
    assert begun("out/c.ome.zarr") is begun("out/d.ome.tif") is None
    assert not list(Path("out").glob(".*.lock"))
