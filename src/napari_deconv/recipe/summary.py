"""What became of many files: a table that is up to date after each."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_deconv.beads import Beads
from napari_deconv.blocks import BlockDeconvolution
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.files import replacing
from napari_deconv.files.lock import in_turn

__all__ = ["COLUMNS", "Summary", "figures"]

COLUMNS = (
    "output", "file", "position", "status", "seconds", "voxels", "engine", "iterations",
    "stop_reason", "background", "gain", "divergence", "discrepancy", "held_out", "quality", "flux",
    "beads", "accepted", "checksum", "warnings", "error",
)  # fmt: skip
"""Of the table; ``quality`` and those before it are `Deconvolution.history`'s last values."""

_MEASURED = ("divergence", "discrepancy", "held_out", "quality", "flux")


class Summary:
    """A CSV of what became of each file, one row for each result.

    Parameters
    ----------
    path : Path
        Of the table. Rows that are in it of other results stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def row(self, output: str) -> dict[str, str]:
        """Give what is known of a result; empty if nothing is."""
        return self._rows().get(output, {})

    def put(self, row: Mapping[str, Any]) -> None:
        """Write a row, instead of the one of the same output, and the table in one step."""
        own = {row["output"]: {key: _text(value) for key, value in row.items()}}
        with in_turn(self.path):  # another process may be at other files of the same folder
            rows = self._rows() | own
            with replacing(self.path) as new, new.open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore")
                table.writeheader()
                table.writerows(rows[name] for name in sorted(rows))

    def _rows(self) -> dict[str, dict[str, str]]:
        if not self.path.is_file():
            return {}
        with self.path.open(newline="", encoding="utf-8") as file:
            return {row["output"]: row for row in csv.DictReader(file) if row.get("output")}


def figures(result: Any) -> dict[str, Any]:
    """Give the numbers of a result that belong into the table, means over volumes.

    Parameters
    ----------
    result : Deconvolution, BlockDeconvolution, Beads or array
        What a recipe has made.
    """
    if isinstance(result, Beads):
        return {"beads": len(result), "accepted": int(np.count_nonzero(result.accepted))}
    if not isinstance(result, Deconvolution | BlockDeconvolution):
        if np.ndim(result) == 0:
            return {"background": float(result)}
        return {"voxels": int(np.prod(np.shape(result)))}
    # Tiles are measured when they are written: `write_blocks` records it.
    history = result.history if isinstance(result, Deconvolution) else {}
    last = {name: _last(history, name) for name in _MEASURED if name in history}
    return {
        "voxels": result.image.size,
        "iterations": result.iterations,
        "stop_reason": result.stop_reason,
        "background": float(np.mean(result.background)),
        "gain": _mean(np.ravel(result.gain)),
        **last,
    }


def _last(history: Mapping[str, Any], name: str) -> float:
    """Take the last value of each volume, and their mean; NaN where it was never measured."""
    iterations, values = history["iteration"], history[name]
    rows = np.count_nonzero(iterations >= 0, axis=-1)[..., None] - 1
    if values.shape[-1] == 0:
        return np.nan
    return _mean(np.take_along_axis(values, np.maximum(rows, 0), -1).ravel())


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def _text(value: Any) -> str:
    """Write a number so that people can read it; nothing for what is not known."""
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return " ".join(str(value).split())
