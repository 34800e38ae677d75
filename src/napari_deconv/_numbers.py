"""The check of a number that users pass in."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.errors import DeconvError

__all__ = ["check_number"]


def check_number(value: Any, name: str, low: float = -np.inf, high: float = np.inf) -> float:
    """Take one finite number from `low` to `high`.

    Raises
    ------
    DeconvError
        If it is none; `name` is what to call it.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if np.isfinite(number) and low <= number <= high:
        return number
    expected = "a finite number"
    if np.isfinite(high):
        expected = f"a number from {low:g} to {high:g}"
    elif np.isfinite(low):
        expected = f"a number, {low:g} or more"
    raise DeconvError(f"{name}={value!r}: expected {expected}.")
