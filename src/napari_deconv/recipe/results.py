"""What a recipe makes, as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_deconv.beads import Beads
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES, as_dtype, save_image
from napari_deconv.psf import Psf
from napari_deconv.recipe.plan import Outcome
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.recipe.schema import Output

__all__ = ["suffix_of", "suffixes_of", "write"]

_SUFFIXES = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr", "csv": ".csv"}


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
    ngff = output.ngff if output else None
    save_image(path, source.remade(data, about), ngff or "0.5")
