"""What is warned of while a recipe is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["noted"]


@contextmanager
def noted() -> Iterator[list[str]]:
    """Show each warning of a block once, though planning and running both give it.

    Yields
    ------
    list of str
        What was shown so far.
    """
    notes: list[str] = []
    show = warnings.showwarning

    def note(message: Warning | str, *where: Any, **more: Any) -> None:
        if str(message) not in notes:
            notes.append(str(message))
            show(message, *where, **more)

    warnings.showwarning = note
    try:
        yield notes
    finally:
        warnings.showwarning = show
