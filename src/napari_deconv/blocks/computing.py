"""Tasks of tiles: one after the other here, or as many at once as a cluster has workers."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import dask
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from dask.optimization import cull
from dask.utils import ensure_dict

from napari_deconv._progress import Callback, Progress
from napari_deconv.blocks.telling import listened_to
from napari_deconv.blocks.turn import forget_models
from napari_deconv.errors import DeconvError, DeconvWarning

if TYPE_CHECKING:
    from distributed import Client, as_completed

__all__ = ["compute_each", "current_client", "wait_for_workers"]

_RETRIES = 2
"""How often Dask tries a task again that failed with an error: a disk may be away for a moment."""

_LOOK = 10.0
"""Seconds after which it is looked again whether there are workers."""

_MOMENT = 0.05

Results = Generator[Any, None, None]


def compute_each(
    tasks: Sequence[Delayed], callback: Callback | None = None, before: int = 0
) -> Iterator[Any]:
    """Compute tasks where Dask computes, and give their results in the order they are done in.

    That is this thread, or while a `distributed.Client` is current its cluster, each of whose
    threads takes a task.

    Parameters
    ----------
    tasks : sequence of Delayed
        A process does one at a time, for the engine takes all cores or its device.
    callback : callable, optional
        Called with a `Progress` after each, and after each iteration of a tile that this thread is
        at, with the part of it that is done; while it waits for a cluster, again and again, to hear
        whether it is to end. What it raises ends the work; tasks that workers are at go on, others
        are not begun.
    before : int
        How many have been done before, and count.

    Raises
    ------
    DeconvError
        If a task cannot be done, workers die at it time after time, or the connection to the
        cluster is lost.

    Warns
    -----
    DeconvWarning
        If no worker is left: it waits for new ones.
    """
    total, client = before + len(tasks), current_client()
    done = before

    def tell(part: float = 0.0) -> None:
        if callback is not None:
            callback(Progress(done, total, part=part))

    computing = _one_by_one(tasks, tell) if client is None else _on_cluster(tasks, client, tell)
    with closing(computing) as results:
        for result in results:
            done += 1
            tell()
            yield result


def current_client() -> Client | None:
    """Give the cluster that Dask computes on in this process; None if it is none."""
    if dask.config.get("scheduler", None) != "dask.distributed":
        return None
    from distributed import Client

    return Client.current()


def wait_for_workers(client: Client) -> None:
    """Wait until a cluster has a worker, and say so if it has none."""
    if not client.nthreads():
        _say_alone()
        client.wait_for_workers(1)


def _one_by_one(tasks: Sequence[Delayed], listener: Callable[[float], object]) -> Results:
    # Tasks of blocks share one graph, all of which `task.compute` would go through for each.
    graph = ensure_dict(HighLevelGraph.merge(*(task.dask for task in tasks)))
    try:
        for task in tasks:
            own, _ = cull(graph, [task.key])
            with listened_to(listener):
                result = dask.get(own, task.key)
            yield result
    finally:
        forget_models()


def _on_cluster(
    tasks: Sequence[Delayed], client: Client, listener: Callable[[], object]
) -> Results:
    from distributed import CancelledError, KilledWorker, as_completed

    # Nothing else holds the futures: what nobody asks for any more is not computed again when the
    # worker that has done it dies.
    completed = as_completed(
        client.compute(tasks, retries=_RETRIES), loop=client.loop, with_results=True
    )
    try:
        yield from _as_done(completed, client, listener)
    except CancelledError as error:
        raise DeconvError(
            "The connection to the Dask scheduler was lost. Tiles that are written are kept: "
            "resume."
        ) from error
    except KilledWorker as error:
        raise DeconvError(
            f"{error.allowed_failures + 1} workers died at the same tile or file: it may need more "
            "memory than they have. Make the tiles smaller, or give each worker more memory."
        ) from error
    finally:
        if completed.futures:
            client.cancel(list(completed.futures))


def _as_done(completed: as_completed, client: Client, listener: Callable[[], object]) -> Results:
    """Give results as they are done; meanwhile look whether there is anybody to do them."""
    from distributed import CancelledError

    looked, alone = time.monotonic(), False
    while not completed.is_empty():
        if completed.has_ready():
            # It is here by now: to fetch it from a worker that dies would be to wait, unsaid.
            _, result = next(completed)
            if isinstance(result, CancelledError):
                raise result
            yield result
        elif time.monotonic() - looked < _LOOK:
            time.sleep(_MOMENT)
            listener()
        else:
            with suppress(OSError):  # a lost connection cancels the futures
                before, alone = alone, not client.nthreads()
                if alone and not before:
                    _say_alone()
            looked = time.monotonic()


def _say_alone() -> None:
    warnings.warn(
        "The Dask cluster has no workers: it goes on as soon as there is one. It can be stopped; "
        "what is written is kept.",
        DeconvWarning,
        stacklevel=2,
    )
