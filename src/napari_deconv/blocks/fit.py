"""How well the model explains a tile's own voxels: sums, which add up to those of the image."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.deconvolution.history import COLUMNS, History
from napari_deconv.deconvolution.volume import Volume
from napari_deconv.engines.protocol import Array
from napari_deconv.solvers.position import CHECK_EVERY, Position

__all__ = ["Fit", "FitOfOwn", "FittedTile", "Unmeasured", "figures_of", "fit_of", "in_all"]

# Voxels of a tile that are measured at once: they are copied, and there should be no need to count
# them in a tile's memory.
_AT_ONCE = 2**22

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Fit:
    """Sums over voxels, in the image's units.

    Attributes
    ----------
    first : float
        I-divergence of the estimate that the finest level starts from.
    divergence, flux : float
        I-divergence, and light of the model, Σ Hx, of the last estimate that `deconvolve` would
        measure: after every fifth iteration, before the last step.
    iterations : int
        Steps that were done.
    """

    first: float
    divergence: float
    flux: float
    iterations: int


@dataclass(frozen=True)
class FittedTile:
    """A tile as it is computed; it is indexed, and put together along new axes, as its voxels are.

    Attributes
    ----------
    voxels : ndarray of float32
        Without overlap.
    fit : Fit or None
        Of these voxels; None where nothing is measured.
    """

    voxels: npt.NDArray[np.float32]
    fit: Fit | None

    def __getitem__(self, index: Any) -> FittedTile:
        """Index the voxels: Dask does, to add an axis."""
        return FittedTile(self.voxels[index], self.fit)

    def __sizeof__(self) -> int:
        """Tell Dask what it would cost to send it elsewhere."""
        return sys.getsizeof(self.voxels) + self.voxels.nbytes


class Unmeasured:
    """Measures nothing."""

    fit: Fit | None = None

    def due(self, position: Position) -> bool:
        """Tell whether it is time to measure."""
        return False

    def measure(self, position: Position, light: Array) -> None:
        """Measure nothing."""


class FitOfOwn:
    """Measures a tile's own voxels, at the first and the last time that `deconvolve` would.

    Nothing in the tile depends on it: if it judged itself, it would go another way than its
    neighbours.

    Parameters
    ----------
    volume : Volume
        The tile with its overlap, on its own voxels.
    inside : sequence of slice
        Where its own voxels are (z, y, x).
    iterations : int
        Steps that will be done.
    """

    def __init__(self, volume: Volume, inside: Sequence[slice], iterations: int) -> None:
        self._engine = volume.model.engine
        self._seen = volume.observation
        self._scale = volume.scale
        self._iterations = iterations
        self._last = (iterations - 1) // CHECK_EVERY * CHECK_EVERY
        self._boxes = _boxes(inside, volume.shape)
        self._found: dict[int, tuple[float, float]] = {}

    @property
    def fit(self) -> Fit:
        """What was measured, once all steps are done."""
        (first, _), (last, flux) = (
            np.multiply(self._found[n], self._scale).tolist() for n in (0, self._last)
        )
        return Fit(first, last, flux, self._iterations)

    def due(self, position: Position) -> bool:
        """Tell whether it is the first or the last time."""
        return position.iteration in (0, self._last)

    def measure(self, position: Position, light: Array) -> None:
        """Measure the tile's own voxels; the solver is told nothing."""
        parts = [self._in_box(light, box) for box in self._boxes]
        divergence, flux = np.sum(parts, axis=0).tolist()
        self._found[position.iteration] = divergence, flux

    def _in_box(self, light: Array, box: Box) -> tuple[float, float]:
        engine, seen = self._engine, self._seen

        def crop(array: Array) -> Array:
            return array if array.size == 1 else engine.crop(array, box)

        own = crop(light)
        others = crop(seen.data), crop(seen.background), crop(seen.mask)
        return engine.divergence(own, *others, seen.floor), engine.sum(own)


def _boxes(inside: Sequence[slice], shape: Sequence[int]) -> list[Box]:
    """Cut a tile's own voxels along z into boxes that are measured at once."""
    planes, *area = (range(n)[part] for part, n in zip(inside, shape, strict=True))
    y, x = (slice(span.start, span.stop) for span in area)
    step = max(1, _AT_ONCE // prod(map(len, area)))
    starts = range(planes.start, planes.stop, step)
    return [(slice(start, min(start + step, planes.stop)), y, x) for start in starts]


def fit_of(history: History, iterations: int) -> Fit | None:
    """Take what was measured in a volume of its own; None if nothing was."""
    if not history.rows:
        return None
    first, last = (dict(zip(COLUMNS, history.rows[row], strict=True)) for row in (0, -1))
    return Fit(first["divergence"], last["divergence"], last["flux"], iterations)


def in_all(fits: Sequence[Fit | None]) -> Fit | None:
    """Add up what was measured; None unless all of it is known."""
    known = [fit for fit in fits if fit is not None]
    if not 0 < len(known) == len(fits):
        return None
    return Fit(
        first=sum(fit.first for fit in known),
        divergence=sum(fit.divergence for fit in known),
        flux=sum(fit.flux for fit in known),
        iterations=max(fit.iterations for fit in known),
    )


def figures_of(volumes: Mapping[Any, Sequence[Fit | None]]) -> dict[str, float]:
    """Give what `Deconvolution.history` ends with, as means over volumes.

    Parameters
    ----------
    volumes : mapping
        Of the tiles of each volume.

    Returns
    -------
    dict of str to float
        ``"divergence"``, ``"quality"`` and ``"flux"``, and the most ``"iterations"`` of any; empty
        unless all tiles were measured.
    """
    fits = [fit for tiles in volumes.values() if (fit := in_all(tiles)) is not None]
    if not fits or len(fits) < len(volumes):
        return {}
    qualities = [fit.first / fit.divergence for fit in fits if fit.divergence > 0]
    return {
        "divergence": float(np.mean([fit.divergence for fit in fits])),
        "flux": float(np.mean([fit.flux for fit in fits])),
        "iterations": max(fit.iterations for fit in fits),
    } | ({"quality": float(np.mean(qualities))} if qualities else {})
