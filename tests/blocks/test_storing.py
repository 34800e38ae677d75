"""Blocks written one after the other."""

from __future__ import annotations

import cProfile
import pstats
import threading
import weakref

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_blocks import COUNT, SHAPE, Folder, expected, fails, smoothed, troubled

from napari_deconv import DeconvError
from napari_deconv._progress import Progress
from napari_deconv.blocks.storing import store_blocks


class Memory:
    """Keeps what is written, and in which thread."""

    def __init__(self, done=()):
        self.done, self.blocks, self.threads = set(done), {}, set()

    def write(self, origin, block):
        self.blocks[origin] = block
        self.threads.add(threading.get_ident())


class Forgetful:
    done = frozenset()

    def write(self, origin, block):
        pass


def test_all_blocks_are_written(tmp_path):
    file = Folder(tmp_path)
    store_blocks(smoothed(tmp_path), file)
    np.testing.assert_array_equal(file.read(), expected())
    assert set(file.writes.values()) == {1}


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_only_what_is_missing_is_computed(data):
    shape = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=4).map(tuple))
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    whole = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    computed = []

    def double(block, block_info=None):
        computed.append(tuple(start for start, _ in block_info[0]["array-location"]))
        return 2 * block

    meta = np.empty((0,) * len(shape), np.float32)
    result = da.from_array(whole, chunks=chunks).map_blocks(double, dtype=np.float32, meta=meta)
    everything = {
        tuple(c * i for c, i in zip(chunks, index, strict=True))
        for index in np.ndindex(result.numblocks)
    }
    there = data.draw(st.sets(st.sampled_from(sorted(everything))))
    file = Memory(there)
    store_blocks(result, file)
    assert sorted(computed) == sorted(everything - there) == sorted(file.blocks)
    for origin, block in file.blocks.items():
        here = tuple(slice(o, o + n) for o, n in zip(origin, block.shape, strict=True))
        np.testing.assert_array_equal(block, 2 * whole[here])
    assert file.threads <= {threading.get_ident()}


def test_progress_counts_what_was_there_before(tmp_path):
    whole = Memory()
    store_blocks(smoothed(tmp_path), whole)
    seen = []
    store_blocks(smoothed(tmp_path), Memory(list(whole.blocks)[:20]), callback=seen.append)
    assert seen == [Progress(n, COUNT) for n in (21, 22, 23, 24)]


def test_what_the_callback_raises_ends_it_and_the_rest_can_follow(tmp_path):
    def stop(progress):
        if progress.iteration == 5:
            raise KeyboardInterrupt

    file = Folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store_blocks(smoothed(tmp_path), file, callback=stop)
    assert len(file.done) == 5
    store_blocks(smoothed(tmp_path), file)
    np.testing.assert_array_equal(file.read(), expected())
    assert set(file.writes.values()) == {1}


def test_the_error_of_a_block_is_raised_as_it_is(tmp_path):
    with pytest.raises(DeconvError, match="take another"):
        store_blocks(troubled(fails, tmp_path), Folder(tmp_path))


def test_one_block_is_in_memory_at_a_time():
    living, most = weakref.WeakSet(), []

    class Block(np.ndarray):
        __hash__ = object.__hash__

    def make(block):
        made = block.copy().view(Block)
        living.add(made)
        most.append(len(living))
        return made

    zeros = da.zeros(SHAPE, chunks=(4, 64), dtype=np.float32)
    store_blocks(zeros.map_blocks(make, meta=np.empty((0, 0), np.float32)), Forgetful())
    assert most == 12 * [1]


def test_a_block_costs_the_same_however_many_there_are():
    """Dask by itself goes through the graph of all blocks for each of them."""

    def calls(count):
        nothing = da.zeros((count, 4), chunks=(1, 4)).map_blocks(np.negative)
        with cProfile.Profile() as profile:
            store_blocks(nothing, Forgetful())
        return pstats.Stats(profile).total_calls / count

    calls(10)
    assert calls(2000) < 1.2 * calls(200)
