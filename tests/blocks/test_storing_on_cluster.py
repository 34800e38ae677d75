"""Blocks written by the processes of a real Dask cluster."""

from __future__ import annotations

import os
import signal
import time

import dask
import numpy as np
import pytest
from slow_blocks import COUNT, Folder, dies, expected, fails, smoothed, troubled
from tests.blocks.cases import bars

from napari_deconv import DeconvError, prepare_blocks
from napari_deconv._progress import Progress
from napari_deconv.blocks.computing import current_client
from napari_deconv.blocks.storing import store_blocks


def test_same_bits_as_without_a_cluster(client, tmp_path):
    file, seen = Folder(tmp_path), []
    store_blocks(smoothed(tmp_path), file, callback=seen.append)
    np.testing.assert_array_equal(file.read(), expected())
    assert set(file.writes.values()) == {1}
    told = list(dict.fromkeys(seen))  # again and again while it waits
    assert told[-COUNT:] == [Progress(n, COUNT) for n in range(1, COUNT + 1)]


def test_what_all_tiles_share_is_found_on_the_workers(client):
    sample, seen = bars(), []
    options = {"block": (16, 48, 48), "stop": "quality", "engine": "cpu"}
    here = prepare_blocks(sample.image, sample.psf, **options)
    with dask.config.set(scheduler="synchronous"):
        alone = prepare_blocks(sample.image, sample.psf, callback=seen.append, **options)
    assert current_client() is client
    assert repr(here.surveys) == repr(alone.surveys)  # with NaN for what is not known
    assert [progress.iteration for progress in seen][:4] == [1, 2, 3, 4]


def test_what_blocks_share_is_sent_to_each_worker_once(client, tmp_path):
    store_blocks(smoothed(tmp_path), Folder(tmp_path))
    unpacked = (tmp_path / "unpacked").read_text().split()
    workers = {str(process) for process in client.run(os.getpid).values()}
    for worker in workers & set(unpacked):
        # With its task, and where one worker has it from the other, from there.
        assert unpacked.count(worker) == 1
    assert len(unpacked) <= len(workers) + 1  # the scheduler's, as it takes the graph


def test_nothing_is_lost_with_a_worker_that_is_killed(client, tmp_path):
    killed = []

    def kill(progress):
        if progress.iteration == 8 and not killed:
            killed.append(progress)
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    file = Folder(tmp_path)
    store_blocks(smoothed(tmp_path, seconds=0.1), file, callback=kill)
    np.testing.assert_array_equal(file.read(), expected())
    # Written again are at most those that the killed one was at, or had not yet told of.
    assert sum(file.writes.values()) <= COUNT + 3


def test_what_the_callback_raises_ends_it_and_the_rest_can_follow(client, tmp_path):
    def stop(progress):
        if progress.iteration == 5:
            raise KeyboardInterrupt

    file = Folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store_blocks(smoothed(tmp_path, seconds=0.1), file, callback=stop)
    client.run(lambda: None)
    assert 5 <= len(file.done) < 12
    store_blocks(smoothed(tmp_path, seconds=0.1), file)
    np.testing.assert_array_equal(file.read(), expected())


def test_it_is_heard_at_once_that_it_is_to_end(client, tmp_path):
    slow = smoothed(tmp_path, seconds=5)
    began = time.monotonic()

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_blocks(slow, Folder(tmp_path), callback=stop)
    assert time.monotonic() < began + 4


def test_a_block_that_fails_is_tried_again_and_its_error_raised(client, tmp_path):
    with pytest.raises(DeconvError, match="take another"):
        store_blocks(troubled(fails, tmp_path).blocks[:1, :1], Folder(tmp_path))
    assert (tmp_path / "tries").read_text().split() == 3 * ["again"]


def test_a_block_that_kills_its_workers_ends_it(cluster, client, tmp_path):
    cluster.scheduler.allowed_failures, before = 1, cluster.scheduler.allowed_failures
    try:
        with pytest.raises(DeconvError, match="2 workers died at the same tile or file"):
            store_blocks(troubled(dies, tmp_path).blocks[:1, :1], Folder(tmp_path))
    finally:
        cluster.scheduler.allowed_failures = before


def test_a_lost_connection_is_said(tmp_path):
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        client = Client(cluster)

        def cut(progress):
            client.close()

        with pytest.raises(DeconvError, match="connection to the Dask scheduler was lost"):
            store_blocks(smoothed(tmp_path, 0.05), Folder(tmp_path), callback=cut)
