"""--threads and --memory reach the engines, for the one command that they are given to."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_deconv.engines import limits
from napari_deconv.files import read_image

COMMAND = "deconvolve image.tif psf.tif -o out.tif -e cpu -n 2"


@pytest.fixture
def threads(monkeypatch):
    """What the work was shared out among."""
    from napari_deconv.engines.cpu import slabs

    seen, share = set(), slabs._pool
    monkeypatch.setattr(slabs, "_pool", lambda workers: (seen.add(workers), share(workers))[1])
    return seen


def test_threads(shell, image, threads, tmp_path):
    shell(f"{COMMAND} --threads 1")
    assert threads == {1}
    first = read_image(tmp_path / "out.tif").data
    shell(COMMAND)
    assert threads == {1, limits.cores()}
    np.testing.assert_array_equal(read_image(tmp_path / "out.tif").data, first)


def test_memory(shell, image, tmp_path):
    done = shell(f"{COMMAND} --memory 0.0001", code=2)
    assert re.search(r"needs \d\.\d MB of memory, the memory limit is 0\.1 MB", done.stderr)
    assert not (tmp_path / "out.tif").exists()
    shell(f"{COMMAND} --memory 1 --threads 2")


@pytest.mark.parametrize("option", ["--threads 0", "--threads 1.5", "--memory 0", "--memory -1"])
def test_bad_limits(shell, image, option):
    assert option.split()[0] in shell(f"{COMMAND} {option}", code=2).stderr


def test_every_command_that_computes_has_them(shell):
    for command in ("background", "beads", "distill", "psf vectorial", "deconvolve"):
        text = shell(f"{command} --help").output
        assert "--threads" in text
        assert "--memory GB" in text
