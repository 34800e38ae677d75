"""Work in a thread: progress, cancel, warnings and errors, back on the main thread as signals."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from typing import Any

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

from napari_deconv._progress import Callback, Progress
from napari_deconv.deconvolution import State

__all__ = ["Task", "Worker", "busy"]

# The warnings machinery that superqt redirects for a worker belongs to the whole process, and
# several operations at once are not faster: one at a time.
_one_at_a_time = threading.Lock()


def busy() -> bool:
    """Tell whether a worker is at work, so that another one has to wait."""
    return _one_at_a_time.locked()


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
    """

    def __init__(self, title: str, function: Callable[..., Any]) -> None:
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
    progressed = Signal(int, int, bool)
    aborted = Signal()


class Worker(WorkerBase):
    """Runs a `Task` in a thread of Qt's pool.

    Signals, besides those of `WorkerBase`: ``progressed(iteration, iterations, coarse)`` after each
    step, which is on a coarse level or not; ``aborted()`` when the task ended because of `quit`,
    which takes one step at most.

    Parameters
    ----------
    task : Task
        What to run.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(SignalsClass=_Signals)
        self._task = task

    def run(self) -> None:
        """Wait for the other workers, then run."""
        with _one_at_a_time:
            super().run()

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
        self.progressed.emit(progress.iteration, progress.iterations, coarse)

    def _stop_if_asked(self) -> None:
        if self.abort_requested:
            raise _Cancelled
