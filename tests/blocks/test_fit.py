"""How well the model explains an image in tiles: measured as in memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_deconv import (
    convolve,
    deconvolve,
    make_psf,
    open_image,
    prepare_blocks,
    write_blocks,
    write_image,
)
from napari_deconv.blocks import tile as tiles
from napari_deconv.blocks.fit import FitOfOwn
from napari_deconv.errors import DeconvWarning, DeviceMemoryError
from napari_deconv.recipe.channels import stack_blocks

SPACING = (0.2, 0.1, 0.1)
PSF = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))
TILES = {"block": (12, 20, 20), "overlap": (8, 16, 16)}
MEASURED = ("divergence", "quality", "flux", "iterations")


def cells(seed=0):
    """Points on a background, (z, y, x), brighter at one end."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((12, 50, 40), np.float32)
    places = tuple(rng.integers(0, n, 60) for n in truth.shape)
    truth[places] = 2000 * (1 + places[1] / 10)
    return rng.poisson(convolve(truth, PSF, engine="cpu") + 20).astype(np.uint16)


def opened(tmp_path, voxels, **about):
    write_image(tmp_path / "cells.ome.zarr", voxels, SPACING, **about)
    return open_image(tmp_path / "cells.ome.zarr")


def in_memory(voxels, **options):
    """The last values of the history, means over volumes."""
    result = deconvolve(voxels, PSF, spacing=SPACING, **options)
    last = {name: float(result.history[name][..., -1].mean()) for name in MEASURED[:-1]}
    return last | {"iterations": result.iterations}


def in_tiles(tmp_path, image, callback=None, **options):
    result = prepare_blocks(image.data, PSF, spacing=SPACING, **{**TILES, **options})
    record = write_blocks(tmp_path / "out.ome.zarr", result, image, callback=callback)
    return record["made"]["measured"]


def is_close(measured, expected):
    assert set(measured) == set(MEASURED)
    return measured == {name: pytest.approx(expected[name], rel=1e-3) for name in MEASURED}


@pytest.mark.parametrize(
    "options",
    [
        {"iterations": 4},
        {"iterations": 20},
        {"iterations": 13, "acceleration": None, "background": 18.0},
        {"iterations": 12, "regularization": "tv", "regularization_weight": 0.005},
        {"iterations": 12, "method": "landweber"},
        {"iterations": 12, "method": "nnls"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_the_figures_are_those_in_memory(tmp_path, options, engine):
    options = options | {"engine": engine}
    image = opened(tmp_path, cells())
    assert is_close(in_tiles(tmp_path, image, **options), in_memory(cells(), **options))


def test_figures_are_means_over_volumes(tmp_path):
    voxels = np.stack([cells(), 3 * cells(1)])
    image = opened(tmp_path, voxels, channels=["a", "b"])
    options = {"iterations": 8, "engine": "cpu"}
    each = [in_memory(volume, **options) for volume in voxels]
    expected = {name: np.mean([one[name] for one in each]) for name in MEASURED}
    assert is_close(in_tiles(tmp_path, image, **options), expected)


def test_masked_voxels_do_not_count(tmp_path):
    mask = np.ones(cells().shape, bool)
    mask[:, :8] = mask[3:5, 30:35, 10:20] = False
    options = {"iterations": 8, "engine": "cpu", "mask": mask}
    image = opened(tmp_path, cells())
    assert is_close(in_tiles(tmp_path, image, **options), in_memory(cells(), **options))


def test_tiles_of_an_earlier_run_count(tmp_path):
    image, options = opened(tmp_path, cells()), {"iterations": 8, "engine": "cpu"}

    def stop(progress):
        if progress.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_tiles(tmp_path, image, stop, **options)
    done = []
    measured = in_tiles(
        tmp_path, image, lambda progress: done.append(progress.iteration), **options
    )
    assert done[0] >= 3
    assert is_close(measured, in_memory(cells(), **options))


@pytest.mark.usefixtures("client")
def test_a_cluster_measures_too(tmp_path):
    """Also channels that are put together, each with its own PSF."""
    voxels = np.stack([cells(), 3 * cells(1)])
    image = opened(tmp_path, voxels, channels=["a", "b"])
    options = {"iterations": 8, "engine": "cpu"}
    each = [
        prepare_blocks(image.data[channel], PSF, spacing=SPACING, **TILES, **options)
        for channel in range(2)
    ]
    record = write_blocks(tmp_path / "out.ome.zarr", stack_blocks(image, each), image)
    expected = [in_memory(volume, **options) for volume in voxels]
    means = {name: np.mean([one[name] for one in expected]) for name in MEASURED}
    assert is_close(record["made"]["measured"], means)


def test_halves_of_a_tile_count(tmp_path, monkeypatch):
    solve, image = tiles.solve, opened(tmp_path, cells())
    options = {"iterations": 8, "engine": "cpu"}

    def short_of_memory(problem, *more, **named):
        if problem.image.size > 12 * 34 * 50:
            raise DeviceMemoryError("too large")
        return solve(problem, *more, **named)

    monkeypatch.setattr(tiles, "solve", short_of_memory)
    with pytest.warns(DeconvWarning, match="smaller"):
        measured = in_tiles(tmp_path, image, block=(12, 50, 40), **options)
    assert is_close(measured, in_memory(cells(), **options))


def test_only_writing_measures(monkeypatch):
    """It would cost those something who look at a lazy image, and show them nothing."""
    monkeypatch.setattr(FitOfOwn, "measure", None)
    result = prepare_blocks(cells(), PSF, spacing=SPACING, iterations=6, engine="cpu", **TILES)
    assert result.image.compute(scheduler="synchronous").max() > 0


def test_of_a_filter_nothing_is_measured(tmp_path):
    image = opened(tmp_path, cells())
    assert in_tiles(tmp_path, image, engine="cpu", method="wiener") == {}


def test_a_plane_is_measured(tmp_path):
    plane = cells()[6]
    psf = PSF.data.sum(0)
    write_image(tmp_path / "plane.tif", plane, SPACING[1:])
    image = open_image(tmp_path / "plane.tif")
    options = {"spacing": SPACING[1:], "iterations": 8, "engine": "cpu"}
    result = prepare_blocks(da.from_array(plane), psf, block=20, overlap=16, **options)
    measured = write_blocks(tmp_path / "out.tif", result, image)["made"]["measured"]
    whole = deconvolve(plane, psf, **options)
    expected = {name: whole.history[name][-1] for name in MEASURED[:-1]}
    assert is_close(measured, expected | {"iterations": 8})
