"""Series of volumes that are not cut: each is done as if it were in memory."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from tests.blocks.cases import bars

from napari_deconv import deconvolve, open_image, write_blocks, write_image
from napari_deconv.blocks import deconvolve_blocks, plan_blocks, prepare_blocks
from napari_deconv.blocks.memory import Memory
from napari_deconv.errors import DeviceMemoryError, WholeImageError

WHOLE = [
    {"method": "fista", "regularization_weight": 1e-3},
    {"method": "ictm"},
    {"method": "tikhonov", "regularization_weight": 0.01},
    {"method": "inverse"},
    {"method": "gradient_consensus", "gain": 1.0},
    {"acceleration": "biggs"},
    {"acceleration": "wiener_butterworth", "levels": "auto"},
    {"boundary": "circular", "stop": "consensus", "iterations": 20},
    {"boundary": "reflect", "regularization": "tv", "regularization_weight": "auto"},
    {"boundary": "zero", "stop": "discrepancy", "iterations": 40, "gain": 1.0},
    {"method": "wiener", "boundary": "circular", "regularization_weight": "auto"},
]


@pytest.fixture(scope="module")
def series():
    """Two volumes, one of half the light."""
    image = bars().image[:, :64, :64]
    dim = np.random.default_rng(0).binomial(image.astype(int), 0.5)
    return np.stack([image, dim]).astype(np.uint16)


@pytest.mark.parametrize("options", WHOLE, ids=str)
def test_each_volume_is_done_as_in_memory(options, series):
    given = {"iterations": 6, "engine": "cpu"} | options
    whole = deconvolve(series, bars().psf, **given)
    result = prepare_blocks(da.from_array(series, (1, 8, 64, 64)), bars().psf, **given)
    image = result.image.compute()
    assert result.image.chunks == ((1, 1), (16,), (64,), (64,))
    assert image.dtype == np.float32
    for each, volume in zip(image, whole.image, strict=True):
        np.testing.assert_allclose(each, volume, rtol=0, atol=1e-5 * np.abs(volume).max())


def test_on_a_device_as_well(series, engine):
    given = {"iterations": 6, "engine": engine, "acceleration": "biggs", "background": 1.8}
    whole = deconvolve(series, bars().psf, **given).image
    image = deconvolve_blocks(series, bars().psf, **given).compute()
    np.testing.assert_allclose(image, whole, rtol=0, atol=1e-5 * whole.max())


def test_masked_voxels_and_a_background_of_each_voxel_are_taken(series):
    rng = np.random.default_rng(1)
    level, mask = rng.random(series.shape) + 1, rng.random(series.shape) < 0.9
    given = {"iterations": 6, "engine": "cpu", "acceleration": "biggs"}
    given |= {"background": level, "mask": mask}
    whole = deconvolve(series, bars().psf, **given).image
    image = deconvolve_blocks(series, bars().psf, **given).compute()
    np.testing.assert_allclose(image, whole, rtol=0, atol=1e-5 * whole.max())


@pytest.mark.parametrize("options", WHOLE, ids=str)
def test_they_are_not_cut(options, series):
    given = {"engine": "cpu"} | options
    plan = plan_blocks(series, bars().psf, **given)
    assert plan.block == series.shape[1:]
    assert plan.order.cut_axes == ()
    assert "overlapping" not in plan.describe()
    with pytest.raises(WholeImageError, match=r"block=32: .* is not for tiles: .*Use '"):
        plan_blocks(series, bars().psf, block=32, **given)
    needed = plan.memory.device
    assert plan_blocks(series, bars().psf, memory=needed, **given).block == plan.block
    with pytest.raises(WholeImageError, match=r"In one piece 16 × 64 × 64 voxels need [\d.]+ MB"):
        plan_blocks(series, bars().psf, memory=0.9 * needed, **given)


def test_no_volume_is_done_ahead(series, monkeypatch):
    """Each follows its rule when it is done: that would be twice the work."""
    monkeypatch.setattr("napari_deconv.blocks.pilots._run", None)
    options = {"acceleration": "biggs", "stop": "consensus", "engine": "cpu", "iterations": 30}
    result = prepare_blocks(series, bars().psf, **options)
    assert result.stop_reason == "at most 30 iterations, by what ends each volume"
    np.testing.assert_array_equal(result.gain, deconvolve(series, bars().psf, **options).gain)
    plan = plan_blocks(series, bars().psf, **options)
    assert plan._ahead(1.0)[0] == 0


def test_a_weight_that_is_looked_for_takes_time(series):
    options = {"method": "wiener", "boundary": "circular", "engine": "cpu"}
    searched, given = (
        plan_blocks(series, bars().psf, regularization_weight=weight, **options)
        for weight in ("auto", 0.1)
    )
    assert searched._ahead(1.0)[0] == 2
    assert searched.seconds() > 1.5 * given.seconds()


def test_what_each_volume_finds_is_not_told_before(series):
    options = {"acceleration": "biggs", "regularization": "tv", "engine": "cpu", "iterations": 2}
    result = prepare_blocks(series, bars().psf, regularization_weight="auto", **options)
    assert result.weights == {}


def test_memory_that_is_short_is_named():
    assert Memory(3e9, 1e9).over(Memory(2e9, 8e9)) == "3.0 GB of memory, 2.0 GB may be taken"
    assert Memory(1e9, 9e9).over(Memory(2e9, 8e9)) == "9.0 GB of memory, 8.0 GB may be taken"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"acceleration": "biggs"}, "7 iterations done"),
        ({"method": "fista"}, "7 iterations done"),
        ({"method": "ictm"}, "at most 7 iterations, by what ends each volume"),
        ({"method": "inverse"}, "Inverse filter needs one step"),
    ],
    ids=str,
)
def test_why_they_end(options, reason, series):
    result = prepare_blocks(series, bars().psf, iterations=7, engine="cpu", **options)
    assert result.stop_reason == reason


def test_what_each_volume_took_is_in_the_record(series, tmp_path):
    """The iterations too, of the one that took most."""
    options = {"iterations": 60, "engine": "cpu", "acceleration": "biggs", "stop": "quality"}
    whole = deconvolve(series, bars().psf, **options)
    write_image(tmp_path / "series.ome.zarr", series, (0.2, 0.1, 0.1), axes="TZYX")
    image = open_image(tmp_path / "series.ome.zarr")
    result = prepare_blocks(image.data, bars().psf, **options)
    measured = write_blocks(tmp_path / "out.ome.zarr", result, image)["made"]["measured"]
    rows = [np.flatnonzero(steps >= 0)[-1] for steps in whole.history["iteration"]]
    for name in ("divergence", "quality", "flux"):
        last = [column[row] for column, row in zip(whole.history[name], rows, strict=True)]
        assert measured[name] == pytest.approx(np.mean(last), rel=1e-4)
    assert measured["iterations"] == whole.iterations < 60


def test_without_a_gain_all_iterations_are_done_and_it_is_said_once(recwarn):
    flat = np.tile(np.linspace(0, 100, 64), (16, 64, 1))
    given = {"acceleration": "biggs", "stop": "consensus", "iterations": 7, "engine": "cpu"}
    result = prepare_blocks(np.stack([flat]), bars().psf, background=1, **given)
    assert result.stop_reason == "7 iterations done"
    result.image.compute()
    said = [str(warning.message) for warning in recwarn]
    assert ["all iterations are done" in message for message in said] == [True]


def test_too_little_memory_at_work_is_told(series, monkeypatch):
    def full(*_):
        raise DeviceMemoryError("no memory")

    image = deconvolve_blocks(series, bars().psf, acceleration="biggs", engine="cpu")
    monkeypatch.setattr("napari_deconv.deconvolution.run.make_model", full)
    with pytest.raises(DeviceMemoryError, match="no memory"):
        image.compute()
