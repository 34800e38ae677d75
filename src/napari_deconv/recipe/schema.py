"""What a recipe may say: its sections, and what each may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from napari_deconv.recipe.options import (
    Acquisition,
    Background,
    BackgroundEstimate,
    Beads,
    Convolution,
    Deconvolution,
    Distilling,
    Keys,
    Length,
    Lengths,
    Optics,
    Spacing,
)
from napari_deconv.recipe.text import wrong_key

__all__ = ["LAST", "BeadImage", "Blocks", "Detection", "Output", "PsfSource", "Source", "Steps"]

LAST = ("background_estimate", "beads", "convolution", "acquisition", "deconvolution")
"""Sections of which a recipe has one at most: what is done to the input ends with it."""

Sample = Literal["beads_widefield", "cells_widefield", "bars_confocal"]
_Path = Annotated[str, Field(min_length=1)]
_SUFFIXES = {"ome-tiff": (".tif", ".tiff"), "ome-zarr": (".zarr",), "csv": (".csv",)}
_Whole = Annotated[int, Field(ge=1)]
_Margin = Annotated[int, Field(ge=0)]


def _as_path(value: Any) -> Any:
    """Take a text alone as the path of a file."""
    return {"path": value} if isinstance(value, str) else value


class _Origin(Keys):
    """Where an array comes from: one of a file, a layer, a sample, or what a recipe makes."""

    path: _Path | None = None
    channel: Annotated[int, Field(ge=0)] | None = None
    position: Annotated[int, Field(ge=0)] | None = None
    sample: Sample | None = None
    part: Literal["image", "truth"] = "image"
    layer: str | None = None
    recipe: Steps | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = ("path", "sample", "layer", "recipe")
        given = [name for name in origins if getattr(self, name) is not None]
        if len(given) > 1:
            raise wrong_key(
                given[-1], f"{' and '.join(given)} exclude each other: give one of them"
            )
        if self.sample or self.layer or self.recipe:
            for name in ("channel", "position"):
                if getattr(self, name) is not None:
                    raise wrong_key(name, f"a {name} belongs to a file: write the path of one")
        return self


class Source(_Origin):
    """An image and its voxel size."""

    spacing: Literal["file"] | Spacing = "file"


class Detection(Beads):
    """How the beads of a PSF are found, or what holds or makes them."""

    path: _Path | None = None
    layer: str | None = None
    recipe: Steps | None = None


class BeadImage(Distilling, _Origin):
    """An image of beads, and how it becomes a PSF."""

    spacing: Literal["file"] | Spacing = "file"
    detection: Detection | None = None


class PsfSource(Keys):
    """Where the PSF comes from: one of a file, optics, beads, a sample, a layer, or a recipe.

    Or ``channels``: one such source for each channel.
    """

    file: _Path | None = None
    optics: Optics | None = None
    beads: BeadImage | None = None
    sample: Sample | None = None
    layer: str | None = None
    recipe: Steps | None = None
    channels: Annotated[list[PsfSource], Field(min_length=1)] | None = None
    spacing: Literal["file", "image"] | Length | Lengths = "file"

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name, value in self if name != "spacing" and value is not None]
        if len(given) != 1:
            expected = "expected one of file, optics, beads, sample, recipe, channels"
            if not given:
                raise ValueError(f"{expected}; given nothing")
            raise wrong_key(given[-1], f"{expected}; given {' and '.join(given)}")
        if any(psf.channels is not None for psf in self.channels or ()):
            raise wrong_key("channels", "a channel has no channels: give it one PSF")
        return self


class Blocks(Keys):
    """Tiles of a volume that is larger than memory: see `napari_deconv.deconvolve_blocks`.

    ``block`` is the shape of a tile without its margins, ``overlap`` the margins, (z, y, x) in
    voxels; ``memory`` what a tile may take, in GB.
    """

    block: Annotated[list[_Whole], Field(min_length=2, max_length=3)] | None = None
    overlap: Annotated[list[_Margin], Field(min_length=2, max_length=3)] | None = None
    memory: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `napari_deconv.deconvolve_blocks` takes of it: memory in bytes."""
        given = {
            "block": self.block and tuple(self.block),
            "overlap": self.overlap and tuple(self.overlap),
            "memory": self.memory and 1e9 * self.memory,
        }
        return {name: value for name, value in given.items() if value is not None}


_Source = Annotated[Source, BeforeValidator(_as_path, json_schema_input_type=Source | str)]


class Steps(Keys):
    """What is done: to an input its background, then one last step; or a PSF alone is made."""

    input: _Source | None = None
    background: Background | None = None
    background_estimate: BackgroundEstimate | None = None
    beads: Beads | None = None
    psf: PsfSource | None = None
    convolution: Convolution | None = None
    acquisition: Acquisition | None = None
    deconvolution: Deconvolution | None = None
    mask: _Source | None = None
    initial: _Source | None = None
    engine: str | None = None

    @property
    def last(self) -> str | None:
        """The section it ends with; None where only a background is subtracted or a PSF made."""
        return next((name for name in LAST if getattr(self, name) is not None), None)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = [name for name in LAST if getattr(self, name) is not None]
        if len(given) > 1:
            raise wrong_key(
                given[-1],
                f"{' and '.join(given)} are two last steps: write the recipe of the first one as "
                "the input of the second, input: {recipe: {…}}",
            )
        if not given and self.psf is None and self.background is None:
            raise ValueError(f"nothing is to be done: expected psf, background, {', '.join(LAST)}")
        if self.deconvolution is None and (self.mask or self.initial):
            name = "mask" if self.mask else "initial"
            raise wrong_key(name, "it belongs to a deconvolution, which is missing")
        if self.psf is not None and self.psf.channels is not None:
            if self.deconvolution is None:
                raise wrong_key("psf", "a PSF for each channel belongs to a deconvolution")
            if self.initial is not None:
                raise wrong_key("initial", "with a PSF for each channel there is none")
        return self


class Output(Keys):
    """What is written, and how; ``ngff`` is the version of OME-Zarr."""

    path: _Path | None = None
    format: Literal["ome-tiff", "ome-zarr", "csv"] | None = None
    ngff: Literal["0.4", "0.5"] | None = None
    dtype: Literal["float32", "float64", "uint16", "uint8"] | None = None

    @model_validator(mode="after")
    def _one_format(self) -> Self:
        if self.ngff is not None and self.format != "ome-zarr":
            raise wrong_key("ngff", "it is a version of OME-Zarr: write format: ome-zarr")
        if self.path is not None and self.format is not None:
            expected = _SUFFIXES[self.format]
            if not self.path.lower().endswith(expected):
                raise wrong_key(
                    "path",
                    f"{Path(self.path).name} is not the name of an {self.format}: expected one "
                    f"that ends in {' or '.join(expected)}, or no format",
                )
        return self


for _model in (_Origin, Source, Detection, BeadImage, PsfSource):
    _model.model_rebuild()
