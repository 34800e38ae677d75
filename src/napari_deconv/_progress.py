"""Progress of a long operation, as its callback sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Callback", "Progress", "duration"]


@dataclass(frozen=True)
class Progress:
    """How far an operation is.

    Attributes
    ----------
    iteration : int
        Steps done so far, from 1.
    iterations : int
        Steps planned.
    part : float
        Which part of the next step is done, from 0 to 1, where a step is a whole tile.
    """

    iteration: int
    iterations: int
    part: float = field(default=0.0, kw_only=True)


def duration(seconds: float) -> str:
    """Say how long something takes."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


Callback = Callable[[Any], object]
"""Called with a `Progress` (or a solver's `State`) after each step; what it raises ends the run."""
