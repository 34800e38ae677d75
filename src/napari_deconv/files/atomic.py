"""Files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import psutil

from napari_deconv.errors import DeconvError

__all__ = ["check_target", "put_in_place", "replacing", "unwritten"]


def check_target(path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> None:
    """Check where a file is to be written, before the work is done.

    Parameters
    ----------
    path : path-like
        The file to write.
    suffixes : sequence of str
        Endings it may have, lower case; none stand for any.

    Raises
    ------
    DeconvError
        If the ending is another, the folder is missing or cannot be written to, or `path` is a
        folder that is no Zarr store.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise DeconvError(f"{path.name} does not end in {' or '.join(suffixes)}: rename it.")
    if not path.parent.is_dir():
        raise DeconvError(f"There is no folder {path.parent} to write {path.name} in.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DeconvError(
            f"{path} cannot be written: you may not write in the folder {path.parent.resolve()}. "
            "Choose another."
        )
    if path.is_dir() and not (path.suffix.lower() == ".zarr" and _is_store(path)):
        raise DeconvError(f"{path} is a folder: give the name of a file.")
    if path.suffix.lower() == ".zarr" and path.is_file():
        raise DeconvError(f"{path} is a file: give the name of a folder to write.")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the same folder, renamed to `path` only if the block succeeds.

    What a process of this machine left of the same file when it was killed is removed.

    Parameters
    ----------
    path : path-like
        The final name; an existing file is replaced in one step.

    Yields
    ------
    Path
        Where to write. On any failure, Ctrl-C included, it is removed and `path` is untouched.

    Raises
    ------
    DeconvError
        If the folder is missing or cannot be written to, the disk is full, or `path` is a folder.
    """
    path = Path(path)
    check_target(path)
    of_machine = f".{path.name}.{platform.node()}-"
    temporary = path.with_name(f"{of_machine}{os.getpid()}.part")
    try:
        for left in path.parent.glob(f"{escape(of_machine)}*.part"):
            process = left.name[len(of_machine) : -len(".part")]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                left.unlink(missing_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def unwritten(path: Path, error: OSError) -> DeconvError:
    """Make the error about a file that the system does not let be written."""
    # NumPy counts what it wrote, and gives no reason
    reason = error.strerror or f"the disk seems to be full ({error})"
    return DeconvError(f"{path} cannot be written: {reason}.")


def put_in_place(new: Path, path: Path, aside: Path) -> None:
    """Give a finished file or Zarr store its name, in place of one that is there.

    Parameters
    ----------
    new : Path
        What was written, on the same disk as `path`.
    path : Path
        The final name.
    aside : Path
        Where to move a store that is there: a folder cannot be replaced in one step.

    Raises
    ------
    OSError
        If the system refuses; an older file or store is back under its name.
    """
    if path.is_dir():
        path.replace(aside)
    try:
        new.replace(path)
    except OSError:
        if aside.exists():
            aside.replace(path)
        raise


def _is_store(path: Path) -> bool:
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup"))
