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

Lie = tuple[float, float]
"""How an image lies along an axis in space: its voxel size and the place of the first voxel, µm."""


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
        inside, image, lies = _described(root, places[chosen_position(position, len(places), path)])
        open_array = partial(_open_array, path.absolute(), inside)
        shape = dict(zip(image.axes, open_array().shape, strict=True))
    axes = "".join(a for a in "TCZYX" if a in "YX" or shape.get(a, 1) > 1)
    voxels = Voxels(path, open_array, [image.axes.index(axis) for axis in axes])
    single = "".join(axis for axis in "TCZ" if axis in shape and axis not in axes)
    plane = lies["Z"] if "Z" in single else None
    return replace(_placed(image, axes, lies), data=voxels, single=single, plane=plane)


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


def _described(
    root: zarr.Group | zarr.Array[Any], place: Place
) -> tuple[str, Image, Mapping[str, Lie | None]]:
    """Give the path of an image's array, what is said about it, and how it lies along each axis.

    The data are of size 0.
    """
    if isinstance(root, zarr.Array):
        image = _plain(root)
        return "", image, dict.fromkeys(image.axes)
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
    lies: dict[str, Lie | None] = {}
    for n, axis in enumerate(axes):
        length = length_in_micrometres(scale[n], units[axis]) if axis in "ZYX" else None
        lies[axis] = (float(length), float(shift[n] * (length / scale[n]))) if length else None
    omero = ome.get("omero") or {}
    channels = omero.get("channels") or ()
    labels = tuple(str(channel.get("label", "")) for channel in channels)
    colours = tuple(hexadecimal(channel.get("color")) for channel in channels)
    metadata = group.attrs.get(METADATA_KEY)
    image = Image(
        np.empty(0),
        None,
        axes,
        metadata if isinstance(metadata, dict) else {},
        labels if all(labels) else (),
        time_in_seconds(sizes.get("T"), units.get("T")),
        name=first.get("name", ""),
        colours=colours if all(colours) else (),
        omero=_omero(omero),
    )
    inside = f"{place[0]}/{first['datasets'][0]['path']}".lstrip("/")
    return inside, _placed(image, axes, lies), lies


def _placed(image: Image, axes: str, lies: Mapping[str, Lie | None]) -> Image:
    """Give an image these axes, and voxel size and place if those in space have a voxel size."""
    space = [lie for axis in axes if axis in "ZYX" and (lie := lies[axis]) is not None]
    if len(space) < sum(axis in "ZYX" for axis in axes):
        return replace(image, axes=axes, spacing=None, origin=())
    spacing, origin = zip(*space, strict=True)
    return replace(image, axes=axes, spacing=spacing, origin=origin if any(origin) else ())


def _omero(said: Mapping[str, Any]) -> dict[str, Any]:
    """Take what is said of how channels are shown, where there are some."""
    channels, rdefs = said.get("channels"), said.get("rdefs")
    if not channels:
        return {}
    return {"channels": channels} | ({"rdefs": rdefs} if isinstance(rdefs, dict) else {})


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
