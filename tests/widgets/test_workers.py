"""Work in a thread: every signal, cancelling within a step, nothing kept alive."""

from __future__ import annotations

import gc
import threading
import time
import warnings
import weakref
from functools import partial

import numpy as np
import pytest
from napari.qt.threading import create_worker

from napari_deconv import deconvolve
from napari_deconv._progress import Progress
from napari_deconv.errors import DeconvWarning
from napari_deconv.widgets.common import workers
from napari_deconv.widgets.common.results import contrast, contrasted
from napari_deconv.widgets.common.workers import Task, Worker


def make(function):
    return create_worker(Task("test", function), _worker_class=Worker, _ignore_errors=True)


def heard(signal):
    received = []
    signal.connect(lambda *values: received.append(values))
    return received


def finish(qtbot, worker):
    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.start()
    qtbot.waitUntil(lambda: not worker._worker_set, timeout=10_000)


def test_result_and_progress_arrive(qtbot):
    def count(callback):
        for done in range(1, 4):
            callback(Progress(done, 3))
        return threading.current_thread() is threading.main_thread()

    worker = make(count)
    returned, progressed = heard(worker.returned), heard(worker.progressed)
    finish(qtbot, worker)
    assert returned == [(False,)]
    assert progressed == [(1, 3, False), (2, 3, False), (3, 3, False)]


def test_quit_ends_it_at_the_next_step(qtbot):
    steps, begun, asked = [], threading.Event(), threading.Event()

    def count(callback):
        for done in range(1, 1000):
            steps.append(done)
            if done == 5:
                begun.set()
                asked.wait(10)
            callback(Progress(done, 1000))

    worker = make(count)
    returned, aborted = heard(worker.returned), heard(worker.aborted)
    errored = heard(worker.errored)
    worker.start()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.quit()
        asked.set()
    assert steps == [1, 2, 3, 4, 5]
    assert (returned, aborted, errored) == ([], [()], [])


def test_quit_wins_over_whatever_the_step_makes_of_it(qtbot):
    begun, asked = threading.Event(), threading.Event()

    def translate(callback):
        begun.set()
        asked.wait(10)
        try:
            callback(Progress(1, 2))
        except Exception as error:
            raise ValueError("translated") from error

    worker = make(translate)
    errored, aborted = heard(worker.errored), heard(worker.aborted)
    worker.start()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.quit()
        asked.set()
    assert (errored, aborted) == ([], [()])


def test_quit_drops_the_result_of_work_without_steps(qtbot):
    begun, asked = threading.Event(), threading.Event()

    def compute(callback):
        begun.set()
        asked.wait(10)
        return 1

    worker = make(compute)
    returned, aborted = heard(worker.returned), heard(worker.aborted)
    worker.start()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    with qtbot.waitSignal(worker.finished, timeout=10_000):
        worker.quit()
        asked.set()
    assert (returned, aborted) == ([], [()])


@pytest.mark.parametrize("pictured", [True, False])
def test_it_waits_while_what_it_has_sent_is_drawn(qtbot, pictured):
    image, steps, pictures, seen = np.ones((8, 8)), [], [], []

    def improve(callback):
        def done(state):
            steps.append(state.iteration)
            callback(state)

        deconvolve(image, np.ones((3, 3)), iterations=40, engine="cpu", callback=done)

    def draw():
        before = steps[-1]
        time.sleep(0.1)
        seen.append((before, steps[-1]))
        worker.shown()

    worker = create_worker(
        Task("test", improve, contrasted if pictured else None),
        _worker_class=Worker,
        _ignore_errors=True,
    )
    worker.pictured.connect(lambda *picture: pictures.append(picture))
    worker.waiting.connect(draw)
    finish(qtbot, worker)
    assert seen == [(1, 1)]
    assert steps[-1] == 40
    assert [iteration for _, iteration in pictures] == [1] * pictured
    for (picture, limits), _ in pictures:
        assert limits == contrast(picture, 0)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["while it waits", "before"])
def test_one_that_is_asked_to_end_waits_for_no_picture(qtbot, monkeypatch, meanwhile):
    monkeypatch.setattr(workers, "_DRAWN", 60.0)
    improve = partial(deconvolve, np.ones((8, 8)), np.ones((3, 3)), iterations=4, engine="cpu")

    def picture(image):
        if meanwhile:
            worker.quit()
        return np.asarray(image)

    task = Task("test", improve, picture)
    worker = create_worker(task, _worker_class=Worker, _start_thread=False, _ignore_errors=True)
    if not meanwhile:
        worker.waiting.connect(worker.quit)
    aborted = heard(worker.aborted)
    finish(qtbot, worker)
    assert aborted == [()]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, StopIteration, MemoryError])
def test_every_error_arrives(qtbot, kind):
    def fail(callback):
        raise kind("broken")

    worker = make(fail)
    errored = heard(worker.errored)
    finish(qtbot, worker)
    ((error,),) = errored
    assert isinstance(error, kind)


def test_warnings_arrive(qtbot):
    def warn(callback):
        warnings.warn("resampled", DeconvWarning, stacklevel=1)

    worker = make(warn)
    warned = heard(worker.warned)
    finish(qtbot, worker)
    ((warning,),) = warned
    assert str(warning[0]) == "resampled"
    assert warning[1] is DeconvWarning


def test_workers_take_turns_and_leave_warnings_as_they_were(qtbot):
    shown = warnings.showwarning
    inside, most = [], []

    def work(callback):
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()

    workers = [make(work) for _ in range(3)]
    finished = [heard(worker.finished) for worker in workers]
    for worker in workers:
        worker.start()
    qtbot.waitUntil(lambda: all(finished), timeout=10_000)
    assert most == [1, 1, 1]
    assert warnings.showwarning is shown


@pytest.mark.parametrize("fails", [False, True])
def test_arrays_are_let_go(qtbot, fails):
    def use(array, callback):
        local = array * 2
        references.append(weakref.ref(local))
        if fails:
            raise ValueError("broken")

    references = []
    array = np.zeros(1000)
    references.append(weakref.ref(array))
    worker = make(partial(use, array))
    del array
    errored = heard(worker.errored)
    finish(qtbot, worker)
    gc.collect()
    assert len(errored) == fails
    assert [reference() is None for reference in references] == [True, True]
