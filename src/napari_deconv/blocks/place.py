"""Where tiles are computed: in this process, or by the workers of the cluster that Dask is on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from napari_deconv.blocks.computing import current_client, wait_for_workers
from napari_deconv.blocks.memory import Memory, free_memory, within_limit
from napari_deconv.engines import Device, get_engine
from napari_deconv.engines.limits import cores, threads
from napari_deconv.errors import DeconvError

if TYPE_CHECKING:
    from distributed import Client, Worker

__all__ = ["Place", "find_place"]

_SHARE = 0.6
"""Of the memory that Dask grants a worker: at 0.8 it is paused, and Python takes some too."""


@dataclass(frozen=True)
class Place:
    """Where tiles are computed.

    Attributes
    ----------
    device : Device
        Of each process; of the one with the least memory, where they differ.
    free : Memory
        Bytes that a tile may take in any of them.
    workers : int or None
        How many processes of a cluster take a tile each; None is this process.
    """

    device: Device
    free: Memory
    workers: int | None = None

    def describe(self) -> str:
        """Say who does the tiles."""
        if self.workers is None:
            return "here, one tile after the other"
        return f"on {self.workers} worker{'' if self.workers == 1 else 's'}"


@dataclass(frozen=True)
class _Room:
    """What a worker has: machine, device, free memory, and what Dask grants it."""

    machine: str
    device: Device
    free: Memory
    granted: float

    def shared_by(self, workers: int) -> Memory:
        """Tell what each worker of the machine may take."""
        host = min(self.free.host / workers, self.granted)
        return Memory(host if self.device.kind == "CPU" else self.free.device, host)


def find_place(engine: str, limit: float | None) -> Place:
    """Find where Dask computes now, and how much memory a tile may take there.

    Parameters
    ----------
    engine : str
        Looked up where tiles are computed, on each worker.
    limit : float or None
        Bytes on the device that a tile may take; None takes that of `set_limits`.

    Returns
    -------
    Place
        Of a cluster as its workers are now. Those of one machine share what is free there, each
        graphics card is one worker's, and none takes more than its ``--memory-limit`` allows.

    Raises
    ------
    DeviceError
        If there is no such device.
    DeconvError
        If threads are limited, which workers would not know of.
    """
    client = current_client()
    if client is None:
        device = get_engine(engine).device
        return Place(device, within_limit(free_memory(device), device, limit))
    if threads() < cores():
        raise DeconvError(
            f"A limit of {threads()} threads is for this machine: the workers of a cluster take "
            "the cores that they were started with. Start them with fewer, by taskset or SLURM's "
            "cpus-per-task, and set no limit here."
        )
    rooms = _rooms(client, engine)
    sharing = Counter(room.machine for room in rooms)
    free = [room.shared_by(sharing[room.machine]) for room in rooms]
    least = Memory(min(each.device for each in free), min(each.host for each in free))
    device = min(zip(free, rooms, strict=True), key=lambda each: each[0].device)[1].device
    return Place(device, within_limit(least, device, limit), len(rooms))


def _rooms(client: Client, engine: str) -> list[_Room]:
    """Ask all workers; one that goes meanwhile does not count."""
    rooms: list[_Room] = []
    while not rooms:
        wait_for_workers(client)
        for answer in client.run(_room, engine, on_error="return").values():
            if isinstance(answer, _Room):
                rooms.append(answer)
            elif not isinstance(answer, OSError):  # not a lost connection
                raise answer
    return rooms


def _room(engine: str, dask_worker: Worker) -> _Room:
    """Tell what there is, on a worker."""
    device = get_engine(engine).device
    granted = dask_worker.memory_manager.memory_limit
    return _Room(dask_worker.ip, device, free_memory(device), _SHARE * granted if granted else inf)
