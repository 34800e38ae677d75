"""What is warned of while a recipe is done."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["noted"]

_LOCK = threading.Lock()


@contextmanager
def noted() -> Iterator[list[str]]:
    """Show each warning of a block once, though planning and running both give it.

    Blocks of several threads may run at once: each takes the warnings of its own thread. Those of
    other threads, such as the one that hears from a cluster, are taken by a block that runs alone,
    and otherwise only shown.

    Yields
    ------
    list of str
        What was shown so far.
    """
    notes: list[str] = []
    with _LOCK:
        if not isinstance(warnings.showwarning, _Listener):
            warnings.showwarning = _Listener(warnings.showwarning)
        listener = warnings.showwarning
        listener.notes[threading.get_ident()] = notes
    try:
        yield notes
    finally:
        with _LOCK:
            del listener.notes[threading.get_ident()]
            if not listener.notes and warnings.showwarning is listener:
                warnings.showwarning = listener.show


class _Listener:
    """Stands in for `warnings.showwarning`, and notes what is shown, for each thread apart."""

    def __init__(self, show: Callable[..., None]) -> None:
        self.show = show
        self.notes: dict[int, list[str]] = {}

    def __call__(self, message: Warning | str, *where: Any, **more: Any) -> None:
        with _LOCK:
            notes = self._notes()
            if str(message) in notes:
                return
            notes.append(str(message))
        self.show(message, *where, **more)

    def _notes(self) -> list[str]:
        own = self.notes.get(threading.get_ident())
        if own is None and len(self.notes) == 1:
            (own,) = self.notes.values()
        return [] if own is None else own
