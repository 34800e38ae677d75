"""A large file done in tiles is interrupted, and gone on with or begun anew."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from shell_cases import SPACING

from napari_deconv import read_image, write_image
from napari_deconv.files.unfinished import written

RECIPE = """napari-deconv: 1
psf: {file: psf.tif}
deconvolution: {iterations: %d, gain: 1}
engine: cpu
blocks: {block: [12, 32, 32], overlap: [0, 8, 8]}
"""
TILES = 12
COMMAND = "run recipe.yaml big.tif -o out.ome.zarr"


@pytest.fixture
def big(shell, image):
    """An image of twelve tiles, and its recipe."""
    Path("recipe.yaml").write_text(RECIPE % 6)
    write_image("big.tif", np.tile(image, (1, 3, 4)), SPACING)
    return shell


@pytest.fixture
def watched(monkeypatch):
    """Where to interrupt, a step or a number of tiles; and how many were done at each report."""
    at, seen = [], []

    @contextmanager
    def progress(step):
        def count(state):
            seen.append(state.iteration)
            if at and state.iteration == at[0]:
                raise KeyboardInterrupt

        if at == [step]:
            raise KeyboardInterrupt
        yield count if step == "blocks" else None

    monkeypatch.setattr("napari_deconv.cli.run.progress", progress)
    return at, seen


@pytest.fixture
def begun(big, watched):
    """The same, with five tiles done by a run that was interrupted; and what is seen from now."""
    at, seen = watched
    at.append(5)
    said = big(COMMAND, code=130).stderr
    assert "the blocks of out.ome.zarr that are done are kept: --resume goes on with them" in said
    at.clear()
    seen.clear()
    assert written("out.ome.zarr") == 5
    assert not Path("out.ome.zarr").exists()
    return big, seen


def files():
    return {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}


def assert_same_as_uninterrupted(shell):
    assert not [path for path in Path().iterdir() if path.name.startswith(".out")]
    shell("run recipe.yaml big.tif -o straight.ome.zarr")
    found, expected = (read_image(f"{name}.ome.zarr").data for name in ("out", "straight"))
    np.testing.assert_array_equal(found, expected)


def test_the_plan_is_told_before_anything_is_computed(big, watched):
    watched[0].append("prepare_blocks")
    *plan, last = big(COMMAND, code=130).stderr.splitlines()
    assert last.startswith("error: interrupted")
    told = "\n".join(plan)
    assert f"12 × 96 × 128 voxels in {TILES} tiles of 12 × 32 × 32, overlapping by" in told
    assert re.search(r"[\d.]+ [kMG]B of memory on ", told)
    assert re.search(r"Computing it takes about .* here, one tile after the other\.", told)
    assert watched[1] == []


def test_without_a_word_nothing_is_lost(begun):
    shell, seen = begun
    before = files()
    said = shell(COMMAND, code=2).stderr
    assert "5 blocks of out.ome.zarr are there" in said
    assert "--resume" in said
    assert "--redo" in said
    assert files() == before
    assert seen == []


def test_resume_goes_on_with_what_is_there(begun):
    shell, seen = begun
    assert f"out.ome.zarr: 5 of {TILES} tiles are there" in shell(f"{COMMAND} --resume").stderr
    assert list(dict.fromkeys(seen))[: TILES - 4] == list(range(5, TILES + 1))
    assert_same_as_uninterrupted(shell)


def test_redo_begins_anew(begun):
    shell, seen = begun
    assert "are there" not in shell(f"{COMMAND} --redo").stderr
    assert list(dict.fromkeys(seen))[: TILES + 1] == list(range(TILES + 1))
    assert_same_as_uninterrupted(shell)


def test_a_run_that_was_killed_is_resumed(big, tmp_path):
    Path("recipe.yaml").write_text(RECIPE % 100)
    words = [sys.executable, "-m", "napari_deconv.cli", *COMMAND.split()]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        while written("out.ome.zarr") < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.kill()
    there = written("out.ome.zarr")
    assert there < TILES
    assert f"{there} blocks of out.ome.zarr are there" in big(COMMAND, code=2).stderr
    assert f"{there} of {TILES} tiles are there" in big(f"{COMMAND} --resume").stderr
    assert_same_as_uninterrupted(big)
