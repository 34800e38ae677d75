"""What a worker of a Dask cluster does for us besides computing: it tells what it warns of."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from napari_deconv.errors import DeconvWarning

__all__ = ["TOPIC", "ForwardWarnings", "collected"]

TOPIC = "napari-deconv warnings"
"""Under which clients hear of them."""


_thread = threading.local()


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect what this thread warns of, for its result, instead of telling all clients.

    Yields
    ------
    list of str
        Empty where no `ForwardWarnings` is registered.
    """
    notes: list[str] = []
    _thread.notes = notes
    try:
        yield notes
    finally:
        _thread.notes = None


class ForwardWarnings(WorkerPlugin):  # type: ignore[misc]
    """Tells clients each `DeconvWarning` that a worker's task gives."""

    name = "napari-deconv warnings"

    def setup(self, worker: Worker) -> None:
        """Listen, also to what was said in an earlier run."""
        warnings.simplefilter("always", DeconvWarning)
        self._show = warnings.showwarning
        warnings.showwarning = self._show_and_tell

    def teardown(self, worker: Worker) -> None:
        """Listen no more."""
        warnings.showwarning = self._show

    def _show_and_tell(
        self, message: Warning | str, category: type[Warning], *where: Any, **more: Any
    ) -> None:
        self._show(message, category, *where, **more)
        if not issubclass(category, DeconvWarning):
            return
        notes = getattr(_thread, "notes", None)
        if notes is not None:
            notes.append(str(message))
            return
        try:
            worker = get_worker()
        except ValueError:  # not of a task
            return
        worker.log_event(TOPIC, str(message))
