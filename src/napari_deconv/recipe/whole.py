"""A recipe done to a file in one piece: here, or by a worker of a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from dask import delayed

from napari_deconv._progress import Callback
from napari_deconv.beads import Beads
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.turn import one_tile
from napari_deconv.engines.limits import limited_memory
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf import Psf
from napari_deconv.recipe.kept import Kept
from napari_deconv.recipe.plan import Outcome, Watch
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.recipe.results import write
from napari_deconv.recipe.summary import figures

__all__ = ["Made", "Whole"]


@dataclass(frozen=True)
class Made:
    """What was made of a file, and is written: all but the voxels.

    Attributes
    ----------
    figures : dict
        Numbers for the table (see `napari_deconv.recipe.summary`).
    shape : tuple of int
        Of the image; empty of a number, and of what is none.
    spacing : tuple of float or None
        Voxel size along the space axes, µm; None where it is not known.
    result : Psf, Beads or None
        What it is, unless it is an image.
    """

    figures: dict[str, Any]
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    result: Psf | Beads | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Made:
        """Leave out the voxels of what was made."""
        result, record = outcome.result, outcome.record
        measured = record.get("made", {}).get("measured", {})  # of tiles
        numbers = figures(result) | {"engine": record.get("engine", "")} | measured
        if isinstance(result, Psf | Beads):
            return cls(numbers, result=result)
        spacing = None if outcome.source is None else outcome.source.spacing
        return cls(numbers, np.shape(getattr(result, "image", result)), spacing)


@dataclass(frozen=True)
class Whole:
    """A recipe to be done in one piece, and where its result goes; it can be pickled.

    Attributes
    ----------
    recipe : Recipe
        What is to be done, with the file as its input.
    target : Path
        Where the result goes.
    engine : str or None
        Where to compute, whatever the recipe says.
    more : dict
        What is to be recorded besides.
    """

    recipe: Recipe
    target: Path
    engine: str | None
    more: dict[str, Any]

    def run(self, watch: Watch, kept: Kept) -> Made:
        """Do it in this process; the parameters are those of `Plan.run`."""
        outcome = self.recipe.plan(engine=self.engine).run(watch, kept)
        with watch("write"):
            write(self.target, outcome, self.recipe.output, self.more)
        return Made.of(outcome)

    def run_on_cluster(self, callback: Callback | None, client: str, memory: float | None) -> Made:
        """Have a worker do it, which reads and writes the files under the same paths.

        Parameters
        ----------
        callback : callable or None
            As of `compute_each`. What it raises ends the work, on the worker too.
        client : str
            Who asks: what is the same for all that one asks for, a worker makes once.
        memory : float or None
            Bytes that the arrays of one operation may take there.

        Warns
        -----
        DeconvWarning
            What the worker was warned of.
        """
        there = replace(self, target=self.target.absolute())
        task = delayed(_run, pure=False)(there, client, memory)
        ((made, notes),) = compute_each([task], callback)
        for note in notes:
            warnings.warn(note, DeconvWarning, stacklevel=2)
        if isinstance(made, Exception):
            raise made
        return cast("Made", made)


def _run(whole: Whole, client: str, memory: float | None) -> tuple[Made | Exception, list[str]]:
    """Do it as a task of a worker, which does nothing else of ours meanwhile.

    Errors are given back: what is raised Dask tries again, and it would fail again.
    """
    from napari_deconv.blocks.worker import collected

    with one_tile(), limited_memory(memory), collected() as notes:
        try:
            return whole.run(_while_wanted(), _kept_for(client)), notes
        except (DeconvError, MemoryError) as error:
            return error, notes


@lru_cache(maxsize=1)  # until another program asks for something
def _kept_for(client: str) -> Kept:
    return Kept()


def _while_wanted() -> Watch:
    """Watch nothing, but end what is watched when nobody waits for this task any more.

    Dask itself leaves what has begun alone: it would take its time, and then replace what may have
    been written since.
    """
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks[worker.get_current_task()]

    def check(_: object) -> None:
        if task.state == "cancelled":
            raise DeconvError("It was ended by the program that had asked for it.")

    @contextmanager
    def watch(step: str) -> Iterator[Callback]:
        check(step)
        yield check

    return watch
