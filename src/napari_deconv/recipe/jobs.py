"""A recipe and files: what is to be done to each, whether it is done, and doing it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, prod
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from napari_deconv.blocks import BlockPlan, begun_blocks, write_blocks
from napari_deconv.blocks.computing import current_client
from napari_deconv.blocks.place import Place, find_place
from napari_deconv.blocks.storing import check_begun
from napari_deconv.engines.limits import memory_limit, room
from napari_deconv.errors import DeconvError, WholeImageError
from napari_deconv.files import Image, open_image, positions, provenance_of
from napari_deconv.files.lock import alone
from napari_deconv.files.unfinished import begun, discard, written
from napari_deconv.recipe.channels import psf_of_each
from napari_deconv.recipe.checksum import checksum
from napari_deconv.recipe.inputs import check_targets, stem_of
from napari_deconv.recipe.kept import Kept
from napari_deconv.recipe.plan import Watch, unwatched
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.recipe.results import suffix_of
from napari_deconv.recipe.schema import Blocks, Output, PsfSource, Source
from napari_deconv.recipe.ways import IN_BLOCKS, IN_MEMORY, PLANNED, check_blocks
from napari_deconv.recipe.whole import Made, Whole

__all__ = ["Job", "Workshop", "jobs_of"]

_Interrupted = Literal["refuse", "resume", "anew"]

# Bytes in memory for each voxel of a series, measured: 25 of the image, the result and what can be
# gone on from, 28 where photons are kept aside, 9 with a filter. The volume that is worked on takes
# what its plan says besides.
_HELD = 28


@dataclass(frozen=True)
class Job:
    """One result to be made.

    Attributes
    ----------
    recipe : Recipe
        What is to be done, with the file as its input.
    source : Path or None
        The file; None where the recipe's input is none.
    target : Path
        Where the result goes.
    position : str
        Which of the images in the file; empty where it has one.
    """

    recipe: Recipe
    source: Path | None
    target: Path
    position: str = ""

    @cached_property
    def checksum(self) -> str:
        """Of recipe and file: see `napari_deconv.recipe.checksum`."""
        if self.source is None:
            raise DeconvError("There is no file: the recipe's input is a sample or a PSF.")
        return checksum(self.recipe, self.source, self.position)

    def is_done(self, known: str) -> bool:
        """Tell whether the result is there, of this recipe and file.

        Parameters
        ----------
        known : str
            The checksum of a result that cannot hold its own, such as a table.
        """
        if not self.target.exists():
            return False
        return bool(self.checksum == provenance_of(self.target).get("checksum", known))


def jobs_of(recipe: Recipe, sources: Sequence[Path], folder: Path) -> list[Job]:
    """Make the jobs for files: each position of a stage is one by itself.

    Raises
    ------
    DeconvError
        If two results would have the same name, or one the name of a file that is read.
    """
    jobs, pairs = [], []
    for source in sources:
        names = _positions(recipe, source)
        ending = suffix_of(recipe, source)
        for number, name in enumerate(names):
            stem = f"{stem_of(source)}_{name}" if name else stem_of(source)
            own = recipe.on(source, number if name else None)
            pairs.append((source, folder / f"{stem}{ending}"))
            jobs.append(Job(own, *pairs[-1], name))
    check_targets(pairs, recipe.on("").files)
    return jobs


def _positions(recipe: Recipe, source: Path) -> list[str]:
    """Name the positions in a file as parts of file names; one empty name if there is but one."""
    if recipe.input is not None and recipe.input.position is not None:
        return [""]
    try:
        given = positions(source)
    except DeconvError:  # what is wrong with it is said when its turn comes
        return [""]
    if len(given) == 1:
        return [""]
    names = [re.sub(r"[^\w.-]+", "_", name).strip("_") for name in given]
    twice = Counter(names)
    return [
        name if name and twice[name] == 1 else f"{name or 'position'}_{number}"
        for number, name in enumerate(names)
    ]


class Workshop:
    """Does jobs, where Dask computes; what they share is made once.

    On a cluster several threads may each do a job.

    Parameters
    ----------
    engine : str, optional
        Where to compute, whatever the recipe says.
    begun : {"refuse", "resume", "anew"}
        What to do where an interrupted run has written a part of a result.
    say : callable, optional
        Told how many tiles are there, where it goes on with them, in the thread of the job.
    """

    def __init__(
        self,
        engine: str | None = None,
        begun: _Interrupted = "refuse",
        say: Callable[[str], object] | None = None,
    ) -> None:
        self._engine, self._begun, self._say = engine, begun, say
        self._kept = Kept()
        self._name = uuid4().hex
        self._found: Place | None = None
        self._looking = threading.Lock()

    def plans(self, job: Job, watch: Watch = unwatched) -> list[BlockPlan]:
        """Tell how a file is cut into tiles, for each channel that has its own PSF.

        Parameters
        ----------
        job : Job
            Of the file.
        watch : callable
            As for `Plan.run`: a weight that tiles are planned for is looked for in the image.

        Returns
        -------
        list of BlockPlan
            Empty where it is done in one piece.

        Raises
        ------
        DeconvError
            If the file or the PSF cannot be read, or the recipe lacks something.
        """
        recipe, image = self._resolved(job)
        asked = recipe.blocks is not None or self._goes_on(job)
        try:
            check_blocks(recipe)
            plans = [] if image is None else self._plans(recipe, watch)
        except WholeImageError:
            if asked or not self._has_room(recipe, image):
                raise
            return []
        if asked or not _is_one_tile_each(plans):
            return plans
        if current_client() is not None and sum(prod(plan.counts) for plan in plans) > 1:
            return plans  # workers share the volumes
        return [] if self._has_room(recipe, image, plans) else plans

    def script(self, job: Job, plans: Sequence[BlockPlan]) -> str:
        """Write what would be called, as Python, where a file is cut as its `plans` tell."""
        recipe = self._resolved(job)[0]
        way = IN_BLOCKS if plans else IN_MEMORY
        return recipe.plan(engine=self._engine, way=way).to_python()

    def run(
        self,
        job: Job,
        watch: Watch = unwatched,
        tell: Callable[[Sequence[BlockPlan]], object] | None = None,
    ) -> Made:
        """Do a job.

        Parameters
        ----------
        job : Job
            What to do.
        watch : callable
            As for `Plan.run`.
        tell : callable, optional
            Called with the plans before anything is computed block by block.

        Returns
        -------
        Made
            What was made and written.

        Raises
        ------
        DeconvError
            As the functions; and if the result cannot be written.
        """
        more = _more(job)  # of the input as it is now: it may be replaced meanwhile
        recipe, _ = self._resolved(job)
        plans = self.plans(job, watch)
        if begun(job.target) is not None and not self._goes_on(job):
            self._give_up(job)
        if plans:
            with alone(job.target):
                return self._run_in_blocks(job, recipe, plans, more, watch, tell)
        whole = Whole(recipe, job.target, self._engine, more)
        if current_client() is None:
            return whole.run(watch, self._kept)
        on_cpu = self._place(recipe).device.kind == "CPU"
        memory = self._room_of_worker(recipe) if on_cpu else memory_limit()
        with watch("on a worker") as callback:
            return whole.run_on_cluster(callback, self._name, memory)

    def _goes_on(self, job: Job) -> bool:
        """Tell whether there are tiles of an interrupted run to go on with."""
        return self._begun == "resume" and begun(job.target) is not None

    def _give_up(self, job: Job) -> None:
        """Throw away what an interrupted run has written, if that was asked for."""
        with alone(job.target):
            if self._begun == "refuse" and (there := written(job.target)):
                raise DeconvError(
                    f"{there} blocks of {job.target} are there, of a run that was interrupted: go "
                    "on with them (--resume), or begin anew (--redo)."
                )
            discard(job.target)

    def _run_in_blocks(
        self,
        job: Job,
        recipe: Recipe,
        plans: Sequence[BlockPlan],
        more: dict[str, Any],
        watch: Watch,
        tell: Callable[[Sequence[BlockPlan]], object] | None,
    ) -> Made:
        """Do a job block by block, in blocks of one size for all channels."""
        recipe = recipe.model_copy(update={"blocks": self._blocks(job, recipe, plans)})
        output, plans = recipe.output or Output(), self._plans(recipe, watch)
        resumed = self._begun == "resume"
        there = check_begun(job.target, plans, output.dtype) if resumed else ""
        if there and self._say is not None:
            self._say(f"{job.target}: {there}")
        if tell is not None:
            tell(plans)
        outcome = recipe.plan(engine=self._engine, way=IN_BLOCKS).run(watch, self._kept)
        image = outcome.source
        assert image is not None
        with watch("blocks") as callback:
            record = write_blocks(
                job.target, outcome.result, image, dtype=output.dtype,
                ngff=output.ngff or "0.5", resume=resumed, metadata=more,
                callback=callback,
            )  # fmt: skip
        return Made.of(replace(outcome, record=record))

    def _resolved(self, job: Job) -> tuple[Recipe, Image | None]:
        """Give the recipe as the file completes it, and what the file says."""
        recipe = job.recipe
        if job.source is not None:  # for workers and later readers in other folders
            recipe = recipe.on(job.source.absolute())
        source = recipe.input or Source()
        if job.source is None or recipe.deconvolution is None or source.recipe is not None:
            return recipe, None
        image = open_image(job.source, channel=source.channel, position=source.position)
        if recipe.psf is not None:
            _check_optics(recipe.psf, image)
            psf = psf_of_each(recipe.psf, image.channels)
            recipe = recipe.model_copy(update={"psf": psf})
        return recipe, image

    def _has_room(
        self, recipe: Recipe, image: Image | None, plans: Sequence[BlockPlan] = ()
    ) -> bool:
        """Tell whether all volumes fit into memory together, and one of them can be worked on."""
        free = room(memory_limit()) if current_client() is None else self._room_of_worker(recipe)
        working = max((plan.memory.host or plan.memory.device for plan in plans), default=0)
        return image is None or bool(_HELD * image.data.size + working < free)

    def _room_of_worker(self, recipe: Recipe) -> float:
        """Tell how many bytes of its machine's memory any worker may take for a whole file."""
        return min(self._place(recipe).free.host, memory_limit() or inf)

    def _place(self, recipe: Recipe) -> Place:
        """Find where whole files are computed; later ones are at work meanwhile."""
        with self._looking:
            if self._found is None:
                self._found = find_place(self._engine or recipe.engine or "auto", None)
            return self._found

    def _plans(self, recipe: Recipe, watch: Watch) -> list[BlockPlan]:
        way = PLANNED
        if _is_planned_by_what_is_left(recipe):
            way = replace(PLANNED, subtract=IN_BLOCKS.subtract)
        result = recipe.plan(engine=self._engine, way=way).run(watch, self._kept).result
        return result if isinstance(result, list) else [result]

    def _blocks(self, job: Job, recipe: Recipe, plans: Sequence[BlockPlan]) -> Blocks:
        """Settle the size of the blocks: the same for all channels, and for what is resumed."""
        asked = recipe.blocks or Blocks()
        block = min((plan.block for plan in plans), key=prod)
        if self._begun == "resume" and (given := begun_blocks(job.target)) is not None:
            block = given[-len(block) :]
        return asked.model_copy(update={"block": list(block)})


