"""What makes a result another one: all that the recipe says, and the content of its files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_deconv import Recipe, write_image
from napari_deconv.errors import DeconvError
from napari_deconv.recipe.checksum import checksum

IMAGE = np.random.default_rng(0).poisson(50, (8, 24, 24)).astype(np.uint16)
RECIPE = "napari-deconv: 1\npsf: {file: psf.tif}\ndeconvolution: {iterations: 3}\n"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Load a recipe with something more in it, in a folder with its files."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "b.ome.zarr", "psf.tif"):
        write_image(name, IMAGE, 0.1)

    def load(more="", old="", new=""):
        Path("r.yaml").write_text(RECIPE.replace(old, new) + more)
        return Recipe.load("r.yaml")

    return load


def test_where_it_is_written_and_read_makes_no_difference(recipe):
    first = checksum(recipe(), Path("a.tif"))
    assert len(first) == 32
    path = "input: {path: other.tif}\n"
    for same in (recipe("output: {path: c.tif}"), recipe(path), recipe("# a remark")):
        assert checksum(same, Path("a.tif")) == first
    os.utime("a.tif", (1, 1))
    Path("a.tif").rename("elsewhere.tif")
    assert checksum(recipe(), Path("elsewhere.tif")) == first


def test_all_else_does(recipe):
    all_of_them = [
        checksum(recipe(), Path("a.tif")),
        checksum(recipe(), Path("a.tif"), "position 2"),
        checksum(recipe(), Path("b.ome.zarr")),
        checksum(recipe(old="3", new="4"), Path("a.tif")),
        checksum(recipe("mask: b.ome.zarr"), Path("a.tif")),
        checksum(recipe("output: {dtype: uint16}"), Path("a.tif")),
    ]
    write_image("psf.tif", IMAGE[::-1], 0.1)
    all_of_them.append(checksum(recipe(), Path("a.tif")))
    assert len(set(all_of_them)) == len(all_of_them)


def test_a_chunk_of_a_store_is_known_by_its_name_size_and_time(recipe):
    store = Path("b.ome.zarr")
    seen = {checksum(recipe(), store)}
    chunk = next(path for path in (store / "0" / "c").rglob("*") if path.is_file())
    about = chunk.stat()
    os.utime(chunk, ns=(about.st_atime_ns, about.st_mtime_ns + 1000))
    seen.add(checksum(recipe(), store))
    chunk.write_bytes(chunk.read_bytes() + b"0")
    os.utime(chunk, ns=(about.st_atime_ns, about.st_mtime_ns))
    seen.add(checksum(recipe(), store))
    chunk.rename(chunk.with_name("9"))
    seen.add(checksum(recipe(), store))
    (store / "zarr.json").write_text((store / "zarr.json").read_text() + " ")
    seen.add(checksum(recipe(), store))
    assert len(seen) == 5


def test_a_file_that_is_missing_is_named(recipe):
    with pytest.raises(DeconvError, match=r"There is no file none\.tif"):
        checksum(recipe(), Path("none.tif"))
    Path("psf.tif").unlink()
    with pytest.raises(DeconvError, match=r"There is no file .*psf\.tif"):
        checksum(recipe(), Path("a.tif"))
