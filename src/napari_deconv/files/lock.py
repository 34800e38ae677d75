"""One writer at a time, among all processes that see the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_deconv.errors import DeconvError
from napari_deconv.files.atomic import check_target, unwritten

__all__ = ["alone", "in_turn"]


def alone(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Keep others from writing a file; the system ends that with the process.

    What is called meanwhile in the same thread may write it, and say so again.

    Parameters
    ----------
    path : path-like
        The final name.

    Raises
    ------
    DeconvError
        If another process or thread is writing it, or it cannot be written.
    """
    return _locked(path, blocking=False)


def in_turn(path: str | os.PathLike[str]) -> AbstractContextManager[None]:
    """Wait until others have written a file, and keep them from it meanwhile.

    Parameters
    ----------
    path : path-like
        The final name.

    Raises
    ------
    DeconvError
        If it cannot be written.
    """
    return _locked(path, blocking=True)


@contextmanager
def _locked(path: str | os.PathLike[str], *, blocking: bool) -> Iterator[None]:
    path = Path(path).absolute()
    check_target(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    try:
        lock.acquire(blocking=blocking)
    except Timeout:
        raise DeconvError(
            f"{path} is being written by another run: wait until that has ended, or choose another "
            "name."
        ) from None
    except OSError as error:
        raise unwritten(path, error) from error
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            # While it is held: who waits for it sees that. Windows removes it by itself.
            with suppress(OSError):
                Path(lock.lock_file).unlink()
        lock.release()
