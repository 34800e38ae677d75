"""What a recipe makes, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_deconv._progress import Callback
from napari_deconv.beads import Beads
from napari_deconv.blocks import BlockDeconvolution
from napari_deconv.blocks.storing import store_blocks
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES, Image, as_dtype, write_image
from napari_deconv.files.blockwise import BlockFile
from napari_deconv.psf import Psf
from napari_deconv.recipe.plan import Outcome
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.recipe.schema import Output

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["store", "suffix_of", "suffixes_of", "write"]

_SUFFIXES = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr", "csv": ".csv"}
# Voxels of a block, of an array that is in memory.
_BLOCK = {"Z": 64, "Y": 1024, "X": 1024}


def suffix_of(recipe: Recipe, source: Path | None = None) -> str:
    """Give the ending of the result's name: as the recipe says, or of the same format as a file."""
    if recipe.last == "beads":
        return ".csv"
    if recipe.output is not None and recipe.output.format is not None:
        return _SUFFIXES[recipe.output.format]
    zarr = source is not None and source.suffix.lower() == ".zarr"
    return _SUFFIXES["ome-zarr" if zarr else "ome-tiff"]


def suffixes_of(recipe: Recipe) -> tuple[str, ...]:
    """Give the endings that the result's name may have."""
    return (".csv",) if recipe.last == "beads" else IMAGE_SUFFIXES


def write(path: Path, outcome: Outcome, output: Output | None, more: Mapping[str, Any]) -> None:
    """Write what was made, with the record of how.

    Parameters
    ----------
    path : Path
        The file to write.
    outcome : Outcome
        What was made, in memory; a number is not written.
    output : Output or None
        How it is to be written.
    more : mapping
        What is to be in the record besides.

    Raises
    ------
    DeconvError
        If it cannot be written.
    """
    result, about = outcome.result, {**outcome.record, **more}
    if isinstance(result, Beads):
        result.to_csv(path)
        return
    if isinstance(result, Psf):
        replace(result, metadata={**result.metadata, **more}).save(path)
        return
    data = result.image if isinstance(result, Deconvolution) else result
    if np.ndim(data) == 0:
        return
    if outcome.source is None:
        raise DeconvError("The recipe makes no image.")
    data, source = as_dtype(data, output.dtype if output else None), outcome.source
    if output is not None and output.ngff is not None:
        blocks = tuple(_BLOCK.get(axis, 1) for axis in source.axes)
        lazy = replace(outcome, result=da.from_array(data, blocks))
        store(path, lazy, output, fingerprint="", resume=False).finish(about)
        return
    write_image(
        path, data, source.spacing, about, axes=source.axes, channels=source.channels,
        time_interval=source.time_interval, colours=source.colours,
    )  # fmt: skip


def store(
    path: Path,
    outcome: Outcome,
    output: Output | None,
    *,
    fingerprint: str,
    resume: bool,
    client: Client | None = None,
    callback: Callback | None = None,
) -> BlockFile:
    """Compute a lazy result block by block, and write its blocks.

    Parameters
    ----------
    path, outcome, output
        As for `write`; the result is a `BlockDeconvolution` or a Dask array.
    fingerprint : str
        Of recipe and input: what is resumed has to have the same.
    resume : bool
        Whether to go on with what an interrupted run has written.
    client : distributed.Client, optional
        Where to compute.
    callback : callable, optional
        Called with a `Progress` after each block.

    Returns
    -------
    BlockFile
        Complete, and to be finished.

    Raises
    ------
    DeconvError
        If a block cannot be computed or written: what is written can be resumed.
    """
    result, source = outcome.result, outcome.source
    if source is None:
        raise DeconvError("The recipe makes no image.")
    if isinstance(result, BlockDeconvolution):
        result = result.image
    if output is not None and output.dtype is not None:
        result = result.map_blocks(as_dtype, output.dtype, dtype=output.dtype)
    image = Image(
        result, source.spacing, source.axes, {}, source.channels, source.time_interval,
        colours=source.colours,
    )  # fmt: skip
    file = BlockFile.open(
        path, image, result.dtype, result.chunks, fingerprint=fingerprint, resume=resume,
        ngff=output.ngff if output and output.ngff else "0.5",
    )  # fmt: skip
    store_blocks(result, file, client=client, callback=callback)
    return file
