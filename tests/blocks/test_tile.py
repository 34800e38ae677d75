"""One tile: by itself in its process, cut where memory is short, with the camera's offset."""

from __future__ import annotations

import gc
import time
from weakref import ref

import numpy as np
import pytest
from tests.blocks.cases import BOUND, bars, seam

from napari_deconv import set_limits
from napari_deconv.blocks import deconvolve_blocks, prepare_blocks, tile, turn
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import LEAST
from napari_deconv.errors import DeconvWarning, DeviceMemoryError
from napari_deconv.solvers.position import DataMonitor

QUICK = {"block": (16, 48, 48), "iterations": 1, "background": 1.8, "engine": "cpu"}


def test_a_process_does_one_tile_at_a_time(monkeypatch):
    sample = bars()
    tiled = deconvolve_blocks(sample.image, sample.psf, **QUICK)
    do, at_work, most = tile._solved, [], []

    def watched(*given):
        at_work.append(given)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return do(*given)

    monkeypatch.setattr(tile, "_solved", watched)
    tiled.compute(scheduler="threads", num_workers=4)
    assert most == 4 * [1]


def test_a_tile_is_cut_along_its_longest_axis_and_not_below_16_voxels(monkeypatch):
    sample = bars()
    tiled = deconvolve_blocks(sample.image, sample.psf, **QUICK)
    tried = []

    def too_large(_, part):
        tried.append(part.shape)
        raise DeviceMemoryError("no memory")

    monkeypatch.setattr(tile, "_whole", too_large)
    with pytest.raises(DeviceMemoryError, match="no memory"):
        tiled.blocks[0, 0, 0].compute(scheduler="synchronous")
    assert tried == [(16, 48, 48), (16, 24, 48), (16, 24, 24)]
    assert np.min(tried) >= LEAST


def test_a_tile_tells_how_far_it_is_also_in_halves(monkeypatch):
    sample, do, told = bars(), tile._whole, []

    def short_of_memory(work, part):
        if max(part.shape) > 48:
            raise DeviceMemoryError("no memory")
        return do(work, part)

    options = QUICK | {"iterations": 4, "levels": "auto", "block": (16, 96, 48)}
    tiled = deconvolve_blocks(sample.image, sample.psf, **options)
    tasks = tiled.to_delayed().ravel().tolist()
    for _ in compute_each(tasks[:1], told.append):
        pass
    assert list(dict.fromkeys(each.part for each in told)) == [0, 0.25, 0.5, 0.75, 1]
    told.clear()
    monkeypatch.setattr(tile, "_whole", short_of_memory)
    with pytest.warns(DeconvWarning, match="in 2 smaller"):
        for _ in compute_each(tasks, told.append):
            pass
    far = [each.iteration + each.part for each in told]
    assert far == sorted(far)
    assert set(far) == {n / 8 for n in range(17)}


def test_pilots_tell_how_far_they_are():
    sample, told = bars(), []
    options = QUICK | {"iterations": 12, "stop": "quality", "block": (16, 96, 48)}
    prepare_blocks(sample.image, sample.psf, callback=told.append, **options)
    far = [each.iteration + each.part for each in told]
    assert far[:2] == [1, 2]  # tiles that were read
    assert far[2:] == sorted(far[2:])
    assert far[2] == pytest.approx(1 / 12)
    assert far[-1] == 2


def test_the_offset_of_the_camera_is_taken_off():
    sample = bars()
    options = {"read_noise": 1.0, "gain": 1.0, "iterations": 10, "engine": "cpu"}
    found = seam(
        sample.image + 100, sample.psf, (16, 48, 96), (2, 8, 8), offset=100.0, background=101.8,
        **options,
    )  # fmt: skip
    assert found < BOUND
    shifted = deconvolve_blocks(
        sample.image + 100, sample.psf, block=(16, 48, 96), offset=100.0, background=101.8,
        **options,
    )  # fmt: skip
    plain = deconvolve_blocks(
        sample.image, sample.psf, block=(16, 48, 96), background=1.8, **options
    )
    np.testing.assert_allclose(shifted.compute(), plain.compute(), rtol=1e-3, atol=1e-3)


