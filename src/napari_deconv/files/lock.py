"""One writer at a time, among all processes that see the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_deconv.errors import DeconvError
from napari_deconv.files.atomic import check_target
from napari_deconv.files.image import IMAGE_SUFFIXES

__all__ = ["alone"]


@contextmanager
def alone(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes from writing a file; the system ends that with the process.

    Parameters
    ----------
    path : path-like
        The final name.

    Raises
    ------
    DeconvError
        If another process, or another run in this one, is writing it; or if it cannot be written.
    """
    path = Path(path).absolute()
    check_target(path, IMAGE_SUFFIXES)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise DeconvError(
            f"{path} is being written by another run: wait until that has ended, or choose another "
            "name."
        ) from None
    except OSError as error:
        raise DeconvError(f"{path} cannot be written: {error.strerror or error}.") from error
    try:
        yield
    finally:
        # While it is held: so nobody can hold what is removed. Windows removes it by itself.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()
