"""Where tiles are computed: memory, limits and time are those of the workers."""

from __future__ import annotations

import os
import time
import warnings
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from slow_blocks import Folder, expected, smoothed

from napari_deconv import (
    DeconvError,
    DeconvWarning,
    DeviceError,
    make_psf,
    plan_blocks,
    prepare_blocks,
    read_image,
    set_limits,
    write_blocks,
)
from napari_deconv.blocks import computing
from napari_deconv.blocks.place import find_place
from napari_deconv.blocks.storing import store_blocks
from napari_deconv.blocks.timing import SecondsAVoxel
from napari_deconv.engines.limits import cores
from napari_deconv.files import Image

SPACING = (0.2, 0.1, 0.1)
PSF = make_psf("gaussian", shape=(5, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))
OPTIONS = {"spacing": SPACING, "iterations": 3, "engine": "cpu"}


def volume():
    return np.random.default_rng(0).poisson(20, (24, 60, 60)).astype(np.uint16)


def with_memory(client, free):
    """Have the workers find so much free memory."""

    def patch():
        from napari_deconv.engines import limits

        there = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=free))
        limits.psutil = there

    client.run(patch)


@pytest.fixture
def few(client):
    """Two workers of one machine that has 8 MB; here it is more."""
    with_memory(client, 8e6)
    yield client
    with_memory(client, 1e12)


def test_the_memory_is_that_of_the_workers(few):
    place = find_place("cpu", None)
    # 0.8 of it, which two workers share.
    assert place.free.device == pytest.approx(0.4 * 8e6)
    assert place.workers == 2
    plan = plan_blocks(volume(), PSF, **OPTIONS, memory=2e6)
    assert plan.memory.device <= 2e6
    plan = plan_blocks(volume(), PSF, **OPTIONS)
    assert 2e6 < plan.memory.device <= 0.4 * 8e6
    assert np.prod(plan.counts) > 1
    with dask.config.set(scheduler="synchronous"):
        assert np.prod(plan_blocks(volume(), PSF, **OPTIONS).counts) == 1


def test_memory_here_makes_no_difference(client, monkeypatch):
    with_memory(client, 1e9)
    monkeypatch.setattr(
        "napari_deconv.engines.limits.psutil",
        SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=1e5)),
    )
    assert np.prod(plan_blocks(volume(), PSF, **OPTIONS).counts) == 1


def test_no_worker_gets_more_than_dask_grants_it():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, processes=False, memory_limit=1e8, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(2)
        assert find_place("cpu", None).free.device == pytest.approx(0.6 * 1e8)
        with pytest.raises(DeviceError, match="No OpenCL device"):
            find_place("opencl:none of this name", None)


def test_limits_of_memory_hold_for_tiles_on_workers(few, no_limits):
    set_limits(memory=5e6)  # of which 40 % are left to Python
    assert find_place("cpu", None).free.device == pytest.approx(3e6)
    assert find_place("cpu", 2e6).free.device == pytest.approx(2e6)


@pytest.mark.skipif(cores() == 1, reason="there is nothing to limit")
def test_a_limit_of_threads_is_refused(client, no_limits):
    set_limits(threads=1)
    with pytest.raises(DeconvError, match=r"limit of 1 threads is for this machine.*taskset"):
        prepare_blocks(volume(), PSF, **OPTIONS)
    with dask.config.set(scheduler="synchronous"):
        prepare_blocks(volume(), PSF, **OPTIONS)


@pytest.mark.parametrize(
    ("block", "rounds", "ahead"), [(60, 1, 1), ((24, 30, 60), 1, 1), ((24, 20, 20), 5, 2)]
)
def test_time_is_measured_on_a_worker_and_shared_by_all(client, block, rounds, ahead):
    def patch(seconds):
        from napari_deconv.blocks import timing

        timing.before = timing.seconds_a_voxel
        timing.seconds_a_voxel = seconds

    def undo():
        from napari_deconv.blocks import timing

        timing.seconds_a_voxel = timing.before

    plan = plan_blocks(volume(), PSF, **OPTIONS, block=block)
    slow = SecondsAVoxel(survey=4e-6, pilot=2e-6, tile=1e-6)
    client.run(patch, lambda *_: slow)
    seconds = plan.seconds()
    client.run(undo)
    tile = 1e-6 * plan.computed / np.prod(plan.counts)
    survey = 4e-6 * volume().size / 2
    assert seconds == pytest.approx(survey + (2 * ahead + rounds) * tile)
    assert plan.describe_time().endswith(" on 2 workers.")
    with dask.config.set(scheduler="synchronous"):
        here = plan_blocks(volume(), PSF, **OPTIONS)
        assert here.describe_time().endswith(" here, one tile after the other.")