def test_no_tile_judges_itself(monkeypatch):
    """Where a rule ends must not depend on what a tile sees."""
    sample = bars()
    options = QUICK | {"iterations": 12, "levels": "auto", "stop": "quality"}
    tiled = deconvolve_blocks(sample.image, sample.psf, **options)
    monkeypatch.setattr(DataMonitor, "measure", None)
    assert tiled.compute(scheduler="synchronous").max() > 0


def test_negative_voxels_count_as_0():
    sample = bars()
    image = sample.image.astype(np.float32)
    image[::3, ::5, ::2] = -7
    clipped = deconvolve_blocks(np.maximum(image, 0), sample.psf, **QUICK)
    with pytest.warns(DeconvWarning, match="voxels are below 0"):
        tiled = deconvolve_blocks(image, sample.psf, **QUICK)
    np.testing.assert_array_equal(tiled.compute(), clipped.compute())


@pytest.fixture
def made(monkeypatch):
    """Shapes of what forward models were made for, one after the other."""
    shapes, make = [], turn.make_model

    def noted(problem, *given):
        shapes.append(problem.image.shape)
        return make(problem, *given)

    monkeypatch.setattr(turn, "make_model", noted)
    return shapes


def tasks_of(image, psf, **options):
    return deconvolve_blocks(image, psf, **QUICK | options).to_delayed().ravel()


@pytest.mark.parametrize("levels", [1, 2])
def test_the_models_of_a_tile_serve_the_next_one_of_its_shape(made, levels):
    sample = bars()
    tasks = tasks_of(sample.image, sample.psf, block=(16, 16, 96), overlap=8, levels=levels)
    alone = []
    for task in tasks:
        alone.append(task.compute(scheduler="synchronous"))
        turn.forget_models()
    assert len(made) == 6 * levels
    made.clear()
    together = [task.compute(scheduler="synchronous") for task in tasks]
    np.testing.assert_array_equal(together, alone)
    assert [shape[1] for shape in made if shape[2] == 96] == [24, 32, 24]
    assert len(made) == 3 * levels


def test_models_are_forgotten_for_other_work_after_a_failure_and_with_their_work(made):
    sample = bars()
    tasks, others = (tasks_of(sample.image, sample.psf) for _ in range(2))
    for count, task in ((1, tasks[0]), (1, tasks[1]), (2, others[0]), (3, tasks[0])):
        task.compute(scheduler="synchronous")
        assert len(made) == count
    (work,) = turn._kept
    with pytest.raises(DeviceMemoryError), turn.one_tile(work):
        raise DeviceMemoryError("no memory")
    assert not turn._kept
    tasks[0].compute(scheduler="synchronous")
    assert list(turn._kept) == [work]
    del tasks, others, task, work
    gc.collect()
    assert not turn._kept


def test_while_halves_are_done_nothing_of_the_tile_that_failed_is_held(monkeypatch):
    sample, solve, alive, models = bars(), tile.solve, [], []

    def short_of_memory(problem, options, survey, kept, *given, **more):
        gc.collect()
        alive.append(sum(each() is not None for each in models))
        made = solve(problem, options, survey, kept, *given, **more)
        models.extend(map(ref, kept._made.values()))
        if len(alive) == 1:
            raise DeviceMemoryError("no memory")
        return made

    monkeypatch.setattr(tile, "solve", short_of_memory)
    with pytest.warns(DeconvWarning, match="in 2 smaller"):
        tasks_of(sample.image, sample.psf)[0].compute(scheduler="synchronous")
    assert alive[:2] == [0, 0]
    assert len(alive) == 3


def test_room_is_looked_for_with_models_that_are_kept_too():
    sample = bars()
    first, second, *_ = tasks_of(sample.image, sample.psf)
    first.compute(scheduler="synchronous")
    set_limits(memory=1e5)
    try:
        with pytest.raises(DeviceMemoryError, match="the memory limit is"):
            second.compute(scheduler="synchronous")
    finally:
        set_limits()
