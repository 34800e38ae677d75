"""A recipe: what is to be done, as YAML, as Python, and as the array it gives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from napari_deconv._progress import Callback
from napari_deconv.beads import Beads
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image, replacing, write_image
from napari_deconv.recipe.history import recipe_data
from napari_deconv.recipe.plan import Plan
from napari_deconv.recipe.planner import Planner
from napari_deconv.recipe.schema import BeadImage, Blocks, Output, Source, Steps
from napari_deconv.recipe.text import Document, dump, wrong_key
from napari_deconv.recipe.ways import IN_BLOCKS, IN_MEMORY, Way, check_blocks

__all__ = ["Recipe", "paths_in"]

_VERSION = "napari-deconv"
# What a layer's array is called in the names of files.
_ROLES = ("input", "psf", "beads", "mask", "initial", "detection")


class Recipe(Steps):
    """What is to be done, in the words of the public functions.

    ``napari-deconv: 1`` is the version of the schema. Of the sections below, each with the keyword
    parameters of its function, those that are missing are not done:

    ``input``
        ``path`` (with ``channel`` and ``position``, counted from 0), ``sample`` (with ``part``), or
        ``recipe``: what another one makes. ``spacing`` is ``file``, the voxel size (z, y, x) in µm,
        or ``pixels``.
    ``background``
        `subtract_background`.
    ``psf``
        ``file``, ``optics`` (`make_psf`), ``beads`` (`distill_psf`; ``detection``: `detect_beads`),
        ``sample`` or ``recipe``; or ``channels``: one of these for each channel.
    ``deconvolution``, ``convolution``, ``acquisition``, ``beads``, ``background_estimate``
        `deconvolve` (with ``mask`` and ``initial``), `convolve`, `simulate_acquisition`,
        `detect_beads`, `estimate_background`: one of them, the last step.
    ``blocks``
        Of a deconvolution in tiles: ``block``, ``overlap`` (voxels) and ``memory`` (GB).
    ``engine``, ``output``
        Where to compute; ``path``, ``format`` (with ``ngff``, the version) and ``dtype`` of the
        result.
    """

    version: Literal[1] = Field(alias="napari-deconv")
    blocks: Blocks | None = None
    output: Output | None = None

    @model_validator(mode="after")
    def _blocks_of_a_deconvolution(self) -> Self:
        if self.blocks is not None and self.deconvolution is None:
            raise wrong_key("blocks", "they belong to a deconvolution, which is missing")
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a recipe.

        Parameters
        ----------
        path : path-like
            A YAML file; the paths in it are relative to its folder.

        Raises
        ------
        DeconvError
            If it cannot be read, or is no recipe: with the line, the key, what was given and what
            was expected.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DeconvError(f"{path} is no recipe: expected a text in UTF-8.") from error
        except OSError as error:
            raise DeconvError(f"{path} cannot be read: {error.strerror or error}.") from error
        document = Document(text, path.name)
        for key, value in document.data.items():
            if value is None:
                raise document.error((key,), "is empty: leave it out, or write {} for its defaults")
        data = deepcopy(document.data)
        for holder, key in paths_in(data):
            holder[key] = str(path.parent.resolve() / holder[key])
        try:
            return cls.model_validate_json(json.dumps(data, default=str), strict=True)
        except ValidationError as error:
            raise document.explain(error, cls) from error

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Make the recipe that does again what was done.

        Parameters
        ----------
        record : mapping
            A result's provenance (see `napari_deconv.provenance`).

        Raises
        ------
        DeconvError
            If it does not say enough.
        """
        data = json.loads(json.dumps(recipe_data(record)))
        try:
            recipe = cls.model_validate({_VERSION: 1, **data})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DeconvError(
                f"The provenance is not complete: {where}, {first['msg']}."
            ) from error
        # A second time, without what is a default anyway.
        return cls.model_validate(recipe.to_dict())

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose arrays `save` needs, as nothing can make them again."""
        return tuple(dict.fromkeys(holder["layer"] for holder, _ in _layers(self.to_dict())))

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it reads."""
        data = self.to_dict()
        data.pop("output", None)
        return tuple(Path(holder[key]) for holder, key in paths_in(data) if holder[key])

    def to_dict(self) -> dict[str, Any]:
        """Give what the recipe says, in plain values; defaults are left out, but for methods."""
        data = self.model_dump(by_alias=True, exclude_defaults=True)
        plain: dict[str, Any] = _plain({_VERSION: data.pop(_VERSION), **data})
        return plain

    def to_yaml(self) -> str:
        """Write it as YAML."""
        return dump(self.to_dict())

    def save(self, path: str | os.PathLike[str], arrays: Mapping[str, Any] | None = None) -> None:
        """Write the recipe, and beside it the arrays that nothing can make again.

        Parameters
        ----------
        path : path-like
            A YAML file. Paths of files in its folder or below are written relative to it.
        arrays : mapping, optional
            By the name of each of `layers` what the layer holds: a `napari_deconv.files.Image`, an
            array, or `Beads`; of a mask True where voxels count. They become OME-TIFFs such as
            ``NAME.image.ome.tif``, beads ``NAME.beads.csv``.

        Raises
        ------
        DeconvError
            If an array is missing, or something cannot be written.
        """
        path, data = Path(path), self.to_dict()
        missing = [name for name in self.layers if name not in (arrays or {})]
        if missing:
            raise DeconvError(
                f"The recipe needs the arrays of {', '.join(missing)}: they are in no file."
            )
        written: dict[tuple[str, str], Path] = {}
        for holder, role in _layers(data):
            layer = holder["layer"]
            key = "file" if role == "psf" else "path"
            if (layer, role) not in written:
                stem = path.name.removesuffix(path.suffix)
                number = f"{len(written)}" if role in {r for _, r in written} else ""
                name = f"{stem}.{'image' if role == 'input' else role}{number}"
                own = {} if role == "psf" else {"role": "image"}  # a PSF may be a raw recording
                written[layer, role] = _write(path.with_name(name), (arrays or {})[layer], own)
            renamed = {key if k == "layer" else k: v for k, v in holder.items()}
            renamed[key] = str(written[layer, role])
            holder.clear()
            holder.update(renamed)
        folder = path.parent.resolve()
        for holder, key in paths_in(data):
            file = Path(holder[key]).resolve()
            inside = file.is_relative_to(folder)
            holder[key] = file.relative_to(folder).as_posix() if inside else str(file)
        with replacing(path) as temporary:
            temporary.write_text(dump(data), encoding="utf-8")

    def on(self, path: str | os.PathLike[str], position: int | None = None) -> Self:
        """Give the same recipe with a file as its input.

        Parameters
        ----------
        path : path-like
            The file; channel and voxel size stay as the recipe says.
        position : int, optional
            Which of the images in it.
        """
        given = {"path": os.fspath(path)} | ({} if position is None else {"position": position})
        psf = self.psf
        if self.input is None and self.last is None and psf is not None and psf.beads is not None:
            psf = psf.model_copy(update={"beads": _replaced(psf.beads, given)})
            return self.model_copy(update={"psf": psf})
        return self.model_copy(update={"input": _replaced(self.input or Source(), given)})

    @property
    def path(self) -> str | None:
        """The file that it is done to, where it names one."""
        source = self.input
        while source is not None and source.recipe is not None:
            source = source.recipe.input
        return None if source is None else source.path

    def plan(
        self,
        image: Image | str | os.PathLike[str] | Any = None,
        *,
        arrays: Mapping[str, Any] | None = None,
        engine: str | None = None,
        way: Way = IN_MEMORY,
    ) -> Plan:
        """Tell which functions are called, in which order and how.

        Parameters
        ----------
        image : Image, path-like or array_like, optional
            What to work on instead of the recipe's input.
        arrays : mapping, optional
            As for `save`, for a recipe that was not saved.
        engine : str, optional
            Where to compute, whatever the recipe says.
        way : Way
            Whether it is done in memory or block by block (see `napari_deconv.recipe.ways`).

        Raises
        ------
        DeconvError
            If the recipe lacks something, or cannot be done that way.
        """
        if image is not None and not isinstance(image, Image):
            named = isinstance(image, str | os.PathLike)
            image = os.fspath(image) if named else Image(np.asarray(image), None, "")
        if way is not IN_MEMORY:
            check_blocks(self)
        blocks = {} if self.blocks is None else self.blocks.arguments
        return Planner(image, arrays or {}, engine, way, blocks).plan(self)

    def run(
        self,
        image: Image | str | os.PathLike[str] | Any = None,
        *,
        arrays: Mapping[str, Any] | None = None,
        engine: str | None = None,
        callback: Callback | None = None,
    ) -> Any:
        """Do it.

        Parameters
        ----------
        image, arrays, engine
            As for `plan`.
        callback : callable, optional
            Called after every step of every function that reports its progress.

        Returns
        -------
        Deconvolution, Psf, Beads or ndarray
            What the last step makes, equal to what the same calls in Python do. A `Deconvolution`
            and a `Psf` carry the record of it.

        Raises
        ------
        DeconvError
            As the functions.
        """
        plan = self.plan(image, arrays=arrays, engine=engine)
        return plan.run(lambda _: nullcontext(callback)).result

    def to_python(self) -> str:
        """Write it as a script of public functions that makes the same array."""
        way = IN_MEMORY if self.blocks is None else IN_BLOCKS
        return self.plan(way=way).to_python()


