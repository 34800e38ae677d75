"""Tasks of tiles: one after the other here, or as many at once as a cluster has workers."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import dask
from dask.delayed import Delayed

from napari_deconv._progress import Callback, Progress
from napari_deconv.errors import DeconvError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["compute_each", "current_client"]

_RETRIES = 2
"""How often Dask tries a task again that failed with an error: a disk may be away for a moment."""

Results = Generator[Any, None, None]


def compute_each(
    tasks: Sequence[Delayed], client: Client | None, callback: Callback | None, before: int = 0
) -> Iterator[Any]:
    """Compute tasks and give their results, in the order in which they are done.

    Parameters
    ----------
    tasks : sequence of Delayed
        A process does one at a time, for the engine takes all cores or its device.
    client : distributed.Client or None
        A cluster, each of whose threads takes one; None computes here.
    callback : callable or None
        Called with a `Progress` after each. What it raises ends the work; tasks that workers are at
        go on, others are not begun.
    before : int
        How many have been done before, and count.

    Raises
    ------
    DeconvError
        If a task cannot be done, workers die at it time after time, or the connection to the
        cluster is lost.
    """
    total = before + len(tasks)
    with closing(_one_by_one(tasks) if client is None else _on_cluster(tasks, client)) as results:
        for done, result in enumerate(results, before + 1):
            if callback is not None:
                callback(Progress(done, total))
            yield result


def current_client() -> Client | None:
    """Give the cluster that Dask computes on in this process; None if it is none."""
    if dask.config.get("scheduler", None) != "dask.distributed":
        return None
    from distributed import Client

    return Client.current()


def _one_by_one(tasks: Sequence[Delayed]) -> Results:
    for task in tasks:
        yield task.compute(scheduler="synchronous")


def _on_cluster(tasks: Sequence[Delayed], client: Client) -> Results:
    from distributed import CancelledError, KilledWorker, as_completed

    # Nothing else holds the futures: what nobody asks for any more is not computed again when the
    # worker that has done it dies.
    completed = as_completed(client.compute(tasks, retries=_RETRIES), loop=client.loop)
    try:
        for future in completed:
            yield future.result()
    except CancelledError as error:
        raise DeconvError(
            "The connection to the Dask scheduler was lost. What is written is kept: resume."
        ) from error
    except KilledWorker as error:
        raise DeconvError(
            f"{error.allowed_failures + 1} workers died at the same block: it may need more memory "
            "than they have. Make the blocks smaller, or give each worker more memory."
        ) from error
    finally:
        if completed.futures:
            client.cancel(list(completed.futures))
