"""An image that is written block by block, under a temporary name until it is complete.

Until then it lies where `napari_deconv.files.unfinished` says, and can be resumed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from dask.delayed import Delayed

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files.atomic import check_target, put_in_place, unwritten
from napari_deconv.files.image import IMAGE_SUFFIXES, Image
from napari_deconv.files.layout import Layout, Origin, block_sizes
from napari_deconv.files.lock import alone
from napari_deconv.files.tiff_target import TiffTarget
from napari_deconv.files.unfinished import Unfinished, begun, begun_with_another, discard
from napari_deconv.files.zarr_target import Compute, ZarrTarget

__all__ = ["BlockFile", "write_in_blocks"]


def _in_turn(tasks: Sequence[Delayed]) -> None:
    """Do tasks here, one after the other."""
    for task in tasks:
        task.compute(scheduler="synchronous")


class Target(Protocol):
    """An image in a format that can be written block by block: `ZarrTarget`, `TiffTarget`."""

    def create(self) -> None:
        """Make the image, its voxels unwritten."""

    def write(self, region: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Write a block; it is on the disk when this returns. Others may be written meanwhile."""

    def complete(
        self, metadata: dict[str, Any], limits: list[tuple[float, float]], compute: Compute
    ) -> None:
        """Add what is not voxels, after the last block.

        Parameters
        ----------
        metadata : dict
            What is to be stored with the image.
        limits : list of (float, float)
            Smallest and largest value of each channel.
        compute : callable
            Does what takes long.
        """


