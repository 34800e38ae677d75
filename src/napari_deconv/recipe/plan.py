"""A recipe as the calls that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from napari_deconv import sample_data
from napari_deconv._progress import Callback
from napari_deconv.beads import Beads
from napari_deconv.files import Image
from napari_deconv.recipe.calls import Call, Layer, Ref, script
from napari_deconv.recipe.kept import Kept

__all__ = ["Outcome", "Plan", "Variables", "Watch", "unwatched"]

Watch = Callable[[str], AbstractContextManager[Callback | None]]


def unwatched(_: str) -> AbstractContextManager[None]:
    """Watch nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Outcome:
    """What a plan has made, the record of how, and the image that it was made of, if any."""

    result: Any
    record: dict[str, Any]
    source: Image | None


@dataclass(frozen=True)
class Plan:
    """Calls one after the other.

    Attributes
    ----------
    steps : list of Call or Layer
        What is done.
    result : Ref
        What it is done for.
    image : Ref or None
        What it is done to: an `Image` or a sample; None where a PSF is computed.
    spacing : Ref, float, tuple of float or None
        The voxel size of what it is done to.
    names, origins : dict
        Variables that are there before, and where they come from.
    """

    steps: list[Call | Layer]
    result: Ref
    image: Ref | None
    spacing: Any
    names: dict[str, Any]
    origins: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """Paths of the files that are read."""
        origins = (step.origin for step in self.steps if isinstance(step, Call))
        return [o["path"] for o in origins if isinstance(o, Mapping) and "path" in o]

    def run(self, watch: Watch = unwatched, kept: Kept | None = None) -> Outcome:
        """Do it.

        Parameters
        ----------
        watch : callable
            Called with the name of each function; gives a context manager that yields the callback
            for it.
        kept : Kept, optional
            Of plans before: what does not depend on the image is not computed again.
        """
        names, origins = dict(self.names), dict(self.origins)
        kept = Kept() if kept is None else kept
        for step in self.steps:
            if isinstance(step, Layer):
                step.run()
                continue
            whole = self.image is not None and step.name == self.image.name
            key = None if whole else kept.key(step, names)
            make = partial(_made, step, names, origins, watch)
            value, origin = make() if key is None else kept.get(key, make)
            names[step.name], origins[step.name] = value, origin
        source = None if self.image is None else names[self.image.name]
        if isinstance(source, sample_data.Sample):
            source = Image(source.image, source.spacing, "ZYX")
        if isinstance(source, Image) and not isinstance(self.spacing, Ref):
            source = replace(source, spacing=self.spacing)
        return Outcome(names[self.result.name], origins[self.result.name], source)

    def to_python(self) -> str:
        """Write it as a script."""
        return script(self.steps)


def _made(
    step: Call, names: dict[str, Any], origins: dict[str, Any], watch: Watch
) -> tuple[Any, Any]:
    """Do a call, and give its value and origin."""
    with watch(step.function.__name__) as callback:
        step.run(names, origins, callback)
    return names[step.name], origins[step.name]


class Variables:
    """The variables of a plan while it is made, and the steps that set them.

    Attributes
    ----------
    steps, names, origins
        As those of a `Plan`.
    """

    def __init__(self) -> None:
        self.steps: list[Call | Layer] = []
        self.names: dict[str, Any] = {}
        self.origins: dict[str, Any] = {}
        self._known: dict[str, Ref] = {}
        self._taken: set[str] = set()

    def bind(self, name: str, value: Any, origin: Mapping[str, Any]) -> Ref:
        """Make a variable of what is there already."""
        known = self._known.setdefault(f"given {id(value)}", Ref(self.new(name)))
        array = value if isinstance(value, Image | Beads) else Image(np.asarray(value), None, "")
        self.names[known.name], self.origins[known.name] = array, dict(origin)
        return known

    def add(self, step: Call | Layer) -> Ref:
        """Add a step, unless the same has been done before."""
        what = step.code().partition(" = ")[2]
        if what in self._known:
            self._taken.discard(step.name)
            return self._known[what]
        self.steps.append(step)
        return self._known.setdefault(what, Ref(step.name))

    def call(self, name: str, function: Callable[..., Any], *arguments: Any, **more: Any) -> Ref:
        """Add a call; the arguments are the further ones of `Call`."""
        return self.add(Call(self.new(name), function, *arguments, **more))

    def origin_of(self, name: str) -> dict[str, Any]:
        """Give the origin of a variable that was bound or read."""
        read = {s.name: s.origin for s in self.steps if isinstance(s, Call)}
        origin = self.origins.get(name) or read.get(name)
        return dict(origin) if isinstance(origin, Mapping) else {}

    def new(self, name: str) -> str:
        """Find a name for a variable."""
        numbered = (name, *(f"{name}_{number}" for number in range(2, 1000)))
        free = next(one for one in numbered if one not in self._taken)
        self._taken.add(free)
        return free
