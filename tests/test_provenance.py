"""What is written down of a call, and what is read from that again."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_deconv import Recipe, get_engine, provenance, write_image
from napari_deconv.provenance import describe, file_origin
from napari_deconv.recipe.history import recipe_data

IMAGE = np.random.default_rng(0).poisson(50, (12, 40, 44)).astype(np.uint16)
CPU = get_engine("cpu")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A file with the image as the second of two channels; gives where it is."""
    monkeypatch.chdir(tmp_path)
    write_image("both.ome.tif", np.stack([IMAGE[::-1], IMAGE]), 0.1)
    return {"path": str(Path("both.ome.tif").resolve()), "channel": 1}


def lazy(array):
    return da.from_array(array, chunks=20)


@pytest.mark.parametrize("plane", [0, 6, 11])
def test_a_lazy_array_is_known_by_three_planes(place, plane):
    assert file_origin("both.ome.tif", lazy(IMAGE)) == place
    assert file_origin("both.ome.tif", lazy(IMAGE[None, :, None])) == place
    other = IMAGE.copy()
    other[plane, 20, 22] += 1
    assert file_origin("both.ome.tif", lazy(other)) is None
    assert file_origin("both.ome.tif", lazy(IMAGE.astype(np.uint32))) is None
    assert file_origin("both.ome.tif", lazy(IMAGE[:, 1:])) is None


def test_planes_of_a_lazy_array_are_compared_about_their_middle(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_FIELD", 8)
    write_image(tmp_path / "a.tif", IMAGE)
    for y, x, known in [(16, 18, False), (23, 25, False), (15, 18, True), (24, 25, True)]:
        other = IMAGE.copy()
        other[:, y, x] += 1
        assert (file_origin(tmp_path / "a.tif", lazy(other)) is not None) == known


def test_a_mapped_file_is_not_read_as_a_whole(place, monkeypatch):
    IMAGE.tofile("raw")
    mapped = np.memmap("raw", IMAGE.dtype, "r", shape=IMAGE.shape)
    monkeypatch.setattr(provenance, "read_image", None)
    assert file_origin("both.ome.tif", mapped) == place


@pytest.mark.parametrize(
    "make", [np.asarray, da.from_array, zarr.array], ids=["numpy", "dask", "zarr"]
)
def test_an_array_is_described_by_its_shape(make):
    said = describe("deconvolve_blocks", {"background": make(np.ones((2, 3)))}, CPU)
    assert said["parameters"] == {"background": "array of shape (2, 3)"}


def test_tiles_are_written_down_in_the_units_of_a_recipe():
    given = {"iterations": 3, "block": (8, 16, 16), "overlap": (2, 4, 4), "memory": 2e9}
    call = describe("deconvolve_blocks", given, CPU)
    recipe = Recipe.of(call | {"inputs": {"image": {"path": "a"}, "psf": {"path": "b"}}})
    assert recipe.blocks.memory == 2
    assert recipe.blocks.arguments == {n: given[n] for n in ("block", "overlap", "memory")}
    assert recipe.deconvolution.iterations == 3


@pytest.mark.parametrize(
    ("operation", "section"),
    [
        ("subtract_background", "background"),
        ("subtract_background_blocks", "background"),
        ("estimate_background", "background_estimate"),
    ],
)
def test_a_method_that_is_not_named_is_the_default(operation, section):
    """The default methods know no lengths: a voxel size makes no difference to them."""
    inputs = {"inputs": {"image": {"path": "a"}}}
    data = recipe_data(describe(operation, {"spacing": 0.1}, CPU) | inputs)
    assert data == {"input": {"path": "a"}, section: {}, "engine": "cpu"}
    data = recipe_data(describe(operation, {"method": "mean", "radius": 3.0}, CPU) | inputs)
    assert "radius" not in str(data)  # it meant nothing, and a recipe may not say it
    data = recipe_data(describe(operation, {"method": "top_hat"}, CPU) | inputs)
    assert data["input"] == {"path": "a", "spacing": "pixels"}
