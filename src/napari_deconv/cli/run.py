"""The command ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from napari_deconv.beads import Beads
from napari_deconv.cli.beads import report_beads
from napari_deconv.cli.psf import save_psf
from napari_deconv.cli.shell import (
    Command,
    check_output,
    options,
    progress,
    report,
    write_result,
)  # fmt: skip
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES, as_dtype
from napari_deconv.psf import Psf
from napari_deconv.recipe.plan import Outcome
from napari_deconv.recipe.recipe import Recipe

__all__ = ["run"]

_PATH = click.Path(path_type=Path)
_SUFFIXES = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr", "csv": ".csv"}


@click.command(
    cls=Command,
    examples=[
        "napari-deconv run recipe.yaml -o result.ome.tif",
        "napari-deconv run recipe.yaml cells2.ome.tif -o cells2_rl.ome.tif",
        "napari-deconv run recipe.yaml --dry-run",
    ],
)
@click.argument("recipe", type=_PATH)
@click.argument("image", type=_PATH, required=False, metavar="[INPUT]")
@options(
    click.option("-o", "--output", type=_PATH,
                 help="File to write. [default: the recipe's, or named after it]"),
    click.option("-e", "--engine", metavar="DEVICE",
                 help="Instead of the recipe's: auto, cpu, opencl or opencl:NAME."),
    click.option("--dry-run", is_flag=True, help="Print what would be called, and end."),
)  # fmt: skip
def run(
    recipe: Path, image: Path | None, output: Path | None, engine: str | None, dry_run: bool
) -> None:
    """Do what RECIPE says, with INPUT instead of its input where one is given."""
    read = Recipe.load(recipe)
    plan = read.plan(image, engine=engine)
    target = output or _default_output(read, recipe)
    check_output(target, [recipe, *map(Path, plan.files)], _suffixes(read))
    if dry_run:
        click.echo(f"{plan.to_python()}# to be written to {target}")
        return
    outcome = plan.run(progress)
    _write(target, outcome, read.output.dtype if read.output else None)


def _default_output(recipe: Recipe, path: Path) -> Path:
    asked = recipe.output
    if asked is not None and asked.path is not None:
        return Path(asked.path)
    kind = asked.format if asked is not None and asked.format is not None else _formats(recipe)[0]
    return Path(path.name.removesuffix(path.suffix) + _SUFFIXES[kind])


def _formats(recipe: Recipe) -> tuple[str, ...]:
    """Name the formats that the result can be written in, the default first."""
    return ("csv",) if recipe.last == "beads" else ("ome-tiff", "ome-zarr")


def _suffixes(recipe: Recipe) -> tuple[str, ...]:
    return (".csv",) if recipe.last == "beads" else IMAGE_SUFFIXES


def _write(output: Path, outcome: Outcome, dtype: str | None) -> None:
    """Write what was made, with the record of how, and say what it is."""
    result: Any = outcome.result
    if isinstance(result, Beads):
        result.to_csv(output)
        report_beads(result)
        report(f"Wrote {output}.")
        return
    if isinstance(result, Psf):
        save_psf(result, output)
        return
    if isinstance(result, Deconvolution):
        report(f"{result.stop_reason[:1].upper()}{result.stop_reason[1:]}.")
        result = result.image
    if np.ndim(result) == 0:
        report(f"The background is {result:.6g}; there is no image to write.")
        return
    if outcome.source is None:
        raise DeconvError("The recipe makes no image.")
    write_result(output, as_dtype(result, dtype), outcome.source, outcome.record)
