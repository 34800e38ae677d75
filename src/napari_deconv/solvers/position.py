"""Where an iterative solver stands, how it is measured, and how it is written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan, prod
from typing import Any, Protocol

import numpy as np

from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.forward import ForwardModel, Observation

__all__ = [
    "CHECK_EVERY",
    "Checkpoint",
    "DataMonitor",
    "Memory",
    "Monitor",
    "Position",
    "Solver",
    "load_position",
    "save_position",
]

CHECK_EVERY = 5
"""Iterations from one measurement to the next: an I-divergence costs a logarithm a voxel."""

Memory = dict[str, "float | Array"]
"""What a solver needs besides the estimate to go on as if never interrupted."""

Checkpoint = dict[str, Any]
"""Numbers and NumPy arrays on the model's grid: nothing that belongs to a device."""


@dataclass
class Position:
    """Where a solver stands; it changes with every iteration.

    Attributes
    ----------
    estimate : Array
        x on the model's grid.
    iteration : int
        Steps done.
    divergence : float
        I-divergence of the last estimate that was measured, NaN before the first.
    discrepancy : float
        D = 2·mean[y·ln(y/u) − y + u] in photons, measured with it; NaN if photons are not counted.
    held_out : float
        The same between the model and photons that are kept aside; NaN if there are none.
    flux : float
        Σ Hx over the image, measured with the divergence.
    change : float
        Largest change of a voxel in the step after that.
    step : float
        Step size, or how far the last step was extrapolated.
    memory : Memory
        The solver's own.
    """

    estimate: Array
    iteration: int = 0
    divergence: float = nan
    discrepancy: float = nan
    held_out: float = nan
    flux: float = nan
    change: float = nan
    step: float = nan
    memory: Memory = field(default_factory=dict)


class Monitor(Protocol):
    """Measures estimates on a solver's way."""

    def due(self, position: Position) -> bool:
        """Tell whether it is time to measure."""
        ...

    def measure(self, position: Position, light: Array) -> None:
        """Measure an estimate by its light Hx, of the image's shape, which is kept."""
        ...


class DataMonitor:
    """Writes into a position, every fifth iteration, what its light says about all of the image.

    Parameters
    ----------
    model : ForwardModel
        H.
    observation : Observation
        y, b and M.
    counts : Observation, optional
        The same less the camera's offset, to tell the discrepancy.
    held_out : Observation, optional
        Photons that are kept aside, less the offset.
    photon, held_photon : float
        One photon in the units of the data, and one of those that are kept aside.
    """

    def __init__(
        self,
        model: ForwardModel,
        observation: Observation,
        counts: Observation | None = None,
        held_out: Observation | None = None,
        photon: float = 1.0,
        held_photon: float = 1.0,
    ) -> None:
        self._engine = model.engine
        self._observation = observation
        self._counts = counts
        self._held_out = held_out
        voxels, mask = prod(model.shape), observation.mask
        counted = model.engine.sum(mask) * (voxels if mask.size == 1 else 1)
        self._per_voxel = 2 / (photon * counted)
        self._held_per_voxel = 2 / (held_photon * counted)

    def due(self, position: Position) -> bool:
        """Tell whether it is time to measure."""
        return position.iteration % CHECK_EVERY == 0

    def measure(self, position: Position, light: Array) -> None:
        """Write divergence, flux and what else can be told into the position."""
        position.divergence = self._divergence(light, self._observation)
        position.flux = self._engine.sum(light)
        if self._counts is not None:
            position.discrepancy = self._per_voxel * self._divergence(light, self._counts)
        if self._held_out is not None:
            position.held_out = self._held_per_voxel * self._divergence(light, self._held_out)

    def _divergence(self, light: Array, seen: Observation) -> float:
        return self._engine.divergence(light, seen.data, seen.background, seen.mask, seen.floor)


class Solver(Protocol):
    """Inverts any forward model, one step at a time.

    A solver's own docstring names only what it takes besides.
    """

    def __call__(
        self,
        model: ForwardModel,
        observation: Observation,
        position: Position,
        iterations: int,
        monitor: Monitor,
    ) -> Iterator[Position]:
        """Do steps from a position and yield it, changed in place, after each.

        Parameters
        ----------
        model : ForwardModel
            H.
        observation : Observation
            y, b and M.
        position : Position
            Where to start; updated in place.
        iterations : int
            Number of steps to do, at most where a solver ends by itself.
        monitor : Monitor
            Measures on the way.

        Yields
        ------
        Position
            The same object after each step.

        Raises
        ------
        DeconvError
            If no voxel can be seen in the data.
        """
        ...


def save_position(position: Position, engine: Engine) -> Checkpoint:
    """Copy a position to the host."""

    def save(value: Any) -> Any:
        return value if isinstance(value, int | float) else engine.to_numpy(value)

    return {
        "iteration": position.iteration,
        "divergence": position.divergence,
        "estimate": save(position.estimate),
        "memory": {name: save(value) for name, value in position.memory.items()},
    }


def load_position(checkpoint: Checkpoint, engine: Engine) -> Position:
    """Bring a position back to a device."""

    def load(value: Any) -> Any:
        return engine.asarray(value) if isinstance(value, np.ndarray) else value

    return Position(
        load(checkpoint["estimate"]),
        checkpoint["iteration"],
        checkpoint["divergence"],
        memory={name: load(value) for name, value in checkpoint["memory"].items()},
    )
