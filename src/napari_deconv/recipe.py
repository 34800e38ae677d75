"""A run, written down: what was done, with which version, on which device."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from napari_deconv.engines.protocol import Engine

__all__ = ["describe"]


def describe(operation: str, parameters: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """Describe a run so that it can be repeated.

    Parameters
    ----------
    operation : str
        Name of the public function, for example ``"deconvolve"``.
    parameters : mapping
        Its keyword arguments as used. Arrays are described by shape, not stored.
    engine : Engine
        The engine it ran on.

    Returns
    -------
    dict
        Plain values only (str, int, float, bool, None, list, dict), ready for JSON.
    """
    return {
        "napari-deconv": version("napari-deconv"),
        "operation": operation,
        "parameters": {name: _plain(value) for name, value in parameters.items()},
        "engine": engine.device.key,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}"
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