def _replaced(source: Source | BeadImage, given: dict[str, Any]) -> Any:
    """Put a file in place of an image, or of that which its recipe is done to."""
    inner = source.recipe
    if inner is not None:
        inner = inner.model_copy(update={"input": _replaced(inner.input or Source(), given)})
        return source.model_copy(update={"recipe": inner})
    other = {"sample": None, "layer": None, "part": "image"}
    return source.model_copy(update=other | given)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def paths_in(data: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Find the paths of files, as dict and key."""
    for key, value in list(data.items()):
        for inner in _mappings(value):
            yield from paths_in(inner) if key != "optics" else ()
        if isinstance(value, str) and key in ("path", "file", "input", "mask", "initial"):
            yield data, key


def _layers(data: dict[str, Any], role: str = "input") -> Iterator[tuple[dict[str, Any], str]]:
    """Find the layers, each with what it is used as."""
    for key, value in list(data.items()):
        for inner in _mappings(value):
            yield from _layers(inner, key if key in _ROLES else role)
    if isinstance(data.get("layer"), str):
        yield data, role


def _mappings(value: Any) -> list[dict[str, Any]]:
    """Give a section, or those of a list."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _write(path: Path, array: Any, metadata: dict[str, Any]) -> Path:
    """Write an array under a name of which the ending is missing."""
    if isinstance(array, Beads):
        file = path.with_name(path.name.replace(".detection", ".beads") + ".csv")
        array.to_csv(file)
        return file
    image = array if isinstance(array, Image) else Image(np.asarray(array), None, "")
    data = image.data
    if data.dtype.kind == "b":
        data = data.astype(np.uint8)
    elif data.dtype == np.float16:
        data = data.astype(np.float32)
    elif data.dtype.kind in "iu" and data.dtype.itemsize == 8:
        data = data.astype(np.float64)
    file = path.with_name(f"{path.name}.ome.tif")
    write_image(file, data, image.spacing, metadata, axes=image.axes or None)
    return file
