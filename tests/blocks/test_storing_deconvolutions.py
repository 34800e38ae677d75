"""A deconvolution in blocks, from file to file: alone, on a cluster, interrupted and resumed."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from functools import partial

import dask
import numpy as np
import pytest

from napari_deconv import make_psf
from napari_deconv.blocks import deconvolve_blocks
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.storing import store_blocks
from napari_deconv.files import open_image, read_image, write_image
from napari_deconv.files.blockwise import BlockFile
from napari_deconv.forward import Convolution

SPACING = (0.2, 0.1, 0.1)
COUNT = 18
PSF = make_psf("gaussian", shape=(7, 9, 9), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "cells.ome.zarr"
    rng = np.random.default_rng(0)
    sharp = rng.poisson(0.02, (2, 20, 60, 60)) * 500.0
    write_image(path, rng.poisson(sharp + 20).astype(np.uint16), SPACING)
    return open_image(path)


@pytest.fixture(scope="module")
def result(source):
    return deconvolve_blocks(
        source.data, PSF, block=(20, 20, 20), overlap=(8, 8, 8), iterations=4, spacing=SPACING,
        engine="cpu",
    )  # fmt: skip


def file_for(result, source, path, resume=False):
    image = replace(source, data=result)
    return BlockFile.open(
        path, image, result.dtype, result.chunks, fingerprint="test", resume=resume
    )


@pytest.fixture(scope="module")
def alone(result, source, tmp_path_factory):
    """What is written in one process, without interruption."""
    path = tmp_path_factory.mktemp("alone") / "alone.ome.zarr"
    file = file_for(result, source, path)
    store_blocks(result, file)
    file.finish({})
    return read_image(path).data


def test_what_is_written_is_what_is_computed(alone, result):
    assert result.npartitions == COUNT
    np.testing.assert_array_equal(alone, result.compute(scheduler="synchronous"))


@pytest.mark.parametrize("name", ["cluster.ome.zarr", "cluster.ome.tif"])
def test_same_bits_though_a_worker_is_killed(name, result, source, alone, client, tmp_path):
    killed = []

    def kill(progress):
        if progress.iteration == 4 and not killed:
            killed.append(progress)
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    file = file_for(result, source, tmp_path / name)
    store_blocks(result, file, callback=kill)
    file.finish({})
    written = read_image(tmp_path / name)
    np.testing.assert_array_equal(written.data, alone)
    assert written.spacing == SPACING


def test_begun_alone_and_resumed_on_a_cluster(result, source, alone, client, tmp_path):
    def stop(progress):
        if progress.iteration == 7:
            raise KeyboardInterrupt

    open_file = partial(file_for, result, source, tmp_path / "cells.ome.zarr")
    with pytest.raises(KeyboardInterrupt), dask.config.set(scheduler="synchronous"):
        store_blocks(result, open_file(), callback=stop)
    assert not (tmp_path / "cells.ome.zarr").exists()
    file, seen = open_file(resume=True), []
    store_blocks(result, file, callback=lambda progress: seen.append(progress.iteration))
    file.finish({})
    assert sorted(set(seen) - {7}) == list(range(8, COUNT + 1))
    np.testing.assert_array_equal(read_image(tmp_path / "cells.ome.zarr").data, alone)


def test_the_psf_is_sent_to_each_worker_once(result, source, client, tmp_path):
    def count():
        def unpack(order, state):
            order.__dict__.update(state)
            Order.unpacked += 1

        Order.unpacked, Order.__setstate__ = 0, unpack

    client.run(count)
    file = file_for(result, source, tmp_path / "cells.ome.zarr")
    store_blocks(result, file)
    unpacked = client.run(lambda: Order.unpacked)
    assert len(unpacked) == 2
    assert max(unpacked.values()) == 1  # none where the other was faster with all blocks


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener"])
def test_each_worker_makes_the_otf_of_tiles_of_one_size_once(method, source, client, tmp_path):
    def count():
        def make(model, *given):
            Convolution.made += 1
            Convolution.make(model, *given)

        Convolution.made, Convolution.make = 0, Convolution.__init__
        Convolution.__init__ = make

    def told():
        Convolution.__init__ = Convolution.make
        return Convolution.made

    options = {"iterations": 2} if method == "richardson_lucy" else {"regularization_weight": 0.1}
    result = deconvolve_blocks(
        source.data, PSF, block=(20, 20, 20), overlap=0, spacing=SPACING, method=method,
        engine="cpu", **options,
    )  # fmt: skip
    client.run(count)
    store_blocks(result, file_for(result, source, tmp_path / "cells.ome.zarr"))
    made = client.run(told).values()
    assert len(made) == 2
    assert 1 <= sum(made) <= 2 * max(made) == 2
