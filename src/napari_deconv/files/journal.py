"""What was written so far: a line for each block, noted when the block is on the disk."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Journal", "flush", "read_json", "write_json"]


@dataclass(frozen=True)
class Journal:
    """Lines of JSON, appended by several processes at once.

    Each process has a file of its own, for a shared file system does not append in order. A line
    that a kill tore is skipped.

    Attributes
    ----------
    folder : Path
        Where the files lie.
    """

    folder: Path

    def note(self, record: dict[str, Any]) -> None:
        """Append a record; it is on the disk when this returns."""
        file = self.folder / f"{platform.node()}-{os.getpid()}.journal"
        # a line break in front as well: the last line may be torn
        line = f"\n{json.dumps(record)}\n".encode()
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def records(self) -> list[dict[str, Any]]:
        """Give what was noted."""
        lines = (
            line
            for file in self.folder.glob("*.journal")
            for line in file.read_bytes().split(b"\n")
        )
        return [record for line in lines if (record := _parsed(line)) is not None]


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a file of one record; None if there is none, or it was not written to its end."""
    return _parsed(path.read_bytes()) if path.is_file() else None


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a file of one record; it is on the disk when this returns."""
    path.write_text(json.dumps(record))
    flush(path)


def flush(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
