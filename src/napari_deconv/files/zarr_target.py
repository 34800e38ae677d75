"""OME-Zarr out, block by block, with a pyramid: NGFF 0.4 on Zarr v2, and 0.5 on Zarr v3.

Specification: https://ngff.openmicroscopy.org/0.5/. The arrays are `zarr`'s work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr
from dask import delayed
from dask.delayed import Delayed
from zarr.codecs import BloscCodec

from napari_deconv.files.header import METADATA_KEY, hexadecimal
from napari_deconv.files.image import Image
from napari_deconv.files.journal import flush
from napari_deconv.files.layout import Layout

__all__ = ["Compute", "ZarrTarget"]

Compute = Callable[[Sequence[Delayed]], object]
"""Does tasks, in any order, perhaps on other machines with the same file system."""

# Voxels of a chunk, and the largest side of the coarsest level.
_CHUNK = {"Z": 16, "Y": 256, "X": 256}
_COARSEST = 256
_TYPES = {"T": "time", "C": "channel"}


@dataclass(frozen=True)
class ZarrTarget:
    """An OME-Zarr.

    Attributes
    ----------
    store : Path
        Its folder.
    image : Image
        What is to be said about it; its data are of size 0.
    layout : Layout
        How it is cut into blocks.
    version : {"0.4", "0.5"}
        Version of the specification.
    """

    store: Path
    image: Image
    layout: Layout
    version: Literal["0.4", "0.5"]

    def create(self) -> None:
        """Make the level of full resolution, its voxels unwritten."""
        group = zarr.open_group(self.store, mode="w", zarr_format=2 if self.version == "0.4" else 3)
        chunks = [
            _chunk(block, length, _CHUNK.get(axis, 1))
            for axis, block, length in zip(
                self.image.axes, self.layout.blocks, self.layout.shape, strict=True
            )
        ]
        self._create_level(
            group, "0", self._with_single(self.layout.shape, 1), self._with_single(chunks, 1)
        )

    def write(self, region: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Write a block, which is whole chunks, and wait until it is on the disk."""
        array = zarr.open_array(self.store, path="0", mode="r+")
        region = tuple(self._with_single(region, slice(0, 1)))
        array[region] = np.reshape(block, [part.stop - part.start for part in region])
        touched = (
            range(part.start // size, -(-part.stop // size))
            for part, size in zip(region, array.chunks, strict=True)
        )
        for place in product(*touched):
            file = self.store / "0" / array.metadata.encode_chunk_key(place)
            if file.exists():  # a chunk of zeros is none
                flush(file)

    def complete(
        self, metadata: dict[str, Any], limits: list[tuple[float, float]], compute: Compute
    ) -> None:
        """Add the pyramid and the attributes.

        Each level halves y and x, and z where its voxels are not larger than those of x by then;
        its voxels are means.
        """
        group, image = zarr.open_group(self.store, mode="r+"), self.image
        thickness, place = image.plane or (1.0, 0.0)
        sizes = {"T": image.time_interval or 1.0, "Z": thickness}
        sizes |= dict(zip(image.space, image.spacing or (), strict=False))
        starts = {"Z": place} | dict(zip(image.space, image.origin, strict=False))
        scale = np.array([sizes.get(axis, 1.0) for axis in self._axes])
        origin = np.array([starts.get(axis, 0.0) for axis in self._axes])
        datasets = [
            _dataset(name, step, origin + np.where(_is_space(self._axes), (step - scale) / 2, 0.0))
            for name, step in self._levels(group, scale, compute)
        ]
        own = {METADATA_KEY: metadata} if metadata else {}
        attributes = _attributes(self.version, image, self._axes, datasets, limits)
        group.attrs.put(attributes | own)
        for file in self.store.rglob("*"):
            if file.is_file() and file.relative_to(self.store).parts[0] != "0":
                flush(file)

    @property
    def _axes(self) -> str:
        """The axes of the arrays."""
        return "".join(sorted(self.image.axes + self.image.single, key="TCZYX".index))

    def _with_single(self, values: Sequence[Any], single: Any) -> list[Any]:
        """Put a value in for each axis of length 1 that the image leaves out."""
        given = dict(zip(self.image.axes, values, strict=True))
        return [given.get(axis, single) for axis in self._axes]

    def _levels(
        self, group: zarr.Group, step: npt.NDArray[np.float64], compute: Compute
    ) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
        """Make each level from the one before; give their names and voxel sizes."""
        fine = _array(group, "0")
        yield "0", step
        while max(fine.shape[-2:]) > _COARSEST:
            bins = _bins(fine.shape, step, self._axes)
            name = str(int(fine.basename) + 1)
            shape = [n // b for n, b in zip(fine.shape, bins, strict=True)]
            chunks = list(map(min, shape, fine.chunks))
            coarse = self._create_level(group, name, shape, chunks)
            compute(_averages(self.store, fine, coarse, bins))
            fine, step = coarse, step * bins
            yield name, step

    def _create_level(
        self, group: zarr.Group, name: str, shape: Sequence[int], chunks: Sequence[int]
    ) -> zarr.Array[Any]:
        """Make an array of the kind that the version asks for, in place of one that is there."""
        if self.version == "0.4":
            kind: dict[str, Any] = {
                "compressors": {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 1},
                "chunk_key_encoding": {"name": "v2", "separator": "/"},
            }
        else:
            kind = {
                "compressors": BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
                "dimension_names": list(self._axes.lower()),
            }
        return group.create_array(
            name, shape=tuple(shape), chunks=tuple(chunks), dtype=self.layout.dtype,
            overwrite=True, **kind,
        )  # fmt: skip


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _chunk(block: int, length: int, largest: int) -> int:
    """Give a chunk that no two blocks share: a part of a block, not too small."""
    if block >= length:
        return min(length, largest)
    part = max(n for n in range(1, min(block, largest) + 1) if block % n == 0)
    return part if 4 * part >= min(block, largest) else block


def _is_space(axes: str) -> npt.NDArray[np.bool_]:
    return np.array([axis in "ZYX" for axis in axes])


def _bins(shape: Sequence[int], step: npt.NDArray[np.float64], axes: str) -> tuple[int, ...]:
    """Tell how many voxels of each axis become one on the next level."""
    return tuple(
        2 if (axis in "YX" and n > 1) or (axis == "Z" and n > 1 and size <= step[-1]) else 1
        for axis, n, size in zip(axes, shape, step, strict=True)
    )


def _averages(
    store: Path, fine: zarr.Array[Any], coarse: zarr.Array[Any], bins: tuple[int, ...]
) -> list[Delayed]:
    """Make a task of each chunk of a level: what it reads is up to eight times as large."""
    starts = product(*map(range, (0,) * coarse.ndim, coarse.shape, coarse.chunks))
    average = delayed(_average, pure=False, traverse=False)
    return [average(store, fine.basename, coarse.basename, bins, start) for start in starts]


def _average(
    store: Path, fine: str, coarse: str, bins: tuple[int, ...], start: tuple[int, ...]
) -> None:
    """Average a level over bins, for one chunk; what is left over at an end is left out."""
    source, means = (zarr.open_array(store, path=name, mode="r+") for name in (fine, coarse))
    stop = tuple(map(min, np.add(start, means.chunks).tolist(), means.shape))
    region = tuple(map(slice, start, stop))
    read = tuple(slice(a * b, z * b) for a, z, b in zip(start, stop, bins, strict=True))
    means[region] = _binned(np.asarray(source[read]), bins)


def _binned(data: npt.NDArray[Any], bins: Sequence[int]) -> npt.NDArray[Any]:
    """Average over bins, which divide the shape."""
    parts = [
        data[tuple(slice(o, None, b) for o, b in zip(offset, bins, strict=True))]
        for offset in product(*map(range, bins))
    ]
    total = np.zeros(parts[0].shape, np.float64)
    for part in parts:
        total += part
    total /= len(parts)
    return (np.rint(total, out=total) if data.dtype.kind in "iu" else total).astype(data.dtype)


def _dataset(
    name: str, scale: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]
) -> dict[str, Any]:
    moves = [{"type": "scale", "scale": scale.tolist()}]
    if offset.any():
        moves.append({"type": "translation", "translation": offset.tolist()})
    return {"path": name, "coordinateTransformations": moves}


def _attributes(
    version: str,
    image: Image,
    letters: str,
    datasets: list[dict[str, Any]],
    limits: list[tuple[float, float]],
) -> dict[str, Any]:
    """Write down what the specification asks for, and our own metadata beside it."""
    axes = []
    for letter in letters:
        axis = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
        if letter in "ZYX" and (image.spacing if letter in image.axes else image.plane):
            axis["unit"] = "micrometer"
        if letter == "T" and image.time_interval:
            axis["unit"] = "second"
        axes.append(axis)
    multiscale = {"name": image.name, "axes": axes, "datasets": datasets, "type": "mean"}
    channels = _channels(image, limits)
    omero = {"omero": {**image.omero, "channels": channels}} if channels else {}
    if version == "0.4":
        return {"multiscales": [{"version": version, **multiscale}], **omero}
    return {"ome": {"version": version, "multiscales": [multiscale], **omero}}


def _channels(image: Image, limits: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """Describe the channels, where something is known of them."""
    shown = image.omero.get("channels", ())
    if len(limits) not in (len(image.channels), len(image.colours), len(shown)):
        return []
    channels = []
    for number, (low, high) in enumerate(limits):
        kept = shown[number] if shown else {}
        names, colours = image.channels, image.colours
        colour = colours[number] if colours else hexadecimal(kept.get("color")) or "FFFFFF"
        named = {
            "label": names[number] if names else str(kept.get("label") or f"Channel {number}"),
            "color": colour,
            "active": len(limits) == 1 or kept.get("active") is not False,
            "window": {"min": low, "max": high, "start": low, "end": high},
        }
        channels.append({**kept, **named})
    return channels
