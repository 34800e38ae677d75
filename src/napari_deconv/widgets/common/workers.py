"""Work in a thread: progress, cancel, warnings and errors, back on the main thread as signals."""

from __future__ import annotations

import atexit
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import QThreadPool, Signal

from napari_deconv._progress import Callback, Progress
from napari_deconv.deconvolution import State
from napari_deconv.engines import get_engine
from napari_deconv.provenance import describe, file_origin

__all__ = ["Task", "Worker", "busy", "recorded", "traced"]

# The warnings machinery that superqt redirects for a worker belongs to the whole process, and
# several operations at once are not faster: one at a time.
_one_at_a_time = threading.Lock()

_LOOK = 0.1  # s; after which a worker that waits looks whether it is still wanted

# Seconds from one wait for the window to the next, at least, and how many times as long as one.
_BETWEEN = 0.25
_RARELY = 10
_DRAWN = 0.5  # s; to draw one takes less, unless nobody draws any more


# A thread that outlives the application takes the process down with it.
_made: WeakSet[Worker] = WeakSet()
_PATIENCE = 30_000  # ms


@atexit.register
def _end_all() -> None:
    for worker in _made:
        worker.quit()
    QThreadPool.globalInstance().waitForDone(_PATIENCE)


def busy() -> bool:
    """Tell whether a worker is at work, so that another one has to wait."""
    return _one_at_a_time.locked()


def recorded(
    function: Callable[..., Any],
    *arrays: Any,
    device: str,
    callback: Callback | None,
    **parameters: Any,
) -> tuple[Any, dict[str, Any]]:
    """Call a function of the core and describe the call; returns its result and the description."""
    engine = get_engine(device)
    if callback is not None:
        parameters["callback"] = callback
    result = function(*arrays, **parameters, engine=engine)
    parameters.pop("callback", None)
    return result, describe(function.__name__, parameters, engine)


def traced(
    function: Callable[..., Any], files: Mapping[str, tuple[str, Any]], callback: Callback
) -> tuple[Any, dict[str, dict[str, Any] | None]]:
    """Call a function, and look where in files its arrays are: layers may have been changed.

    Parameters
    ----------
    function : callable
        Called with ``callback=``.
    files : mapping
        By the names of inputs the file that each may be from, and its array.
    callback : callable
        For the function.

    Returns
    -------
    tuple
        What the function returns, and the origins by name; None for what is not in its file.
    """
    result = function(callback=callback)
    return result, {name: file_origin(path, data) for name, (path, data) in files.items()}


class _Cancelled(Exception):
    """Raised inside the callback of an operation to end it."""


class Task:
    """An operation with everything it needs, to be run once.

    Parameters
    ----------
    title : str
        What napari shows of it.
    function : callable
        Called with ``callback=``; whatever it returns is the result.
    picture : callable, optional
        What is made of an estimate on the way, in the thread, to show it; by default none is shown.
    """

    def __init__(
        self,
        title: str,
        function: Callable[..., Any],
        picture: Callable[[Any], Any] | None = None,
    ) -> None:
        self.picture = picture
        self._title = title
        self._function: Callable[..., Any] | None = function

    def __str__(self) -> str:
        """Return the title."""
        return self._title

    def __call__(self, callback: Callback) -> Any:
        """Run it, and let its arrays go: napari remembers tasks until its window closes."""
        function, self._function = self._function, None
        assert function is not None
        return function(callback=callback)


class _Signals(WorkerBaseSignals):
    progressed = Signal(float, int, bool)
    measured = Signal(dict)
    pictured = Signal(object, int)
    waiting = Signal()
    aborted = Signal()


class Worker(WorkerBase):
    """Runs a `Task` in a thread of Qt's pool.

    Signals, besides those of `WorkerBase`: ``progressed(done, iterations, coarse)`` after each
    step, which is on a coarse level or not; ``measured(row)`` when a deconvolution has measured
    how it fits (see `State`); ``pictured(picture, iteration)`` now and then with what the task
    makes of the estimate; ``waiting()`` after these: the task waits until `shown` is called, so
    that the window has the processor to itself while it draws; ``aborted()`` when the task ended
    because of `quit`, which takes one step at most.

    Parameters
    ----------
    task : Task
        What to run.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(SignalsClass=_Signals)
        self._task = task
        _made.add(self)
        self._enough = False
        self._next_picture = self._next_row = 0.0
        self._row = -1.0
        self._shown = threading.Event()
        self._shown.set()

    def keep(self) -> None:
        """Ask a deconvolution to end after its current step with what it has reached."""
        self._enough = True

    def quit(self) -> None:
        """Ask it to end after its current step; it does not wait for the window any more."""
        super().quit()
        self._shown.set()

    def shown(self) -> None:
        """Say that what was sent last has been shown."""
        self._shown.set()

    def run(self) -> None:
        """Wait for the other workers, then run; one that is asked to end meanwhile does."""
        while not _one_at_a_time.acquire(timeout=_LOOK):
            if self.abort_requested:
                self.aborted.emit()
                self.finished.emit()
                self._finished.emit(self)  # as `run` does, for superqt to forget it
                return
        try:
            super().run()
        finally:
            _one_at_a_time.release()

    def work(self) -> Any:
        """Run the task; an error after `quit` is the cancelling itself."""
        try:
            self._stop_if_asked()
            result = self._task(self._report)
            self._stop_if_asked()
            return result
        except Exception as error:
            if not self.abort_requested:
                traceback.clear_frames(error.__traceback__)  # they hold the arrays
                raise
            self.aborted.emit()
            return None

    def _report(self, progress: Progress) -> None:
        self._stop_if_asked()
        coarse = isinstance(progress, State) and progress.level > 1
        self.progressed.emit(progress.iteration + progress.part, progress.iterations, coarse)
        if isinstance(progress, State):
            self._tell(progress)
        if self._enough:
            raise StopIteration

    def _tell(self, state: State) -> None:
        """Send what has been measured, and the estimate if it is time for another picture."""
        row = state.measured.get("iteration", self._row)
        is_new = row != self._row
        if is_new:
            self._row = row
            self.measured.emit(state.measured)
        start, is_drawn = time.perf_counter(), self._shown.is_set()
        picture = self._task.picture if is_drawn and start >= self._next_picture else None
        if picture is not None or (is_drawn and is_new and start >= self._next_row):
            self._shown.clear()
            self._stop_if_asked()
            if picture is not None:
                self.pictured.emit(picture(state.image), state.iteration)
            self.waiting.emit()
            self._shown.wait(_DRAWN)
            now = time.perf_counter()
            again = now + max(_BETWEEN, _RARELY * (now - start))
            self._next_row = again if is_new else self._next_row
            self._next_picture = again if picture is not None else self._next_picture

    def _stop_if_asked(self) -> None:
        if self.abort_requested:
            raise _Cancelled
