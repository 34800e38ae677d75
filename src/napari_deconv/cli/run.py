"""The command ``run``."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeGuard

import click
from tqdm import tqdm

from napari_deconv.beads import Beads
from napari_deconv.blocks import BlockPlan, use_cluster
from napari_deconv.cli.batch import make_folder, preview_batch, run_batch, told
from napari_deconv.cli.beads import report_beads
from napari_deconv.cli.limits import limited
from napari_deconv.cli.psf import report_psf
from napari_deconv.cli.shell import (
    RecipeCommand,
    check_output,
    is_quiet,
    micrometres,
    note,
    options,
    progress,
    report,
)  # fmt: skip
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES
from napari_deconv.files.unfinished import begun
from napari_deconv.psf import Psf
from napari_deconv.recipe.batch import Batch
from napari_deconv.recipe.inputs import find_inputs
from napari_deconv.recipe.jobs import Job, Workshop, jobs_of
from napari_deconv.recipe.notes import noted
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.recipe.results import suffix_of, suffixes_of
from napari_deconv.recipe.whole import Made

__all__ = ["run"]

_PATH = click.Path(path_type=Path)


def _print_schema(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        click.echo(json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False))
        ctx.exit()


@click.command(
    cls=RecipeCommand,
    examples=[
        "napari-deconv run recipe.yaml -o result.ome.tif",
        "napari-deconv run recipe.yaml cells2.ome.tif -o cells2_rl.ome.tif",
        "napari-deconv run recipe.yaml data/*.ome.tif --output results",
        "napari-deconv run recipe.yaml 'data/**/*.zarr' --output results --dry-run",
        "napari-deconv run recipe.yaml sheet.ome.zarr -o sheet_rl.ome.zarr --memory 8 --resume",
        "napari-deconv run recipe.yaml data --output results --scheduler tcp://node17:8786",
    ],
)
@click.argument("recipe", type=_PATH)
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@options(
    click.option("-o", "--output", type=_PATH,
                 help="File to write; or the folder of the results, made if missing. [default: the "
                 "recipe's, or named after it]"),
    click.option("--redo", is_flag=True,
                 help="Do again what is there already, of the same recipe and input; and begin "
                 "anew what an interrupted run has begun."),
    click.option("--resume", is_flag=True,
                 help="Finish results that an interrupted run has begun block by block."),
    click.option("--scheduler", metavar="tcp://…|FILE.json",
                 help="Compute on this Dask cluster: its address or scheduler file."),
    limited(click.option("-e", "--engine", metavar="DEVICE",
                         help="Instead of the recipe's: auto, cpu, opencl or opencl:NAME."),
            "What it may take: on a processor the whole process stays below it, on a graphics card "
            "the arrays of a tile do. What needs more is deconvolved in tiles."),
    click.option("--dry-run", is_flag=True,
                 help="Print what would be called, and how each INPUT would be cut; and end."),
    click.option("--schema", is_flag=True, is_eager=True, expose_value=False,
                 callback=_print_schema, help="Print the JSON schema of recipes, and end."),
)  # fmt: skip
def run(
    recipe: Path,
    inputs: tuple[str, ...],
    output: Path | None,
    redo: bool,
    resume: bool,
    scheduler: str | None,
    engine: str | None,
    dry_run: bool,
) -> None:
    """Do what RECIPE says, to each INPUT instead of its input where some are given.

    INPUTs are files, OME-Zarrs, folders of these, or patterns ('data/**/*.tif'). With several, or
    where --output is a folder, each result is named after its input there. What is done is skipped:
    each result keeps a checksum of recipe and input. After a file that fails the others are done,
    and the exit code is 1. The folder gets summary.csv and napari-deconv.log.

    What does not fit into memory is deconvolved in tiles and written block by block.
    """
    read = Recipe.load(recipe)
    sources = find_inputs(inputs or [path for path in [read.path] if path])
    with use_cluster(scheduler) if scheduler else nullcontext():
        # Not `note`, which knows of -q in this thread only.
        say = None if is_quiet() else partial(tqdm.write, file=sys.stderr)
        workshop = Workshop(engine, "resume" if resume else "anew" if redo else "refuse", say)
        if _is_folder(output, inputs, sources):
            _do_all(Batch(jobs_of(read, sources, output), workshop, output, redo), dry_run)
            return
        target = output or _default_output(read, recipe)
        source = sources[0] if sources else None
        job = Job(read if source is None else read.on(source), source, target)
        _do_one(job, workshop, recipe, dry_run)


def _do_all(batch: Batch, dry_run: bool) -> None:
    if dry_run:
        preview_batch(batch)
    else:
        make_folder(batch.folder)
        run_batch(batch)


def _do_one(job: Job, workshop: Workshop, recipe: Path, dry_run: bool) -> None:
    files = map(Path, job.recipe.plan().files)
    check_output(job.target, [recipe, *files], suffixes_of(job.recipe))
    if dry_run:
        plans = workshop.plans(job, progress)
        click.echo(workshop.script(job, plans), nl=False)
        for line in told(plans, {}):
            click.echo(f"# {line}")
        click.echo(f"# to be written to {job.target}")
        return
    try:
        with noted():
            made = workshop.run(job, progress, _tell)
    except KeyboardInterrupt:
        if begun(job.target) is None:
            raise
        raise KeyboardInterrupt(
            f"the blocks of {job.target} that are done are kept: --resume goes on with them"
        ) from None
    _report(job.target, made)


def _tell(plans: Sequence[BlockPlan]) -> None:
    """Say how the image is cut, before it begins."""
    for line in told(plans, {}):
        note(line)


def _is_folder(
    output: Path | None, inputs: Sequence[str], sources: Sequence[Path]
) -> TypeGuard[Path]:
    """Tell whether there is one result for each input, in a folder."""
    several = len(sources) > 1 or any(glob.has_magic(name) or _holds(name) for name in inputs)
    named = output is not None and output.suffix.lower() in (*IMAGE_SUFFIXES, ".csv")
    if several and (output is None or named):
        given = "is missing" if output is None else f"{output} is the name of a file"
        raise DeconvError(
            f"--output {given}: with several INPUTs, {len(sources)} here, give a folder."
        )
    if output is None or named or not sources:
        return False
    return several or output.is_dir() or not output.suffix


def _holds(name: str) -> bool:
    """Tell whether an INPUT is a folder that holds images."""
    return Path(name).is_dir() and Path(name).suffix.lower() != ".zarr"


def _default_output(recipe: Recipe, path: Path) -> Path:
    if recipe.output is not None and recipe.output.path is not None:
        return Path(recipe.output.path)
    return Path(path.name.removesuffix(path.suffix) + suffix_of(recipe))


def _report(target: Path, made: Made) -> None:
    """Say what was made."""
    if isinstance(made.result, Psf):
        report_psf(made.result, target)
        return
    if isinstance(made.result, Beads):
        report_beads(made.result)
        report(f"Wrote {target}.")
        return
    reason = made.figures.get("stop_reason")
    if reason is not None:
        report(f"{reason[:1].upper()}{reason[1:]}.")
    if not made.shape:
        report(f"The background is {made.figures['background']:.6g}; there is no image to write.")
        return
    voxel = "no voxel size" if made.spacing is None else micrometres(made.spacing)
    report(f"Wrote {target}: {' × '.join(map(str, made.shape))} voxels of {voxel}.")
