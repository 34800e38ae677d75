"""An image that is written block by block, under a temporary name until it is complete.

All of it lies in a hidden folder beside the file, ``.NAME.part``: the unfinished image, what it was
begun with, and a journal of the blocks that are on disk. It stays there after a crash, for the run
to be resumed; it can be deleted at any time.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files.atomic import check_target, put_in_place, unwritten
from napari_deconv.files.image import IMAGE_SUFFIXES, Image
from napari_deconv.files.journal import Journal, read_json, write_json
from napari_deconv.files.layout import Layout, Origin, block_sizes
from napari_deconv.files.lock import alone
from napari_deconv.files.tiff_target import TiffTarget
from napari_deconv.files.zarr_target import ZarrTarget

__all__ = ["Begun", "BlockFile", "begun", "begun_with_another", "write_in_blocks", "written"]


class Target(Protocol):
    """An image in a format that can be written block by block: `ZarrTarget`, `TiffTarget`."""

    def create(self) -> None:
        """Make the image, its voxels unwritten."""

    def write(self, region: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Write a block; it is on the disk when this returns. Others may be written meanwhile."""

    def complete(self, metadata: dict[str, Any], limits: list[tuple[float, float]]) -> None:
        """Add what is not voxels, after the last block.

        Parameters
        ----------
        metadata : dict
            What is to be stored with the image.
        limits : list of (float, float)
            Smallest and largest value of each channel.
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
    """

    path: Path
    image: Image
    layout: Layout
    ngff: Literal["0.4", "0.5"] = "0.5"

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
        file = cls(path, replace(image, data=np.empty(0), name=name), layout, ngff)
        with_ = {
            "format": ngff if file._is_zarr else "tiff", "shape": list(layout.shape),
            "dtype": layout.dtype, "blocks": list(layout.blocks), "fingerprint": fingerprint,
        }  # fmt: skip
        with _refusals(path):
            file._begin(with_, resume)
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
        Journal(self._folder).note({"origin": first, "low": low, "high": high, "note": note})

    def finish(self, metadata: dict[str, Any]) -> None:
        """Complete the file, and give it its name; an image of this name is replaced.

        Parameters
        ----------
        metadata : dict
            Plain values, stored as JSON; `napari_deconv.files.read_image` gives them back.

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
            self._target.complete(metadata, self._limits(journalled))
            put_in_place(self._store, self.path, self._replaced)
        self.discard()

    def discard(self) -> None:
        """Give up what was written; an older image with the final name stays."""
        # a folder without it is begun anew, should this be interrupted
        self._begun.unlink(missing_ok=True)
        if self._replaced.exists() and not self.path.exists():
            self._replaced.replace(self.path)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> Path:
        return _folder_of(self.path)

    @property
    def _store(self) -> Path:
        return self._folder / "image"

    @property
    def _replaced(self) -> Path:
        return self._folder / "replaced"

    @property
    def _is_zarr(self) -> bool:
        return self.path.suffix.lower() == ".zarr"

    @property
    def _target(self) -> Target:
        if self._is_zarr:
            return ZarrTarget(self._store, self.image, self.layout, self.ngff)
        return TiffTarget(self._store, self.image, self.layout)

    @property
    def _begun(self) -> Path:
        return self._folder / "begun.json"

    def _begin(self, with_: dict[str, Any], resume: bool) -> None:
        """Go on with what is there, or begin anew."""
        before = read_json(self._begun) if self._store.exists() else None
        if resume and before is not None:
            for key, now in with_.items():
                if before.get(key) != now:
                    raise begun_with_another(self.path, key, before.get(key), now)
            for torn in self._folder.rglob("*.partial"):  # what Zarr was at when it was killed
                torn.unlink()
            return
        if before is not None and (lost := len(self._journalled())):
            warnings.warn(
                f"{self.path.name} was begun before, and {lost} of its blocks were written. They "
                "were thrown away, for it was not to be resumed.",
                DeconvWarning,
                stacklevel=4,
            )
        self.discard()
        self._folder.mkdir()
        self._target.create()
        write_json(self._begun, with_)

    def _journalled(self) -> dict[Origin, dict[str, Any]]:
        """Give what the journal says of each written block, by its first voxel."""
        return {tuple(record["origin"]): record for record in Journal(self._folder).records()}

    def _limits(self, journalled: dict[Origin, dict[str, Any]]) -> list[tuple[float, float]]:
        """Give the smallest and largest value of each channel."""
        channel = self.image.axes.find("C")
        values: dict[int, list[float]] = {}
        for origin, record in journalled.items():
            first = 0 if channel < 0 else origin[channel]
            for number, both in enumerate(zip(record["low"], record["high"], strict=True), first):
                values.setdefault(number, []).extend(both)
        return [(min(values[number]), max(values[number])) for number in sorted(values)]


def begun_with_another(path: Path, what: str, before: Any, now: Any) -> DeconvError:
    """Make the error about an unfinished file that does not fit what is to be written.

    Parameters
    ----------
    path : Path
        The final name.
    what : {"format", "shape", "dtype", "blocks", "fingerprint"}
        What differs.
    before, now : object
        Its values.
    """
    given = "" if what == "fingerprint" else f" ({before}, now {now})"
    return DeconvError(
        f"{path.name} was begun with another {_BEGUN_WITH[what]}{given}, and {written(path)} of "
        "its blocks are written. Give what it was begun with to go on, choose another name, or "
        f"delete {_folder_of(path)} to begin anew."
    )


@dataclass(frozen=True)
class Begun:
    """What an unfinished file was begun with.

    Attributes
    ----------
    layout : Layout
        Its blocks.
    fingerprint : str
        As `BlockFile.open` was given it.
    """

    layout: Layout
    fingerprint: str


def begun(path: str | os.PathLike[str]) -> Begun | None:
    """Give what an unfinished file was begun with, for a run that resumes it.

    Parameters
    ----------
    path : path-like
        The final name.

    Returns
    -------
    Begun or None
        None if nothing was begun.
    """
    record = read_json(_folder_of(Path(path)) / "begun.json")
    if record is None:
        return None
    layout = Layout(tuple(record["shape"]), record["dtype"], tuple(record["blocks"]))
    return Begun(layout, record["fingerprint"])


def written(path: str | os.PathLike[str]) -> int:
    """Count the blocks that are on the disk of a file that was begun, by its final name."""
    return len(Journal(_folder_of(Path(path))).records())


def _folder_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


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
_BEGUN_WITH = {
    "format": "format",
    "shape": "shape",
    "dtype": "dtype",
    "blocks": "size of blocks",
    "fingerprint": "input or other settings",
}


@contextmanager
def _refusals(path: Path, more: str = "") -> Iterator[None]:
    """Say of a failure of the disk that a file cannot be written, and what is to be known then."""
    try:
        yield
    except OSError as error:
        raise DeconvError(f"{unwritten(path, error)}{more}") from error
