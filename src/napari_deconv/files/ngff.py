"""OME-Zarr in: NGFF 0.4 and 0.5, and plain Zarr arrays; at full resolution.

Specification: https://ngff.openmicroscopy.org/0.5/. The arrays are `zarr`'s work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_deconv.errors import DeconvError
from napari_deconv.files.header import (
    METADATA_KEY,
    hexadecimal,
    length_in_micrometres,
    time_in_seconds,
)
from napari_deconv.files.image import DEFAULT_AXES, Image, chosen_position
from napari_deconv.files.voxels import Voxels

__all__ = ["ngff_positions", "open_ngff", "read_ngff_header"]

Place = tuple[str, int]
"""Where an image is described: the path of a group, and the number of one of its multiscales."""


def open_ngff(path: Path, position: int | None) -> Image:
    """Open an image at full resolution; see `napari_deconv.files.open_image`.

    Parameters
    ----------
    path : Path
        The store.
    position : int or None
        Which of its images, counted from 0; None is the first, with a warning if there are others.

    Returns
    -------
    Image
        Its data are `Voxels`.

    Raises
    ------
    DeconvError
        If it is none, or damaged.
    """
    with _reading(path) as root:
        places = _places(root)
        inside, image = _described(root, places[chosen_position(position, len(places), path)])
        open_array = partial(_open_array, path.absolute(), inside)
        shape = dict(zip(image.axes, open_array().shape, strict=True))
    axes = "".join(a for a in "TCZYX" if a in "YX" or shape.get(a, 1) > 1)
    voxels = Voxels(path, open_array, [image.axes.index(axis) for axis in axes])
    single = "".join(axis for axis in "TCZ" if axis in shape and axis not in axes)
    spacing, origin, plane = image.spacing, image.origin, None
    if spacing is not None and "Z" in single:
        plane = (spacing[0], origin[0] if origin else 0.0)
        spacing, origin = spacing[1:], origin[1:]
    return replace(
        image, data=voxels, spacing=spacing, axes=axes, origin=origin, single=single, plane=plane
    )


def ngff_positions(path: Path) -> tuple[str, ...]:
    """Give the names of the images in a store; see `napari_deconv.files.positions`."""
    with _reading(path) as root:
        places = _places(root)
        if isinstance(root, zarr.Group) and "plate" in _ome(root):
            return tuple(inside for inside, _ in places)
        names = [_described(root, place)[1].name or place[0] for place in places]
        return tuple(name or str(n) for n, name in enumerate(names))


def read_ngff_header(path: Path) -> Image:
    """Read what an OME-Zarr says about its first image; the data are of size 0.

    Raises
    ------
    DeconvError
        If it is none.
    """
    with _reading(path) as root:
        return _described(root, _places(root)[0])[1]


@contextmanager
def _reading(path: Path) -> Iterator[zarr.Group | zarr.Array[Any]]:
    """Open a store, and say of any failure that it cannot be read."""
    try:
        yield zarr.open(path, mode="r")
    except Exception as error:  # a damaged store can fail in any way inside the reader
        raise DeconvError(
            f"{path} cannot be read as an OME-Zarr image: {error or type(error).__name__}."
        ) from error


def _open_array(path: Path, inside: str) -> zarr.Array[Any]:
    return zarr.open_array(path, path=inside, mode="r")


def _group(root: zarr.Group, name: str) -> zarr.Group:
    return zarr.open_group(root.store, path=f"{root.path}/{name}", mode="r") if name else root


def _ome(group: zarr.Group) -> Mapping[str, Any]:
    """Give the attributes of the specification, which lie deeper since 0.5."""
    attributes: Mapping[str, Any] = group.attrs.asdict()
    ome: Mapping[str, Any] = attributes.get("ome", attributes)
    return ome


def _places(root: zarr.Group | zarr.Array[Any]) -> list[Place]:
    """List the images of a store: its multiscales, bioformats2raw's, or the fields of a plate."""
    if isinstance(root, zarr.Array):
        return [("", 0)]
    ome = _ome(root)
    if ome.get("multiscales"):
        return [("", number) for number in range(len(ome["multiscales"]))]
    found: list[Place] = []
    if "bioformats2raw.layout" in ome:
        listed = _ome(_group(root, "OME")).get("series") if "OME" in root else None
        numbered = sorted((name for name in root.group_keys() if name.isdigit()), key=int)
        found = [(name, 0) for name in listed or numbered]
    elif wells := ome.get("plate", {}).get("wells"):
        found = [
            (f"{well['path']}/{field['path']}", 0)
            for well in wells
            for field in _ome(_group(root, well["path"]))["well"]["images"]
        ]
    if not found:
        raise DeconvError("there is no image in it: no multiscales, nor wells of a plate")
    return found


def _described(root: zarr.Group | zarr.Array[Any], place: Place) -> tuple[str, Image]:
    """Give the path of an image's array, and what is said about it; the data are of size 0."""
    if isinstance(root, zarr.Array):
        return "", _plain(root)
    group = _group(root, place[0])
    ome = _ome(group)
    first = ome["multiscales"][place[1]]
    axes = "".join(axis["name"].upper() for axis in first["axes"])
    if not {"Y", "X"} <= set(axes) <= set("TCZYX"):
        raise DeconvError(f"its axes are {axes}: expected y and x, and t, c or z")
    scale, shift = np.ones(len(axes)), np.zeros(len(axes))
    for held in (first["datasets"][0], first):
        for transformation in held.get("coordinateTransformations", ()):
            factor = np.array(transformation.get("scale", 1.0))
            scale = scale * factor
            shift = shift * factor + np.array(transformation.get("translation", 0.0))
    units = {axis["name"].upper(): axis.get("unit") for axis in first["axes"]}
    sizes = dict(zip(axes, scale.tolist(), strict=True))
    space = [axes.index(axis) for axis in "ZYX" if axis in axes]
    lengths = [length_in_micrometres(scale[n], units[axes[n]]) for n in space]
    spacing = tuple(length for length in lengths if length)
    known = len(spacing) == len(space)
    origin = [shift[n] * (size / scale[n]) for n, size in zip(space, spacing, strict=False)]
    omero = ome.get("omero") or {}
    channels = omero.get("channels") or ()
    labels = tuple(str(channel.get("label", "")) for channel in channels)
    colours = tuple(hexadecimal(channel.get("color")) for channel in channels)
    metadata = group.attrs.get(METADATA_KEY)
    return f"{place[0]}/{first['datasets'][0]['path']}".lstrip("/"), Image(
        np.empty(0),
        spacing if known else None,
        axes,
        metadata if isinstance(metadata, dict) else {},
        labels if all(labels) else (),
        time_in_seconds(sizes.get("T"), units.get("T")),
        name=first.get("name", ""),
        colours=colours if all(colours) else (),
        origin=tuple(map(float, origin)) if known and any(origin) else (),
        omero={key: omero[key] for key in ("channels", "rdefs") if omero.get(key) and channels},
    )


def _plain(array: zarr.Array[Any]) -> Image:
    """Describe an array that nothing is said about, but perhaps the names of its axes."""
    named = "".join(name or "?" for name in getattr(array.metadata, "dimension_names", None) or ())
    axes = named.upper() or DEFAULT_AXES.get(array.ndim, "")
    if not {"Y", "X"} <= set(axes) <= set("TCZYX") or len(axes) != array.ndim:
        raise DeconvError(
            f"it is an array of shape {array.shape}: expected (y, x), (z, y, x), or channels and "
            "time in front"
        )
    return Image(np.empty(0), None, axes)