def _is_planned_by_what_is_left(recipe: Recipe) -> bool:
    """Tell whether the weight that tiles are planned for needs the image less its background.

    A level that is the same everywhere does not change it; ``"mean"`` cuts off what is below.
    """
    if recipe.deconvolution is None or recipe.background is None:
        return False
    done = recipe.deconvolution.method, recipe.deconvolution.regularization_weight
    return done == ("wiener", "auto") and recipe.background.method == "mean"


def _check_optics(psf: PsfSource, image: Image) -> None:
    """Refuse optics that are to take the image's voxel size, and have other axes."""
    for one in psf.channels or [psf]:
        optics = one.optics
        if optics is None or optics.spacing is not None or image.spacing is None:
            continue
        if len(optics.shape) != len(image.spacing):
            raise DeconvError(
                f"psf.optics.shape is {list(optics.shape)}, and the image has the axes "
                f"{', '.join(image.space.lower())}: give a number of voxels for each of them."
            )


def _more(job: Job) -> dict[str, Any]:
    """Give what is recorded besides: by which a result is known to be done."""
    return {} if job.source is None else {"checksum": job.checksum}


def _is_one_tile_each(plans: Sequence[BlockPlan]) -> bool:
    """Tell whether every volume is one tile."""
    return all(prod(plan.counts) == prod(plan.shape[: -len(plan.block)]) for plan in plans)
