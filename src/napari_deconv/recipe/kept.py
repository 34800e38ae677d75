"""What was computed for one file and is the same for the next: PSFs, above all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from napari_deconv.recipe.calls import Call, value_of

__all__ = ["Kept"]

_PLAIN = (str, int, float, bool, type(None))


class Kept:
    """Values of calls whose arguments are plain, or values of such calls in turn."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[Any, Any]] = {}
        self._kept: dict[int, Any] = {}

    def key(self, call: Call, names: Mapping[str, Any]) -> Hashable | None:
        """Give what a call is known by; None if it depends on what is not kept."""
        given = {**call.positional, **call.keywords}
        parts = [self._part(value_of(value, names)) for value in given.values()]
        if None in parts:
            return None
        return (call.function, call.part, tuple(given), tuple(parts))

    def recall(self, key: Hashable) -> tuple[Any, Any] | None:
        """Give a value and its origin, if it was kept."""
        return self._values.get(key)

    def keep(self, key: Hashable, value: Any, origin: Any) -> None:
        """Keep a value and its origin."""
        self._values[key] = value, origin
        for part in (value, getattr(value, "data", None)):
            self._kept[id(part)] = part

    def _part(self, value: Any) -> Hashable | None:
        if isinstance(value, (*_PLAIN, tuple, dict)):
            return repr(value)
        return id(value) if id(value) in self._kept else None
