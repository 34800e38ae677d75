"""A recipe done to many files, as the terminal shows it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Lock

import click
from tqdm import tqdm

from napari_deconv.blocks import BlockPlan
from napari_deconv.blocks.computing import current_client
from napari_deconv.blocks.plan import say_time
from napari_deconv.cli.shell import is_quiet, note, progress, report
from napari_deconv.errors import DeconvError
from napari_deconv.files.unfinished import begun
from napari_deconv.recipe.batch import SUMMARY, Batch, line_of

__all__ = ["make_folder", "preview_batch", "run_batch", "told"]

_FAILED = 1


def make_folder(folder: Path) -> None:
    """Make the folder of the results, if there is one to make it in."""
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError:
        raise DeconvError(
            f"There is no folder {folder.parent} to make {folder.name} in: make it first."
        ) from None
    except OSError as error:
        raise DeconvError(f"{folder} cannot be made: {error.strerror or error}.") from error


def run_batch(batch: Batch) -> None:
    """Do all jobs, with a line and a bar for each; ends with exit code 1 if one failed."""
    count = len(batch.jobs)
    rows = []
    quiet = is_quiet()
    hidden = quiet or None  # None hides the bar where stderr is no terminal
    times: dict[str, float] = {}
    measuring = Lock()

    def tell(which: str, plans: Sequence[BlockPlan]) -> None:
        """Say how a file is cut, before it begins: in another thread than the command's."""
        if not quiet:
            try:
                with measuring:
                    lines = told(plans, times)
            except DeconvError:  # what a short run lacks, the file may not
                lines = [plan.describe() for plan in plans]
            tqdm.write(f"{which}: {' '.join(lines)}", file=sys.stderr)

    try:
        with (
            tqdm(total=count, desc="files", file=sys.stderr, disable=hidden, leave=False) as bar,
            closing(batch.run(progress, tell)) as each,
        ):
            for row in each:
                rows.append(row)
                note(f"[{len(rows)}/{count}] {line_of(row)}")
                bar.update()
    except KeyboardInterrupt:
        finished = {row["output"] for row in rows if row["status"] != "failed"}
        others = [job.target for job in batch.jobs if job.target.name not in finished]
        begins = any(begun(target) is not None for target in others)
        command = "the same command with --resume" if begins else "the same command"
        raise KeyboardInterrupt(
            f"{len(finished)} of {count} files were done: {command} does the others"
        ) from None
    statuses = [row["status"] for row in rows]
    done, skipped = statuses.count("done"), statuses.count("skipped")
    failed = [row for row in rows if row["status"] == "failed"]
    report(f"{done} done, {skipped} skipped, {len(failed)} failed: see {batch.folder / SUMMARY}.")
    if failed:
        click.echo(f"error: {len(failed)} of {count} files failed:", err=True)
        for row in failed:
            click.echo(f"  {line_of(row)}", err=True)
        click.get_current_context().exit(_FAILED)


def preview_batch(batch: Batch) -> None:
    """Print what would be done to each file."""
    times: dict[str, float] = {}
    for number, job in enumerate(batch.jobs):
        try:
            skipped = batch.skips(job)
            plans = [] if skipped and number else batch.workshop.plans(job, progress)
            if number == 0:
                click.echo(batch.workshop.script(job, plans))
            lines = ["it is there, and skipped"] if skipped else told(plans, times)
        except DeconvError as error:
            lines = [f"would fail: {error}"]
        place = f" ({job.position})" if job.position else ""
        click.echo(f"# {job.source}{place} → {job.target}")
        for line in lines:
            click.echo(f"#     {line}")


def told(plans: Sequence[BlockPlan], times: dict[str, float]) -> list[str]:
    """Say how a file is cut into tiles, and how long these take, line by line.

    Parameters
    ----------
    plans : sequence of BlockPlan
        Of each channel that has its own PSF; none where it is done in one piece.
    times : dict
        Seconds that plans take, by what they say: each is measured once, and kept here.
    """
    if not plans:
        return ["in memory, in one piece" + (", on a worker" if current_client() else "")]
    each = [plan.describe() for plan in plans]
    for text, plan in zip(each, plans, strict=True):
        if text not in times:
            times[text] = plan.seconds()
    total = sum(times[text] for text in each)
    return [*dict.fromkeys(each), say_time(total, plans[0].place)]
