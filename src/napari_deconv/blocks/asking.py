"""A tile that is computed in this thread can be broken off between two of its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["ask", "asked"]

_question: ContextVar[Callable[[], object] | None] = ContextVar("question", default=None)


@contextmanager
def asked(question: Callable[[], object]) -> Iterator[None]:
    """Have a function called by `ask` in this block; what it raises ends the work."""
    token = _question.set(question)
    try:
        yield
    finally:
        _question.reset(token)


def ask() -> None:
    """Ask whether to go on, if there is anybody to ask: a cluster's worker has nobody."""
    question = _question.get()
    if question is not None:
        question()
