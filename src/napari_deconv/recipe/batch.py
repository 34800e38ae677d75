"""A recipe done to many files: what is done is skipped, what fails is noted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from napari_deconv._progress import Callback
from napari_deconv.blocks import BlockPlan
from napari_deconv.blocks.computing import current_client
from napari_deconv.errors import DeconvError
from napari_deconv.files import provenance_of
from napari_deconv.recipe.jobs import Job, Workshop
from napari_deconv.recipe.notes import noted
from napari_deconv.recipe.plan import Watch, unwatched
from napari_deconv.recipe.summary import Summary

__all__ = ["LOG", "SUMMARY", "Batch", "line_of"]

SUMMARY, LOG = "summary.csv", "napari-deconv.log"

_MOST = 32
"""Files at once: of each the client has a thread, and graphs and headers in memory."""

_LOOK = 1.0
"""Seconds after which Ctrl-C is looked for: Windows does not interrupt a thread that waits."""

_GRACE = 5.0
"""Seconds in which jobs may end before the connection to the cluster is closed: then they must."""

Row = dict[str, Any]

Tell = Callable[[str, Sequence[BlockPlan]], object]

_log = logging.getLogger("napari_deconv")


def _untold(which: str, plans: Sequence[BlockPlan]) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Batch:
    """Jobs whose results go into one folder, with a table and a log of them.

    Attributes
    ----------
    jobs : sequence of Job
        What is to be done.
    workshop : Workshop
        What does it.
    folder : Path
        Where results, `SUMMARY` and `LOG` go.
    redo : bool
        Whether what is done already is done again.
    """

    jobs: Sequence[Job]
    workshop: Workshop
    folder: Path
    redo: bool = False

    def skips(self, job: Job) -> bool:
        """Tell whether a job is done already, and not to be done again.

        Raises
        ------
        DeconvError
            If a file that it needs is missing, or its result would replace a file that is none.
        """
        known = Summary(self.folder / SUMMARY).row(job.target.name).get("checksum", "")
        if job.target.exists() and not known and "operation" not in provenance_of(job.target):
            raise DeconvError(
                f"{job.target} is there already, and no result: move it, or choose another folder."
            )
        return not self.redo and job.is_done(known)

    def run(self, watch: Watch = unwatched, tell: Tell = _untold) -> Generator[Row]:
        """Do the jobs one after the other, or on a cluster as many at once as it has threads.

        When it is closed, jobs that are not done end, and no others begin.

        Parameters
        ----------
        watch : callable
            As for `Plan.run`, where they are done one after the other.
        tell : callable
            Called with the names of a file and its result, and with its plans, before its first
            tile is done; on a cluster by several threads.

        Yields
        ------
        dict
            What became of each: a row of the table, its ``status`` "done", "skipped" or "failed".
        """
        summary = Summary(self.folder / SUMMARY)
        with closing(self._rows(watch, tell)) as rows:
            for row in rows:
                if row["status"] != "skipped" or not summary.row(row["output"]):
                    summary.put(row | {"status": row["status"].replace("skipped", "done")})
                self._log(line_of(row))
                yield row

    def _rows(self, watch: Watch, tell: Tell) -> Generator[Row]:
        """Do the jobs, and give their rows in the order they are done in."""
        threads = min(_threads_of_cluster(), _MOST)
        if threads < 2:
            yield from (self._do(job, watch, tell) for job in self.jobs)
            return
        pool, stopped = ThreadPoolExecutor(threads), Event()
        pending: set[Future[Row]] = set()
        try:
            pending = {pool.submit(self._do, job, _until(stopped), tell) for job in self.jobs}
            while pending:
                done, pending = wait(pending, _LOOK, FIRST_COMPLETED)
                yield from (each.result() for each in done)
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            wait([each for each in pending if each.running()], _GRACE)

    def _log(self, line: str) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now().isoformat(' ', 'seconds')} {line}\n")

    def _do(self, job: Job, watch: Watch, tell: Tell) -> Row:
        row: Row = {"output": job.target.name, "file": str(job.source), "position": job.position}
        start = time.perf_counter()
        with noted() as notes:
            try:
                if self.skips(job):
                    return row | {"status": "skipped", "checksum": job.checksum}
                made = self.workshop.run(job, watch, partial(tell, _which(row)))
                row |= made.figures | {"status": "done", "checksum": job.checksum}
            except Exception as error:  # whatever is wrong with one file, the others are done
                row |= {"status": "failed", "error": _reason(error)}
        return row | {"seconds": time.perf_counter() - start, "warnings": " ".join(notes)}


def _threads_of_cluster() -> int:
    """Count the threads of the workers that Dask computes on; 0 without a cluster."""
    client = current_client()
    return 0 if client is None else sum(client.nthreads().values())


def _until(stopped: Event) -> Watch:
    """Watch nothing, but end what is watched when it is to be stopped."""

    def check(_: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def watch(step: str) -> Iterator[Callback]:
        check(step)
        yield check

    return watch


def line_of(row: Row) -> str:
    """Say in one line what became of a file."""
    what = f"{_which(row)}: {row['status']}"
    if row["status"] == "failed":
        return f"{what}: {row['error']}"
    if row["status"] == "skipped":
        return f"{what}, it is there, of this recipe and file"
    found = f", {row['accepted']} of {row['beads']} beads accepted" if "beads" in row else ""
    reason = f", {row['stop_reason']}" if "stop_reason" in row else ""
    return f"{what} in {row['seconds']:.1f} s{reason}{found}"


def _which(row: Row) -> str:
    place = f" ({row['position']})" if row["position"] else ""
    return f"{row['file']}{place} → {row['output']}"


def _reason(error: Exception) -> str:
    """Say what was wrong; an error that is not about the input is named."""
    _log.debug("Where the error comes from:", exc_info=True)
    text = " ".join(str(error).split())
    if isinstance(error, DeconvError):
        return text
    if isinstance(error, MemoryError):
        return f"out of memory {text}".strip()
    return f"{type(error).__name__}: {text}"
