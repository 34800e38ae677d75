"""Calls of public functions, as what is run and as Python that people read: one and the same."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

import napari_deconv
from napari_deconv._progress import Callback
from napari_deconv.blocks import BlockDeconvolution
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.provenance import describe, made, record
from napari_deconv.psf import Psf

__all__ = ["Call", "Layer", "Ref", "script", "value_of"]

_WIDTH = 88

_PARTS: Mapping[str, Callable[[Any], Any]] = {
    "": lambda value: value,
    "[0]": lambda value: value[0],
    ".data": lambda value: value.data,
    ".data != 0": lambda value: value.data != 0,
    ".data == 0": lambda value: value.data == 0,
    ".image": lambda value: value.image,
    ".psf": lambda value: value.psf,
    ".spacing": lambda value: value.spacing,
    ".truth": lambda value: value.truth,
}


@dataclass(frozen=True)
class Ref:
    """A variable, or a part of it."""

    name: str
    part: str = ""

    def __repr__(self) -> str:
        """Give the code."""
        return f"{self.name}{self.part}"

    def read(self, names: Mapping[str, Any]) -> Any:
        """Give the value."""
        value = _PARTS[self.part](names[self.name])
        if self.part == ".spacing" and value is None:
            raise DeconvError(
                f"The {self.name} has no voxel size: write it into the recipe, for example "
                "input: {spacing: [z, y, x]} in µm; it is in the microscope's metadata."
            )
        return value


@dataclass(frozen=True)
class Call:
    """A call of a function, and the variable that takes its value.

    Attributes
    ----------
    name : str
        The variable.
    function : callable
        What is called.
    positional : dict
        Positional arguments by the names of their parameters: values, `Ref` or lists of them.
    keywords : dict
        The other arguments.
    part : str
        What is taken of what the function returns.
    origin : dict, Ref or None
        Where the value comes from if it is read, or the variable it is but another form of; None if
        the call computes.
    """

    name: str
    function: Callable[..., Any]
    positional: Mapping[str, Any]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    origin: Mapping[str, Any] | Ref | None = None

    @property
    def title(self) -> str:
        """The name of the function, in words."""
        return self.function.__name__.replace("_", " ")

    def code(self) -> str:
        """Write it as Python."""
        given = [_code(value) for value in self.positional.values()]
        given += [f"{name}={_code(value)}" for name, value in self.keywords.items()]
        called = self.function.__qualname__
        line = f"{self.name} = {called}({', '.join(given)}){self.part}"
        if len(line) <= _WIDTH:
            return line
        return "\n".join([f"{self.name} = {called}(", *_rows(given), f"){self.part}"])

    def run(self, names: dict[str, Any], origins: dict[str, Any], callback: Callback | None) -> Any:
        """Call it, and set its variable in `names` and the record of it in `origins`."""
        positional = [value_of(value, names) for value in self.positional.values()]
        keywords = {name: value_of(value, names) for name, value in self.keywords.items()}
        reporting = "callback" in inspect.signature(self.function).parameters
        progress = {"callback": callback} if reporting and callback is not None else {}
        start = time.perf_counter()
        result = _PARTS[self.part](self.function(*positional, **keywords, **progress))
        seconds = time.perf_counter() - start
        if isinstance(self.origin, Ref):
            origins[self.name] = origins[self.origin.name]
        elif self.origin is not None:
            origins[self.name] = dict(self.origin)
        else:
            origins[self.name] = self._record(result, names, origins, seconds)
        names[self.name] = _with_record(result, origins[self.name])

    def _record(
        self, result: Any, names: Mapping[str, Any], origins: Mapping[str, Any], seconds: float
    ) -> dict[str, Any]:
        given = {**self.positional, **self.keywords}
        engine = get_engine(given.pop("engine", "auto"))
        arrays = {
            name: value
            for name, value in given.items()
            if isinstance(value, list) or (isinstance(value, Ref) and value.part != ".spacing")
        }
        plain = {n: value_of(value, names) for n, value in given.items() if n not in arrays}
        call = describe(self.function.__name__, plain, engine)
        reason = result.stop_reason if isinstance(result, Deconvolution) else ""
        how = made(seconds, engine, reason)
        if isinstance(result, BlockDeconvolution):
            call, how = result.recipe, result.recipe["made"]
        elif isinstance(result, Deconvolution):
            call = result.recipe
        elif isinstance(result, Psf) and "operation" in result.metadata:
            call = result.metadata
        inputs = {name: _origin_of(value, origins) for name, value in arrays.items()}
        return record(call, inputs, how)


@dataclass(frozen=True)
class Layer:
    """A layer of napari's viewer as a variable: in a script only."""

    name: str
    layer: str

    @property
    def title(self) -> str:
        """What it is."""
        return f"layer {self.layer}"

    def code(self) -> str:
        """Write it as Python for napari's console."""
        return f"{self.name} = viewer.layers[{_text(self.layer)}]"

    def run(self, *_: Any) -> None:
        """Raise `DeconvError`: there is no viewer here."""
        raise DeconvError(
            f"The recipe needs the array of the layer “{self.layer}”, which is not in it: save it "
            "with its arrays."
        )


