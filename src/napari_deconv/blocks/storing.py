"""Blocks of a lazy result, computed one by one or on a cluster, and written into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.array.core import slices_from_chunks
from dask.delayed import Delayed

from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each

if TYPE_CHECKING:
    from distributed import Client

    from napari_deconv.files.blockwise import BlockFile

__all__ = ["store_blocks"]


def store_blocks(
    result: da.Array,
    file: BlockFile,
    *,
    client: Client | None = None,
    callback: Callback | None = None,
) -> None:
    """Compute the blocks that a file does not have yet, and write them into it.

    Parameters
    ----------
    result : dask.array.Array
        Of the file's shape, as from `napari_deconv.deconvolve_blocks`; its chunks are the blocks.
    file : BlockFile
        Where they are written. Blocks whose origin is in its ``done`` are neither computed nor
        written again. It is not finished here.
    client : distributed.Client, optional
        A Dask cluster whose workers see the file under the same path. Each of their threads
        computes a block and writes it; only the news that it is written comes back. What blocks
        share, such as the PSF, is sent to each worker once. Blocks of a worker that dies are given
        to others. Without a client the blocks are computed one after the other in this thread: one
        block is in memory, and the engine takes all cores for it.
    callback : callable, optional
        Called with a `Progress` after each block, counting those that were there before. What it
        raises ends the work; blocks that workers are at are still written, others are not begun.

    Raises
    ------
    DeconvError
        If a block cannot be deconvolved or written, workers die at it time after time, or the
        connection to the cluster is lost. What is written stays in the file: it can be resumed.
    """
    tasks = _tasks(result, file)
    there = result.npartitions - len(tasks)
    for _ in compute_each(tasks, client, callback, there):
        pass


def _tasks(result: da.Array, file: BlockFile) -> list[Delayed]:
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


def _write(
    block: npt.NDArray[Any], file: BlockFile, block_info: dict[Any, Any]
) -> npt.NDArray[np.bool_]:
    place = block_info[0]["array-location"]
    file.write(tuple(start for start, _ in place), block)
    return np.ones((1,) * block.ndim, bool)