def test_written_by_the_workers_as_planned_for_them(few, tmp_path):
    image = Image(volume(), SPACING, "ZYX")
    result = prepare_blocks(image.data, PSF, **OPTIONS)
    assert result.image.npartitions > 1
    pids = set()
    write_blocks(tmp_path / "a.ome.zarr", result, image, callback=lambda _: pids.update(
        int(file.stem.rpartition("-")[2]) for file in tmp_path.glob(".*.part/*/*.journal")
    ))  # fmt: skip
    assert set() < pids <= set(few.run(os.getpid).values())
    with dask.config.set(scheduler="synchronous"):
        alone = prepare_blocks(image.data, PSF, **OPTIONS, block=result.image.chunksize)
        assert alone.fingerprint == result.fingerprint
        np.testing.assert_array_equal(read_image(tmp_path / "a.ome.zarr").data, alone.image)


# -- no workers ------------------------------------------------------------------------------------
@pytest.fixture
def lonely(monkeypatch):
    """A cluster of its own, whose absence of workers is looked for often."""
    from distributed import Client, LocalCluster

    monkeypatch.setattr(computing, "_LOOK", 0.2)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(1)
        yield cluster, client


def test_without_workers_it_says_so_once_and_waits(lonely, tmp_path):
    cluster, _ = lonely
    said, left, file = [], [], Folder(tmp_path)

    def hear(message, *_, **__):
        said.append(str(message))
        time.sleep(1)  # several looks
        cluster.scale(1)

    def leave(progress):
        if progress.iteration == 4 and not left:
            left.append(progress)
            cluster.scale(0)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = hear
        store_blocks(smoothed(tmp_path, 0.05), file, leave)
    assert said == [
        "The Dask cluster has no workers: it goes on as soon as there is one. It can be stopped; "
        "what is written is kept."
    ]
    np.testing.assert_array_equal(file.read(), expected())


def test_waiting_can_be_interrupted_and_the_rest_follows(lonely, tmp_path):
    cluster, client = lonely
    image = Image(volume(), SPACING, "ZYX")
    options = OPTIONS | {"block": (24, 20, 20)}
    result, path = prepare_blocks(image.data, PSF, **options), tmp_path / "a.ome.zarr"
    left = []

    def leave(progress):
        if progress.iteration == 4 and not left:
            left.append(progress)
            cluster.scale(0)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("always", DeconvWarning)
        warnings.showwarning = interrupt
        with pytest.raises(KeyboardInterrupt):
            write_blocks(path, result, image, callback=leave)
    assert not path.exists()
    cluster.scale(1)
    client.wait_for_workers(1)
    done = []
    write_blocks(path, result, image, callback=lambda progress: done.append(progress.iteration))
    assert 4 <= done[0] <= 9
    np.testing.assert_array_equal(read_image(path).data, result.image.compute())


def test_planning_waits_for_a_worker_too(lonely):
    cluster, client = lonely
    cluster.scale(0)
    while client.nthreads():
        time.sleep(0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda *_, **__: cluster.scale(1)
        assert find_place("cpu", None).workers == 1


def test_a_worker_that_goes_while_it_is_asked_does_not_count(lonely):
    def die_when_asked():
        from napari_deconv.blocks import place

        place.free_memory = lambda _: os._exit(1)

    cluster, client = lonely
    cluster.scale(2)
    client.wait_for_workers(2)
    client.run(die_when_asked, workers=[next(iter(client.nthreads()))])
    assert find_place("cpu", None).workers == 1