def script(steps: Iterable[Call | Layer]) -> str:
    """Write calls as a Python script, its imports first."""
    steps = list(steps)
    modules: dict[str, set[str]] = {}
    for step in steps:
        if isinstance(step, Call):
            values = [*step.positional.values(), *step.keywords.values()]
            for used in (step.function, *(type(v) for v in values if is_dataclass(v))):
                name = used.__qualname__.partition(".")[0]
                if name != "Ref":
                    public = name in napari_deconv.__all__
                    module = "napari_deconv" if public else used.__module__
                    modules.setdefault(module, set()).add(name)
    lines = [
        f"from {module} import {', '.join(sorted(names))}"
        for module, names in sorted(modules.items())
    ]
    if any(isinstance(step, Layer) for step in steps):
        lines.append("\n# for napari's console, where viewer is its viewer")
    return "\n".join([*lines, "", *(step.code() for step in steps)]) + "\n"


def value_of(value: Any, names: Mapping[str, Any]) -> Any:
    """Give the value of an argument: that of a variable, those of several, or itself."""
    if isinstance(value, list):
        return [value_of(item, names) for item in value]
    return value.read(names) if isinstance(value, Ref) else value


def _with_record(result: Any, origin: Mapping[str, Any]) -> Any:
    """Let a result that can carry its record do so."""
    if "operation" not in origin:
        return result
    if isinstance(result, Deconvolution | BlockDeconvolution):
        return replace(result, recipe=dict(origin))
    if isinstance(result, Psf):
        return replace(result, metadata={**result.metadata, **origin})
    return result


def _origin_of(value: Ref | list[Ref], origins: Mapping[str, Any]) -> dict[str, Any]:
    """Give the origin of a variable, of the part of a sample, or those of all channels."""
    if isinstance(value, list):
        return {"channels": [_origin_of(item, origins) for item in value]}
    origin: dict[str, Any] = dict(origins[value.name])
    if "sample" in origin:
        origin["part"] = value.part.removeprefix(".")
    return origin


def _code(value: Any) -> str:
    """Write a value as Python."""
    if isinstance(value, Ref):
        return repr(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not np.isfinite(value):
        return f'float("{value}")'
    if is_dataclass(value) and not isinstance(value, type):
        changed = [
            f"{item.name}={_code(getattr(value, item.name))}"
            for item in fields(value)
            if getattr(value, item.name) != item.default
        ]
        return f"{type(value).__name__}({', '.join(changed)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_code(k)}: {_code(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_code, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _text(value: str) -> str:
    """Write a text as Python, in double quotes."""
    return repr(value) if '"' in value or "\\" in value else f'"{value}"'


def _rows(given: Iterable[str]) -> list[str]:
    """Break arguments into lines."""
    rows = [""]
    for one in given:
        if rows[-1] and len(rows[-1]) + len(one) > _WIDTH - 8:
            rows.append("")
        rows[-1] += f"{one}, "
    return [f"    {row.rstrip()}" for row in rows]
