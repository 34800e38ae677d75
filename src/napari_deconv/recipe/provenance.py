"""Provenance: what was done to an array, with which version, on which device, from what.

A record of a call is a plain dict, and a tree, for its inputs are records themselves:

``napari-deconv``
    Version.
``operation``, ``parameters``
    Name of the public function and its keyword arguments, those that are no arrays.
``engine``
    Key of the device, as ``engine=`` takes it.
``inputs``
    By the name of the argument (``image``, ``psf``, ``mask``, ``initial``, ``beads``), an origin: a
    record like this, a file ``{"path": …, "channel": …}``, a sample ``{"sample": name, "part":
    "image" | "psf" | "truth"}``, or ``{"layer": name}``, an array that nothing can make again. A
    PSF from a file or layer has its voxel size under ``spacing`` where it is not the file's.
``made``
    When, for how long, on what, why it ended, and the versions of the libraries.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import read_image

__all__ = ["describe", "file_origin", "made", "record"]

_LIBRARIES = ("numpy", "scipy", "pyclesperanto")


def describe(operation: str, parameters: Mapping[str, Any], engine: Engine) -> dict[str, Any]:
    """Describe a call so that it can be repeated.

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


def made(seconds: float, engine: Engine, stop_reason: str = "") -> dict[str, Any]:
    """Describe how a run went.

    Parameters
    ----------
    seconds : float
        How long it took.
    engine : Engine
        The engine it ran on.
    stop_reason : str
        Why it ended, where that is not plain.

    Returns
    -------
    dict
        ``seconds``, ``date`` (ISO 8601, UTC), ``device``, ``versions``, and ``stop_reason`` where
        there is one.
    """
    libraries = (*_LIBRARIES, "napari") if "napari" in sys.modules else _LIBRARIES
    reason = {"stop_reason": stop_reason} if stop_reason else {}
    return {
        "seconds": round(seconds, 3),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": engine.device.name,
        **reason,
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in libraries},
    }


def record(
    call: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a call, the origins of its arrays and how it went together.

    Parameters
    ----------
    call : mapping
        What `describe` gives, or the ``recipe`` of a `Deconvolution`.
    inputs : mapping
        The origin of each array it was given (see above).
    how : mapping
        What `made` gives.

    Returns
    -------
    dict
        The record.
    """
    return {**call, "inputs": {name: dict(origin) for name, origin in inputs.items()},
            "made": dict(how)}  # fmt: skip


def file_origin(path: str | os.PathLike[str], data: npt.ArrayLike) -> dict[str, Any] | None:
    """Say where an array is in a file, which is read for it.

    Parameters
    ----------
    path : path-like
        The file it may be from.
    data : array_like
        The array.

    Returns
    -------
    dict or None
        ``{"path": …}`` if it is the file's image, with ``"channel"`` if it is one of its channels;
        None if it is not in the file as it is.
    """
    array = np.asarray(data)
    try:
        with warnings.catch_warnings(action="ignore"):
            image = read_image(path)
    except DeconvError:
        return None
    origin = {"path": str(Path(path).resolve())}
    if np.array_equal(image.data, array):
        return origin
    channels = image.data.shape[image.axes.index("C")] if "C" in image.axes else 0
    for channel in range(channels):
        if np.array_equal(image.of_channel(channel, path).data, array):
            return origin | {"channel": channel}
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinite pinhole
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}"
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
