"""All of a layer deconvolved in tiles, which are written while it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr

from napari_deconv._progress import Callback
from napari_deconv.blocks import (
    BlockDeconvolution,
    begun_blocks,
    plan_blocks,
    prepare_blocks,
    write_blocks,
)
from napari_deconv.blocks.storing import check_begun
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, check_target, open_image
from napari_deconv.files.lock import alone
from napari_deconv.provenance import file_origin
from napari_deconv.recipe.inputs import stem_of
from napari_deconv.widgets.common.images import as_lazy_image
from napari_deconv.widgets.common.large import fits
from napari_deconv.widgets.common.layers import provenance
from napari_deconv.widgets.common.parts import read_psf
from napari_deconv.widgets.common.results import Limits, contrast, make_result, on_source
from napari_deconv.widgets.deconvolution.words import found_in, line_of, name_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_deconv.widgets.common.inputs import Inputs
    from napari_deconv.widgets.common.parts import Part

__all__ = ["Written", "check_new", "run_to_disk", "target_of"]

_ENDING = ".ome.zarr"


@dataclass(frozen=True, eq=False)
class Written:
    """A result that is on the disk.

    Attributes
    ----------
    source : Part
        What it was made of.
    path : Path
        The OME-Zarr.
    result : BlockDeconvolution
        What was found, and the tiles it was made in.
    record : dict
        How: see `napari_deconv.provenance`.
    levels : list of dask.array.Array
        Its resolutions, the full one first.
    limits : Limits
        Of the coarsest one.
    """

    source: Part
    path: Path
    result: BlockDeconvolution
    record: dict[str, Any]
    levels: list[da.Array]
    limits: Limits

    def describe(self) -> str:
        """Say what was written, and what its recipe cannot do."""
        tiles = self.result.image.npartitions
        said = f"Wrote {self.path.name} in {tiles} tile{'' if tiles == 1 else 's'}."
        said = f"{said} {line_of(self.result)}"
        if "layer" not in self.record["inputs"]["image"] or fits(self.source.layer):
            return said
        return (
            f"{said} “{self.source.name}” is in no file, so a recipe cannot make this again: save "
            "it, and run its file."
        )

    def layer(self) -> Layer:
        """Make a layer of it, which reads only what is drawn."""
        found = found_in(self.result)
        metadata = provenance(self.record, "result", self.source.layer, **found)
        done = self.record["made"]["measured"].get("iterations", self.result.iterations)
        options = on_source(self.source, name_of(self.result, done), metadata)
        return make_result(self.levels, options, self.limits)


def target_of(layer: Layer, method: str) -> Path:
    """Propose where the result of a layer goes: beside its file, if it has one.

    Parameters
    ----------
    layer : Layer
        The image.
    method : str
        Short name of the method.
    """
    ending = re.sub(r"\W+", "_", method.lower()) + _ENDING
    if layer.source.path is None:
        return Path(re.sub(r"[^\w.-]+", "_", layer.name) + f"_{ending}")
    path = Path(layer.source.path)
    outermost = [folder for folder in (path, *path.parents) if folder.suffix.lower() == ".zarr"]
    path = outermost[-1] if outermost else path
    return path.with_name(f"{stem_of(path)}_{ending}")


def check_new(path: Path) -> Path:
    """Give the name of the file to write, with its ending.

    Raises
    ------
    DeconvError
        If it is there already, or cannot be written.
    """
    if path.suffix.lower() != ".zarr":
        path = path.with_name(path.name + _ENDING)
    if path.exists():
        raise DeconvError(
            f"{path} is there already: choose another name, or take it away if it is not needed."
        )
    check_target(path)
    return path


def run_to_disk(
    source: Part,
    psf: Part,
    inputs: Inputs,
    path: Path,
    tell: Callable[[str], object],
    *,
    psf_spacing: Any,
    own_psf: bool,
    leave_out: Part | None = None,
    callback: Callback,
    **options: Any,
) -> Written:
    """Deconvolve all of a layer; what a cancelled run has written of it is not done again.

    Parameters
    ----------
    source, psf, psf_spacing, own_psf, leave_out
        Image, PSF and labels as `deconvolve_part` takes them.
    inputs : Inputs
        The layers that they are from.
    path : Path
        The OME-Zarr to write.
    tell : callable
        Called with the plan before it begins, and with what is done.
    callback : callable
        Called with a `Progress` after each tile, when it is measured and when it is written; what
        it raises ends the run.
    **options
        Of `prepare_blocks`.
    """
    inputs.found({name: file_origin(*file) for name, file in inputs.files().items()})
    image = _described(source, inputs.origins["image"], options["spacing"])
    points = read_psf(psf, psf_spacing, own_psf)
    if leave_out is not None:
        options["mask"] = _voxels(leave_out) == 0
    with alone(path):
        begun = begun_blocks(path)
        plan = plan_blocks(image.data, points, block=begun, callback=callback, **options)
        there = check_begun(path, [plan])
        tell(plan.describe())
        about = f"{plan.describe()} {plan.describe_time()} {there}".rstrip()
        tell(f"{about}\nMeasuring the image …")
        result = prepare_blocks(image.data, points, block=plan.block, callback=callback, **options)
        tell(f"{about}\nWriting {path.name} …")
        done = write_blocks(
            path, result, image, metadata={"inputs": inputs.origins}, callback=callback
        )
    return _opened(source, path, result, done)


def _opened(source: Part, path: Path, result: BlockDeconvolution, done: dict[str, Any]) -> Written:
    group = zarr.open_group(path, mode="r")
    levels = [group[name] for name in sorted(group.array_keys(), key=int)]
    limits = contrast(np.asarray(levels[-1]), 0)
    return Written(source, path, result, done, [da.from_zarr(level) for level in levels], limits)


def _voxels(part: Part) -> Any:
    """Take the voxels of a part, read when they are needed if they are not in memory."""
    voxels = part.voxels if isinstance(part.voxels, np.ndarray) else da.asarray(part.voxels)
    return voxels[part.box]


def _described(source: Part, origin: dict[str, Any], spacing: tuple[float, ...]) -> Image:
    """Take the image, with what its file says about channels, times and place."""
    image = replace(as_lazy_image(source), spacing=spacing)
    if "path" not in origin:
        return image
    stated = open_image(origin["path"], channel=origin.get("channel"))
    if len(stated.axes) == len(image.axes):  # readers do not say which axis is time
        image = replace(image, axes=stated.axes)
    step = image.time_interval or stated.time_interval
    image = replace(image, time_interval=step if "T" in image.axes else None)
    if image.data.shape == stated.data.shape:
        image = replace(
            image, origin=stated.origin, single=stated.single, plane=stated.plane,
            omero=stated.omero,
        )  # fmt: skip
    if len(stated.channels) != image.channel_count:
        return image
    return replace(image, channels=stated.channels, colours=stated.colours)
