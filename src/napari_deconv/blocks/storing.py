"""Blocks of a lazy result, computed where Dask computes, and written into a file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.array.core import slices_from_chunks
from dask.delayed import Delayed

from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.fit import Fit, FittedTile, figures_of
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.result import BlockDeconvolution
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, as_dtype

if TYPE_CHECKING:
    from napari_deconv.files.blockwise import BlockFile

__all__ = ["begun_blocks", "check_begun", "store_blocks", "write_blocks"]


def write_blocks(
    path: str | os.PathLike[str],
    result: BlockDeconvolution,
    image: Image,
    *,
    dtype: str | None = None,
    ngff: Literal["0.4", "0.5"] = "0.5",
    resume: bool = True,
    metadata: dict[str, Any] | None = None,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Compute a deconvolution tile by tile, and write each tile when it is done.

    It can be stopped at any time, or the machine go down: what is written is kept in a hidden
    folder beside the file, and the same call does the rest. The file gets its name when it is
    complete.

    Parameters
    ----------
    path : path-like
        File to write: ``.zarr`` for OME-Zarr, with a pyramid; ``.tif`` or ``.tiff`` for OME-TIFF.
        An existing one is replaced.
    result : BlockDeconvolution
        From `prepare_blocks`.
    image : Image
        What was deconvolved, as `open_image` gives it: its axes, voxel size, channels, colours and
        time interval are those of the file.
    dtype : str, optional
        Type of the voxels, rounded where it has whole numbers only. Default: float32.
    ngff : {"0.5", "0.4"}
        Version of OME-Zarr: on Zarr v3, or on Zarr v2 for older programs.
    resume : bool
        Whether to go on with what an interrupted call has written: it must have had the same image,
        PSF, parameters and tiles (see `begun_blocks`). Otherwise that is thrown away.
    metadata : dict, optional
        Plain values to store with the image, besides how it was made.
    callback : callable, optional
        Called with a `Progress` after each tile, counting those that were there before, and here
        after each iteration of a tile, with the part of it that is done; while it waits for a
        cluster, again and again; then after each chunk of the pyramid, level by level. What it
        raises ends the work.

    Returns
    -------
    dict
        What was stored with the image.

    Raises
    ------
    DeconvError
        If the file cannot be written or is being written by another process, what is there was
        begun with something else, or a tile cannot be deconvolved. What is written is kept.
    """
    from napari_deconv.files.blockwise import BlockFile
    from napari_deconv.files.lock import alone

    start, path = time.perf_counter(), Path(path)
    if image.data.shape != result.image.shape:
        raise DeconvError(
            f"The image has shape {image.data.shape}, the result {result.image.shape}: give the "
            "image that was deconvolved."
        )
    about = image.remade(result.image, {})
    with alone(path):
        file = BlockFile.open(
            path, about, dtype or np.float32, result.tiles.chunks, fingerprint=result.fingerprint,
            resume=resume, ngff=ngff,
        )  # fmt: skip
        store_blocks(result.tiles, _Tiles(file), callback)
        before = result.recipe["made"]
        seconds = round(before["seconds"] + time.perf_counter() - start, 3)
        made = before | {"seconds": seconds, "measured": _measured(result, file)}
        record = {**result.recipe, **(metadata or {}), "made": made}
        file.finish(record, partial(_compute, callback=callback))
    return record


