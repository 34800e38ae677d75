"""Threads that wait for work, and let a Ctrl-C through at any moment."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Barrier, Thread
from typing import Any

__all__ = ["Pool"]

Task = Callable[[], None]


class Pool:
    """So many threads, until Python ends.

    Those of `concurrent.futures` are not used: its locks are written in Python, and one that a
    Ctrl-C finds half taken stays locked for ever. `SimpleQueue` is safe from that.

    Parameters
    ----------
    workers : int
        How many.
    """

    def __init__(self, workers: int) -> None:
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        names = (f"napari-deconv_{i}" for i in range(workers))
        self._threads = [Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()
        # A thread that comes back from a library to a Python that is gone crashes it.
        atexit.register(self._rest)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Call the function with every item, in any order, and give the results in theirs.

        What it raises is raised, and what has not begun then is left.
        """
        results: list[Any] = [None] * len(items)
        errors: list[BaseException] = []
        ended: SimpleQueue[None] = SimpleQueue()
        over = False

        def work(place: int) -> None:
            try:
                if not over:
                    results[place] = function(items[place])
            except BaseException as error:
                errors.append(error)
            # Else a circle with arrays in it: an error holds this frame, and this frame the errors.
            if over:
                errors.clear()
            ended.put(None)

        try:
            for place in range(len(items)):
                self._tasks.put(partial(work, place))
            for _ in items:
                ended.get()
                if errors:
                    raise errors[0]
        finally:
            over = True
            errors.clear()
        return results

    def _work(self) -> None:
        while True:
            self._tasks.get()()

    def _rest(self) -> None:
        """Wait for what has begun; whoever goes on working while Python ends finds the threads."""
        meeting = Barrier(len(self._threads))
        self.map(lambda _: meeting.wait(), self._threads)