@dataclass(frozen=True)
class BlockFile:
    """An image that is being written; make it with `BlockFile.open`.

    It can be pickled: other processes, also on other machines with the same file system, write
    other blocks of it.

    Attributes
    ----------
    path : Path
        The final name.
    image : Image
        What is said about the image; its data are of size 0.
    layout : Layout
        How it is cut into blocks.
    ngff : {"0.5", "0.4"}
        Version of OME-Zarr, where it is one.
    parts : Unfinished
        Where it lies until it is complete.
    """

    path: Path
    image: Image
    layout: Layout
    ngff: Literal["0.4", "0.5"]
    parts: Unfinished

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        image: Image,
        dtype: npt.DTypeLike,
        chunks: Sequence[int | Sequence[int]],
        *,
        fingerprint: str,
        resume: bool,
        ngff: Literal["0.4", "0.5"] = "0.5",
    ) -> BlockFile:
        """Begin a file, or go on with one that was begun.

        Parameters
        ----------
        path : path-like
            File to write: ``.zarr`` for OME-Zarr, ``.tif`` or ``.tiff`` for OME-TIFF.
        image : Image
            What is said about it: axes, spacing, channels, colours, time interval, name. Of its
            data only the shape is taken.
        dtype : dtype-like
            Type of the voxels.
        chunks : sequence of int, or of sequences of int
            Size of a block along each axis, or as `dask.array.Array.chunks`; all blocks are of the
            same size but the last of an axis, which may be smaller.
        fingerprint : str
            Of the input and the settings: what is resumed must have been begun with the same.
        resume : bool
            Whether to go on with what is there; otherwise it is begun anew.
        ngff : {"0.5", "0.4"}
            Version of OME-Zarr: on Zarr v3, or on Zarr v2 for older programs.

        Raises
        ------
        DeconvError
            If the name, the folder or the blocks do not fit, or what is to be resumed was begun
            with another fingerprint, shape, dtype or size of blocks.

        Warns
        -----
        DeconvWarning
            If blocks that another run has written are thrown away.
        """
        path, shape = Path(path).absolute(), image.data.shape  # for workers in other folders
        check_target(path, IMAGE_SUFFIXES)
        layout = Layout(shape, np.dtype(dtype).name, block_sizes(chunks, shape))
        name = image.name or path.name.split(".")[0]
        about = replace(image, data=np.empty(0), name=name)
        with_ = {
            "format": ngff if _is_zarr(path) else "tiff", "shape": list(layout.shape),
            "dtype": layout.dtype, "blocks": list(layout.blocks), "fingerprint": fingerprint,
        }  # fmt: skip
        with _refusals(path):
            before = _resumed(path, with_) if resume else None
            if before is not None:
                return cls(path, about, layout, ngff, before)
            file = cls(path, about, layout, ngff, Unfinished(path, uuid4().hex[:8]))
            file._begin(with_)
        return file

    @property
    def done(self) -> set[Origin]:
        """First voxels of the blocks that are on the disk, complete."""
        return set(self._journalled())

    @property
    def notes(self) -> dict[Origin, dict[str, Any] | None]:
        """What was noted with each block that is on the disk, by its first voxel."""
        return {first: record.get("note") for first, record in self._journalled().items()}

    def write(
        self, origin: Sequence[int], block: npt.ArrayLike, note: dict[str, Any] | None = None
    ) -> None:
        """Write a block, and note it when it is on the disk.

        Threads and processes may write different blocks at the same time.

        Parameters
        ----------
        origin : sequence of int
            Its first voxel.
        block : array_like
            Its voxels, of the file's dtype.
        note : dict, optional
            Plain values, given back by `notes` until the file is finished.

        Raises
        ------
        DeconvError
            If it is not one of the blocks, or cannot be written, as on a full disk: what was
            written before stays, and can be resumed.
        """
        with _refusals(self.path, " Blocks written before are kept, for a run that resumes."):
            self._write(origin, block, note)

    def _write(
        self, origin: Sequence[int], block: npt.ArrayLike, note: dict[str, Any] | None = None
    ) -> None:
        """Write a block as `write` does; of a failure of the disk the system's error is raised."""
        first, voxels = tuple(int(n) for n in origin), np.asarray(block, self.layout.dtype)
        region = self.layout.region(first)
        fits = voxels.shape == tuple(part.stop - part.start for part in region)
        if not fits or any(o % b for o, b in zip(first, self.layout.blocks, strict=True)):
            raise DeconvError(
                f"{voxels.shape} voxels at {first} are no block of {self.path.name}: its blocks "
                f"are {self.layout.blocks}, its shape is {self.layout.shape}."
            )
        channel = self.image.axes.find("C")
        others = tuple(n for n in range(voxels.ndim) if n != channel)
        self._target.write(region, voxels)
        low, high = (np.atleast_1d(f(voxels, axis=others)).tolist() for f in (np.min, np.max))
        self.parts.journal.note({"origin": first, "low": low, "high": high, "note": note})

    def finish(self, metadata: dict[str, Any], compute: Compute = _in_turn) -> None:
        """Complete the file, and give it its name; an image of this name is replaced.

        Parameters
        ----------
        metadata : dict
            Plain values, stored as JSON; `napari_deconv.files.read_image` gives them back.
        compute : callable
            Does the tasks that it is given: chunks of the pyramid, level by level. Default: here,
            one after the other.

        Raises
        ------
        DeconvError
            If blocks are missing, or the file cannot be written: it stays as it is, and can be
            resumed.
        """
        journalled = self._journalled()
        missing = self.layout.count - len(journalled)
        if missing:
            raise DeconvError(
                f"{missing} of {self.layout.count} blocks of {self.path.name} are not written yet: "
                "resume the run that writes them."
            )
        with _refusals(self.path):
            self._target.complete(metadata, self._limits(journalled), compute)
            put_in_place(self.parts.store, self.path, self.parts.replaced)
        self.discard()

    def discard(self) -> None:
        """Give up what was written; an older image with the final name stays."""
        discard(self.path)

    @property
    def _target(self) -> Target:
        if _is_zarr(self.path):
            return ZarrTarget(self.parts.store, self.image, self.layout, self.ngff)
        return TiffTarget(self.parts.store, self.image, self.layout)

    def _begin(self, with_: dict[str, Any]) -> None:
        """Begin anew."""
        before = begun(self.path)
        if before is not None and (lost := len(before.parts.journal.records())):
            warnings.warn(
                f"{self.path.name} was begun before, and {lost} of its blocks were written. They "
                "were thrown away, for it was not to be resumed.",
                DeconvWarning,
                stacklevel=4,
            )
        self.discard()
        self.parts.begin()
        self._target.create()
        self.parts.note(with_)

    def _journalled(self) -> dict[Origin, dict[str, Any]]:
        """Give what the journal says of each written block, by its first voxel."""
        return {tuple(record["origin"]): record for record in self.parts.journal.records()}

    def _limits(self, journalled: dict[Origin, dict[str, Any]]) -> list[tuple[float, float]]:
        """Give the smallest and largest value of each channel."""
        channel = self.image.axes.find("C")
        values: dict[int, list[float]] = {}
        for origin, record in journalled.items():
            first = 0 if channel < 0 else origin[channel]
            for number, both in enumerate(zip(record["low"], record["high"], strict=True), first):
                values.setdefault(number, []).extend(both)
        return [(min(values[number]), max(values[number])) for number in sorted(values)]


def write_in_blocks(path: Path, image: Image, ngff: Literal["0.4", "0.5"] = "0.5") -> None:
    """Write an image that is in memory; see `napari_deconv.files.write_image`."""
    data = image.data
    blocks = [_BLOCK.get(axis, 1) for axis in image.axes]
    with alone(path):
        file = BlockFile.open(
            path, image, data.dtype, blocks, fingerprint="", resume=False, ngff=ngff
        )
        try:
            with _refusals(path):
                for origin in file.layout.origins:
                    file._write(origin, data[file.layout.region(origin)])
            file.finish(image.metadata)
        except BaseException:
            file.discard()
            raise


# Whole chunks, and not many blocks.
_BLOCK = {"Z": 64, "Y": 1024, "X": 1024}


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() == ".zarr"


def _resumed(path: Path, with_: dict[str, Any]) -> Unfinished | None:
    """Give the parts of what is to be gone on with; None if there is nothing."""
    before = begun(path)
    if before is None:
        return None
    for key, now in with_.items():
        if before.with_.get(key) != now:
            raise begun_with_another(path, key, before.with_.get(key), now)
    before.parts.take_back_torn()
    return before.parts


@contextmanager
def _refusals(path: Path, more: str = "") -> Iterator[None]:
    """Say of a failure of the disk that a file cannot be written, and what is to be known then."""
    try:
        yield
    except OSError as error:
        raise DeconvError(f"{unwritten(path, error)}{more}") from error