def begun_blocks(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Give the tiles that an interrupted `write_blocks` has begun a file with.

    To go on, `prepare_blocks` has to cut the image into the same ones, though another amount of
    memory may be free: pass this as its ``block``.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    tuple of int or None
        Voxels of a tile along each axis of the image; None, with which it is chosen anew, if
        nothing was begun.
    """
    from napari_deconv.files.unfinished import begun

    before = begun(path)
    return None if before is None else before.layout.blocks


def check_begun(
    path: str | os.PathLike[str], plans: Sequence[BlockPlan], dtype: str | None = None
) -> str:
    """Check that what an interrupted `write_blocks` has begun can be gone on with; say how far.

    Whether the image's voxels are the same, only `write_blocks` tells.

    Parameters
    ----------
    path : path-like
        The file.
    plans : sequence of BlockPlan
        What is to be done now: to the image, or to each of its channels.
    dtype : str, optional
        Of the voxels in the file. Default: float32.

    Returns
    -------
    str
        How many tiles are there; empty if nothing was begun.

    Raises
    ------
    DeconvError
        If it was begun with another dtype, shape, PSF or other parameters.
    """
    from napari_deconv.files.unfinished import begun, begun_with_another, written

    path, before = Path(path), begun(path)
    if before is None:
        return ""
    dtype = np.dtype(dtype or np.float32).name
    if before.layout.dtype != dtype:
        raise begun_with_another(path, "dtype", before.layout.dtype, dtype)
    if [one.partition("-")[0] for one in before.fingerprint.split()] != [
        plan.fingerprint for plan in plans
    ]:
        raise begun_with_another(path, "fingerprint", None, None)
    return f"{written(path)} of {before.layout.count} tiles are there: it goes on with the others."


class Store(Protocol):
    """Where blocks are kept: a `BlockFile`, or what hands them on to one; it can be pickled."""

    @property
    def done(self) -> set[tuple[int, ...]]:
        """First voxels of the blocks that are there."""

    def write(self, origin: tuple[int, ...], block: Any) -> None:
        """Keep a block."""


def store_blocks(result: da.Array, file: Store, callback: Callback | None = None) -> None:
    """Compute the blocks that a file does not have yet, and write them into it.

    Parameters
    ----------
    result : dask.array.Array
        Of the file's shape; its chunks are the blocks.
    file : Store
        Where they are written. Blocks whose origin is in its ``done`` are neither computed nor
        written again. It is not finished here. The workers of a cluster write into it under the
        same path; only the news that a block is written comes back.
    callback : callable, optional
        As of `compute_each`, counting the blocks that were there before. What it raises ends the
        work; blocks that workers are at are still written, others are not begun.

    Raises
    ------
    DeconvError
        If a block cannot be deconvolved or written, workers die at it time after time, or the
        connection to the cluster is lost. What is written stays in the file: it can be resumed.
    """
    tasks = _tasks(result, file)
    _compute(tasks, callback, result.npartitions - len(tasks))


def _compute(tasks: Sequence[Delayed], callback: Callback | None, before: int = 0) -> None:
    for _ in compute_each(tasks, callback, before):
        pass


def _tasks(result: da.Array, file: Store) -> list[Delayed]:
    """Make a task of each block that is not in the file."""
    ndim = result.ndim
    # Writing is not pure: were it named after its input, a cluster might think it done already.
    name = f"write-{uuid4().hex}"
    written = result.map_blocks(
        _write, file, name=name, chunks=(1,) * ndim, meta=np.empty((0,) * ndim, bool)
    )
    blocks = slices_from_chunks(result.chunks)
    done = file.done
    return [
        task
        for block, task in zip(blocks, written.to_delayed().ravel(), strict=True)
        if tuple(axis.start for axis in block) not in done
    ]


def _write(block: Any, file: Store, block_info: dict[Any, Any]) -> npt.NDArray[np.bool_]:
    place = block_info[0]["array-location"]
    file.write(tuple(start for start, _ in place), block)
    return np.ones((1,) * len(place), bool)


@dataclass(frozen=True)
class _Tiles:
    """Writes tiles into a file, in its dtype, and beside them how well the model explains them."""

    file: BlockFile

    @property
    def done(self) -> set[tuple[int, ...]]:
        return self.file.done

    def write(self, origin: tuple[int, ...], block: FittedTile) -> None:
        voxels = as_dtype(block.voxels, self.file.layout.dtype)
        self.file.write(origin, voxels, None if block.fit is None else asdict(block.fit))


def _measured(result: BlockDeconvolution, file: BlockFile) -> dict[str, float]:
    """Give the figures of a file whose blocks are all there, those of earlier runs included."""
    volumes: dict[tuple[int, ...], list[Fit | None]] = {frame: [] for frame in result.surveys}
    for origin, note in file.notes.items():
        frame = origin[: len(next(iter(volumes)))]
        volumes[frame].append(None if note is None else Fit(**note))
    return figures_of(volumes)
