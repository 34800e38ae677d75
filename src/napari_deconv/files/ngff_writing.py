"""OME-Zarr 0.5 out, with a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_deconv.files.atomic import replacing_store
from napari_deconv.files.header import METADATA_KEY
from napari_deconv.files.image import Image

__all__ = ["write_ngff"]

_CHUNK = {"Z": 16, "Y": 256, "X": 256}
_COARSEST = 256
_TYPES = {"T": "time", "C": "channel"}


def write_ngff(path: Path, image: Image) -> None:
    """Write an OME-Zarr 0.5 with a pyramid; see `napari_deconv.files.write_image`.

    Each level halves y and x, and z where its voxels are not larger than those of x by then; its
    voxels are means. It appears under its name only when it is complete.
    """
    time = image.time_interval or 1.0
    size = (1.0,) * (len(image.axes) - len(image.space)) + (
        image.spacing or (1.0,) * len(image.space)
    )
    scale = np.array([time if axis == "T" else s for axis, s in zip(image.axes, size, strict=True)])
    with replacing_store(path) as temporary:
        group = zarr.open_group(temporary, mode="w", zarr_format=3)
        data, step = image.data, scale
        datasets: list[dict[str, Any]] = []
        while True:
            name = str(len(datasets))
            _write_level(group, name, data, image.axes)
            offset = np.where(_is_space(image.axes), (step - scale) / 2, 0.0)
            datasets.append(_dataset(name, step, offset))
            bins = _bins(data.shape, step, image.axes)
            if max(data.shape[-2:]) <= _COARSEST or max(bins) == 1:
                break
            data, step = _binned(data, bins), step * bins
        group.attrs.update(_attributes(path, image, datasets))


def _write_level(group: zarr.Group, name: str, data: npt.NDArray[Any], axes: str) -> None:
    largest = [_CHUNK.get(axis, 1) for axis in axes]
    array = group.create_array(
        name,
        shape=data.shape,
        dtype=data.dtype,
        chunks=tuple(map(min, data.shape, largest)),
        dimension_names=list(axes.lower()),
    )
    array[...] = data


def _is_space(axes: str) -> npt.NDArray[np.bool_]:
    return np.array([axis in "ZYX" for axis in axes])


def _bins(shape: Sequence[int], step: npt.NDArray[np.float64], axes: str) -> tuple[int, ...]:
    """Tell how many voxels of each axis become one on the next level."""
    return tuple(
        2 if (axis in "YX" and n > 1) or (axis == "Z" and n > 1 and size <= step[-1]) else 1
        for axis, n, size in zip(axes, shape, step, strict=True)
    )


def _binned(data: npt.NDArray[Any], bins: Sequence[int]) -> npt.NDArray[Any]:
    """Average over bins; what is left over at the end of an axis is left out."""
    whole = tuple(slice(n // b * b) for n, b in zip(data.shape, bins, strict=True))
    offsets = product(*map(range, bins))
    parts = [
        data[whole][tuple(slice(o, None, b) for o, b in zip(offset, bins, strict=True))]
        for offset in offsets
    ]
    total = np.zeros(parts[0].shape, np.float64)
    for part in parts:
        total += part
    mean = total / len(parts)
    return (np.rint(mean) if data.dtype.kind in "iu" else mean).astype(data.dtype)


def _dataset(
    name: str, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> dict[str, Any]:
    moves = [{"type": "scale", "scale": scale.tolist()}]
    if offset.any():
        moves.append({"type": "translation", "translation": offset.tolist()})
    return {"path": name, "coordinateTransformations": moves}


def _attributes(path: Path, image: Image, datasets: list[dict[str, Any]]) -> dict[str, Any]:
    """Write down what the specification asks for, and our own metadata beside it."""
    axes = []
    for letter in image.axes:
        axis = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
        if letter in "ZYX" and image.spacing is not None:
            axis["unit"] = "micrometer"
        if letter == "T" and image.time_interval:
            axis["unit"] = "second"
        axes.append(axis)
    name = image.name or path.name.split(".")[0]
    multiscale = {"name": name, "axes": axes, "datasets": datasets, "type": "mean"}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if image.channels:
        ome["omero"] = {"channels": [_channel(label, image.data) for label in image.channels]}
    own = {METADATA_KEY: image.metadata} if image.metadata else {}
    return {"ome": ome, **own}


def _channel(label: str, data: npt.NDArray[Any]) -> dict[str, Any]:
    low, high = float(data.min()), float(data.max())
    window = {"min": low, "max": high, "start": low, "end": high}
    return {"label": label, "color": "FFFFFF", "active": True, "window": window}
