"""The background of a large volume, from some of its chunks."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_deconv import estimate_background
from napari_deconv.blocks.background import sample_background
from napari_deconv.errors import DeconvError


def uneven(shape, seed=0):
    """Cells on a background that falls along z and x, with the noise of a camera."""
    rng = np.random.default_rng(seed)
    z, _, x = np.ogrid[tuple(slice(0, 1, n * 1j) for n in shape)]
    image = 60 + 40 * (1 - z) + 30 * (1 - x) + np.zeros(shape, np.float32)
    for corner in rng.integers(0, np.maximum(np.array(shape) - 12, 1), (200, 3)):
        image[tuple(slice(c, c + 12) for c in corner)] += 500
    return (image + rng.normal(0, 5, shape)).astype(np.uint16)


def in_zarr(array, chunks):
    stored = zarr.create_array({}, shape=array.shape, chunks=chunks, dtype=array.dtype)
    stored[...] = array
    return stored


@pytest.mark.parametrize("shape", [(24, 60, 70), (150, 160)])
def test_of_all_of_a_small_image(shape):
    image = uneven((1, *shape))[0] if len(shape) == 2 else uneven(shape)
    lazy = da.from_array(image, chunks=11)
    expected = estimate_background(image, engine="cpu")
    assert sample_background(lazy) == pytest.approx(expected, rel=1e-6)


def test_of_the_volume_that_is_asked_for():
    series = np.stack([uneven((12, 40, 40)), 2 * uneven((12, 40, 40), 1)])[:, np.newaxis]
    for time in range(2):
        expected = estimate_background(series[time, 0], engine="cpu")
        assert sample_background(series, frame=(time, 0)) == pytest.approx(expected, rel=1e-6)


LARGE = (80, 512, 512)


@pytest.fixture(scope="module")
def large():
    image = uneven(LARGE)
    return image, estimate_background(image, engine="cpu")


@pytest.mark.parametrize("chunks", [(16, 64, 64), (1, 512, 512), (80, 128, 128)])
def test_of_some_chunks_of_a_large_one(monkeypatch, large, chunks):
    """To a twentieth of the 70 grey values that the background varies by."""
    monkeypatch.setattr("napari_deconv.blocks.background._QUICK", 6_000_000)
    image, expected = large
    assert abs(sample_background(in_zarr(image, chunks)) - expected) < 3.5


def test_the_same_each_time_and_little_is_read(large):
    read = []

    def note(block, block_info=None):
        read.append(block_info[0]["chunk-location"])
        return block

    image, expected = large
    lazy = da.tile(da.from_array(image, chunks=(20, 64, 64)), (4, 1, 1)).map_blocks(
        note, dtype=image.dtype
    )
    steps = []
    level = sample_background(lazy, callback=steps.append)
    assert len(read) == len(set(read)) == len(steps) == steps[-1].iterations <= 128
    assert len(read) < 0.2 * lazy.npartitions
    assert {place[0] for place in read} == set(range(16))
    assert level == sample_background(lazy)
    assert abs(level - expected) < 3.5


def test_what_does_not_count():
    image = uneven((24, 60, 70)).astype(np.float32)
    mask = np.ones(image.shape, bool)
    mask[:, :20] = False
    expected = sample_background(image[:, 20:])
    image[:, :20] = 0
    assert sample_background(image, mask) == pytest.approx(expected, rel=0.02)
    assert sample_background(da.from_array(image), da.from_array(mask)) == sample_background(
        image, mask
    )
    image[0, 30, 30] = np.nan
    assert np.isfinite(sample_background(image, mask))
    with pytest.raises(DeconvError, match="nothing counts"):
        sample_background(image, np.zeros_like(mask))
