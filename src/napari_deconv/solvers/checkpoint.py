"""A solver's position, written down so that a later run goes on as if never interrupted."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_deconv.engines.protocol import Engine
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.richardson_lucy import Position

__all__ = ["Checkpoint", "load_position", "save_position"]

Checkpoint = dict[str, Any]
"""Numbers and NumPy arrays on the model's grid: nothing that belongs to a device."""


def save_position(position: Position, engine: Engine) -> Checkpoint:
    """Copy a position to the host."""
    accelerated = position.guess is not position.estimate
    return {
        "iteration": position.iteration,
        "divergence": position.divergence,
        "estimate": engine.to_numpy(position.estimate),
        "guess": engine.to_numpy(position.guess) if accelerated else None,
        "memory": {
            name: value if isinstance(value, int | float) else engine.to_numpy(value)
            for name, value in position.acceleration.memory().items()
        },
    }


def load_position(checkpoint: Checkpoint, acceleration: str | None, engine: Engine) -> Position:
    """Bring a position back to a device."""
    memory = {
        name: engine.asarray(value) if isinstance(value, np.ndarray) else value
        for name, value in checkpoint["memory"].items()
    }
    recalled = make_acceleration(acceleration, engine)
    recalled.recall(memory)
    x = engine.asarray(checkpoint["estimate"])
    guess = x if checkpoint["guess"] is None else engine.asarray(checkpoint["guess"])
    return Position(x, recalled, guess, checkpoint["iteration"], checkpoint["divergence"])
