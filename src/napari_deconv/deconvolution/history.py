"""What an iterative run went through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.solvers.position import CHECK_EVERY, Position

__all__ = ["COLUMNS", "History", "as_columns"]

COLUMNS = (
    "iteration", "divergence", "discrepancy", "held_out", "quality", "flux", "change", "step",
    "seconds",
)  # fmt: skip


class History:
    """One row for each measurement, in the image's units.

    Parameters
    ----------
    scale : float
        What to multiply with.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.rows: list[tuple[float, ...]] = []
        self._scale = scale
        self._started = time.perf_counter()

    def note(self, position: Position) -> bool:
        """Write down a position after a step, if it was measured before the step; tell whether."""
        measured = position.iteration - 1
        if measured % CHECK_EVERY:
            return False
        divergence = position.divergence * self._scale
        first = self.rows[0][1] if self.rows else divergence
        self.rows.append((
            measured,
            divergence,
            position.discrepancy,
            position.held_out,
            first / divergence if divergence > 0 else inf,
            position.flux * self._scale,
            position.change * self._scale,
            position.step,
            time.perf_counter() - self._started,
        ))  # fmt: skip
        return True

    @property
    def newest(self) -> dict[str, float]:
        """The last row by its columns' names; empty if there is none."""
        return dict(zip(COLUMNS, self.rows[-1], strict=True)) if self.rows else {}


def as_columns(
    histories: Sequence[History], leading: tuple[int, ...]
) -> dict[str, npt.NDArray[Any]]:
    """Collect the histories of a series: each column of shape (*leading, rows).

    Where one has fewer rows than another the rest is NaN, its iteration -1.
    """
    rows = max(len(history.rows) for history in histories)
    table = np.full((len(histories), rows, len(COLUMNS)), np.nan)
    table[..., 0] = -1
    for lines, history in zip(table, histories, strict=True):
        if history.rows:
            lines[: len(history.rows)] = history.rows
    columns = {
        name: table[..., column].reshape(*leading, rows) for column, name in enumerate(COLUMNS)
    }
    return columns | {"iteration": columns["iteration"].astype(int)}
