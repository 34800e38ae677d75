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
    When, for how long, on what, why it ended, what was found on the way, and the versions of the
    libraries.
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
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import open_image, read_image

__all__ = ["describe", "file_origin", "made", "record"]

_LIBRARIES = ("numpy", "scipy", "pyclesperanto")
_FIELD = 512  # pixels of a plane, along y and x, by which a lazy array is known


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
        "napari-deconv": _version("napari-deconv"),
        "operation": operation,
        "parameters": {name: _plain(value) for name, value in parameters.items()},
        "engine": engine.device.key,
    }


def made(
    seconds: float,
    engine: Engine,
    stop_reason: str = "",
    found: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe how a run went.

    Parameters
    ----------
    seconds : float
        How long it took.
    engine : Engine
        The engine it ran on.
    stop_reason : str
        Why it ended, where that is not plain.
    found : mapping, optional
        Numbers that were found on the way, in plain values.

    Returns
    -------
    dict
        ``seconds``, ``date`` (ISO 8601, UTC), ``device``, ``versions``, and ``stop_reason`` and
        ``found`` where there are some.
    """
    libraries = (*_LIBRARIES, "napari") if "napari" in sys.modules else _LIBRARIES
    how = {"stop_reason": stop_reason, "found": dict(found or {})}
    return {
        "seconds": round(seconds, 3),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": engine.device.name,
        **{name: value for name, value in how.items() if value},
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in libraries},
    }


@cache
def _version(library: str) -> str:
    """Look a version up, which takes some milliseconds."""
    return metadata.version(library)


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


def file_origin(path: str | os.PathLike[str], data: Any) -> dict[str, Any] | None:
    """Say where an array is in a file, which is read for it.

    Parameters
    ----------
    path : path-like
        The file it may be from.
    data : array_like
        The array. Of one that is not in memory, such as Dask's, Zarr's or a mapped file, three
        planes are compared; axes of length 1 make no difference.

    Returns
    -------
    dict or None
        ``{"path": …}`` if it is the file's image, with ``"channel"`` if it is one of its channels;
        None if it is not in the file as it is.
    """
    in_memory = isinstance(data, np.ndarray) and not isinstance(data, np.memmap)
    read, same = (read_image, np.array_equal) if in_memory else (open_image, _alike)
    try:
        with warnings.catch_warnings(action="ignore"):
            image = read(path)
    except DeconvError:
        return None
    origin = {"path": str(Path(path).resolve())}
    if same(image.data, data):
        return origin
    channels = image.data.shape[image.axes.index("C")] if "C" in image.axes else 0
    for channel in range(channels):
        if same(image.of_channel(channel, path).data, data):
            return origin | {"channel": channel}
    return None


def _alike(stored: da.Array, shown: Any) -> bool:
    """Tell whether two lazy arrays have the same first, middle and last plane, about its middle."""
    stored, shown = da.squeeze(stored), da.squeeze(da.asarray(shown))
    if stored.shape != shown.shape or stored.dtype != shown.dtype:
        return False
    field = tuple(slice(max((n - _FIELD) // 2, 0), (n + _FIELD) // 2) for n in stored.shape[-2:])
    for place in (0.0, 0.5, 1.0):
        index = (*(round(place * (n - 1)) for n in stored.shape[:-2]), *field)
        planes = (array[index].compute(scheduler="synchronous") for array in (stored, shown))
        if not np.array_equal(*planes):
            return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no infinite pinhole
    if hasattr(value, "shape") and hasattr(value, "dtype"):  # NumPy's, Dask's, Zarr's
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
