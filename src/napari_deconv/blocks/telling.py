"""A tile that is computed in this thread tells how far it is, and can be broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["listened_to", "one_half", "tell"]

Listener = Callable[[float], object]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listened_to(listener: Listener) -> Iterator[None]:
    """Have a function called by `tell` in this block; what it raises ends the work."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def one_half(before: int) -> Iterator[None]:
    """Do in this block one half of a tile, before which none or one has been done."""
    listener = _listener.get()
    if listener is None:
        yield
    else:
        with listened_to(lambda part: listener((before + part) / 2)):
            yield


def tell(part: float) -> None:
    """Tell which part of the tile is done, if anybody listens: on a cluster's worker nobody does.

    Parameters
    ----------
    part : float
        From 0 to 1.
    """
    listener = _listener.get()
    if listener is not None:
        listener(part)
