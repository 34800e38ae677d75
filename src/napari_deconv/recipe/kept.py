"""What was computed for one file and is the same for the next: PSFs, above all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from napari_deconv.recipe.calls import Call, value_of

__all__ = ["Kept"]

_PLAIN = (str, int, float, bool, type(None))


class Kept:
    """Values of calls whose arguments are plain, or values of such calls in turn.

    Where several threads ask for them, one computes while the others wait.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[Any, Any]] = {}
        self._kept: dict[int, Any] = {}
        self._lock = threading.Lock()

    def key(self, call: Call, names: Mapping[str, Any]) -> Hashable | None:
        """Give what a call is known by; None if it depends on what is not kept."""
        given = {**call.positional, **call.keywords}
        parts = [self._part(value_of(value, names)) for value in given.values()]
        if None in parts:
            return None
        return (call.function, call.part, tuple(given), tuple(parts))

    def get(self, key: Hashable, make: Callable[[], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Give a value and its origin, which are made the first time."""
        with self._lock:
            if key not in self._values:
                self._values[key] = value, _ = make()
                for part in (value, getattr(value, "data", None)):
                    self._kept[id(part)] = part
            return self._values[key]

    def _part(self, value: Any) -> Hashable | None:
        if isinstance(value, (*_PLAIN, tuple, dict)):
            return repr(value)
        return id(value) if id(value) in self._kept else None
