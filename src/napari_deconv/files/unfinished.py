"""What there is of a file that is written block by block, before it has its name.

All of it lies in a hidden folder beside the file, ``.NAME.part``: what the file was begun with, and
in a folder of the run that began it the unfinished image and a journal of the blocks that are on
disk. It stays there after a crash, for the run to be resumed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_deconv.errors import DeconvError
from napari_deconv.files.journal import Journal, read_json, write_json
from napari_deconv.files.layout import Layout

__all__ = ["Begun", "Unfinished", "begun", "begun_with_another", "discard", "written"]


@dataclass(frozen=True)
class Unfinished:
    """Where the parts of an unfinished file lie.

    Attributes
    ----------
    path : Path
        The final name.
    run : str
        Name of the run that began it. Workers that are still at a tile of an earlier run, which was
        given up, do not find their folder any more: they cannot write into this one.
    """

    path: Path
    run: str

    @property
    def store(self) -> Path:
        """The image."""
        return self._folder / "image"

    @property
    def replaced(self) -> Path:
        """Where an older image with the final name is while this one takes its place."""
        return _folder_of(self.path) / _REPLACED

    @property
    def journal(self) -> Journal:
        """Of the blocks that are on the disk."""
        return Journal(self._folder)

    def begin(self) -> None:
        """Make the folders."""
        self._folder.mkdir(parents=True)

    def note(self, with_: dict[str, Any]) -> None:
        """Write down what it was begun with, when all is made: from now on it can be resumed."""
        write_json(_folder_of(self.path) / _BEGUN, {**with_, "run": self.run})

    def take_back_torn(self) -> None:
        """Remove what Zarr was at when it was killed."""
        for torn in self._folder.rglob("*.partial"):
            torn.unlink()

    @property
    def _folder(self) -> Path:
        return _folder_of(self.path) / self.run


@dataclass(frozen=True)
class Begun:
    """What an unfinished file was begun with.

    Attributes
    ----------
    layout : Layout
        Its blocks.
    fingerprint : str
        As `BlockFile.open` was given it.
    with_ : dict
        All of it.
    parts : Unfinished
        Where it lies.
    """

    layout: Layout
    fingerprint: str
    with_: dict[str, Any]
    parts: Unfinished


def begun(path: str | os.PathLike[str]) -> Begun | None:
    """Give what an unfinished file was begun with, for a run that resumes it.

    Parameters
    ----------
    path : path-like
        The final name.

    Returns
    -------
    Begun or None
        None if there is nothing to go on with: nothing was begun, or it has its name already, or it
        was written from memory.
    """
    path = Path(path).absolute()
    record = read_json(_folder_of(path) / _BEGUN)
    if record is None or not record["fingerprint"]:
        return None
    parts = Unfinished(path, record.pop("run"))
    if not parts.store.exists():
        return None
    layout = Layout(tuple(record["shape"]), record["dtype"], tuple(record["blocks"]))
    return Begun(layout, record["fingerprint"], record, parts)


def written(path: str | os.PathLike[str]) -> int:
    """Count the blocks that are on the disk of a file that was begun, by its final name."""
    before = begun(path)
    return 0 if before is None else len(before.parts.journal.records())


def discard(path: str | os.PathLike[str]) -> None:
    """Give up what there is of a file; an older image with the final name stays."""
    path = Path(path)
    folder = _folder_of(path)
    # a folder without it is begun anew, should this be interrupted
    (folder / _BEGUN).unlink(missing_ok=True)
    if (folder / _REPLACED).exists() and not path.exists():
        (folder / _REPLACED).replace(path)
    shutil.rmtree(folder, ignore_errors=True)


def begun_with_another(path: Path, what: str, before: Any, now: Any) -> DeconvError:
    """Make the error about an unfinished file that does not fit what is to be written.

    Parameters
    ----------
    path : Path
        The final name.
    what : {"format", "shape", "dtype", "blocks", "fingerprint"}
        What differs.
    before, now : object
        Its values.
    """
    given = "" if what == "fingerprint" else f" ({before}, now {now})"
    return DeconvError(
        f"{path.name} was begun with another {_BEGUN_WITH[what]}{given}, and {written(path)} of "
        "its blocks are written. Give what it was begun with to go on, choose another name, or "
        "begin anew (in the shell with --redo)."
    )


_BEGUN, _REPLACED = "begun.json", "replaced"
_BEGUN_WITH = {
    "format": "format",
    "shape": "shape",
    "dtype": "dtype",
    "blocks": "size of blocks",
    "fingerprint": "input or other settings",
}


def _folder_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
