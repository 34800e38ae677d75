"""How many threads and how much memory the engines may take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from napari_deconv._checks import check_number, check_whole
from napari_deconv.engines.protocol import format_bytes
from napari_deconv.errors import DeviceMemoryError

__all__ = [
    "cores",
    "limited_memory",
    "memory_limit",
    "require_within_limit",
    "room",
    "set_limits",
    "threads",
]


@dataclass
class _Limits:
    threads: int | None = None
    memory: float | None = None


_limits = _Limits()


def set_limits(threads: int | None = None, memory: float | None = None) -> None:
    """Limit what the engines of this process take, from the next operation on.

    Parameters
    ----------
    threads : int, optional
        Threads of the CPU engine; None takes all cores that this process may use, and more than
        those are never taken. Results do not depend on it, bit for bit. An OpenCL driver and the
        matrix products of NumPy have limits of their own, set before Python starts; so have the
        workers of a cluster, where tiles are refused under this one.
    memory : float, optional
        Bytes that the arrays of one operation may take on its device, CPU or GPU; None leaves it
        to the device. What needs more is refused before it starts. Tiles of a larger image take
        no more, also on a cluster.

    Raises
    ------
    DeconvError
        If `threads` is not a whole number of at least 1, or `memory` not a number above 0.
    """
    if threads is not None:
        check_whole(threads, "threads")
    if memory is not None:
        check_number(memory, "memory", low=1)
    _limits.threads, _limits.memory = threads, memory


@contextmanager
def limited_memory(most: float | None) -> Iterator[None]:
    """Limit the memory of an operation for a while, for all threads; None leaves it as it is."""
    before = _limits.memory
    _limits.memory = before if most is None else most
    try:
        yield
    finally:
        _limits.memory = before


def cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Count the threads that an operation on the CPU may use."""
    return min(cores(), _limits.threads or cores())


def memory_limit() -> float | None:
    """Tell how many bytes an operation may take, if that is limited."""
    return _limits.memory


def room(limit: float | None) -> float:
    """Tell how many bytes of this machine's memory may be taken now.

    Parameters
    ----------
    limit : float or None
        Bytes at most; None takes all that is free.
    """
    available = float(psutil.virtual_memory().available)
    return available if limit is None else min(available, limit)


def require_within_limit(nbytes: int, purpose: str) -> None:
    """Raise `DeviceMemoryError` if an operation needs more memory than the limit."""
    if _limits.memory is not None and nbytes > _limits.memory:
        raise DeviceMemoryError(
            f"{purpose} needs {format_bytes(nbytes)} of memory, the memory limit is "
            f"{format_bytes(_limits.memory)}: crop the image or the PSF, or raise the limit."
        )
