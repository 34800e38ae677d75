"""Regularisation inside the Richardson–Lucy update: what the correction is divided by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine

__all__ = [
    "REGULARIZATIONS",
    "Regularization",
    "TotalVariation",
    "Unregularized",
    "make_regularization",
]

REGULARIZATIONS = (None, "tv")


class Regularization(Protocol):
    """Turns the normalisation N = HᵀM into the divisor of the update."""

    def divisor(self, estimate: Array, normalization: Array) -> Array:
        """Make the divisor for a step from `estimate`."""
        ...


class Unregularized:
    """x ← x·Hᵀ[…]/N."""

    def divisor(self, estimate: Array, normalization: Array) -> Array:
        """Take N itself."""
        return normalization


class TotalVariation:
    """x ← x·Hᵀ[…]/(N − λ·div(∇x/|∇x|)) (Dey et al., Microsc. Res. Tech. 69, 260, 2006).

    Parameters
    ----------
    engine : Engine
        Where to compute.
    weight : float
        λ, useful from 5e-4 to 2e-2, in units of the finest voxel step.
    spacing : sequence of float
        Voxel size (z, y, x) in any unit: only the ratios count.
    """

    def __init__(self, engine: Engine, weight: float, spacing: Sequence[float]) -> None:
        self._engine = engine
        self._weight = weight
        self._steps = tuple(step / min(spacing) for step in spacing)
        self._divisor: Array | None = None

    def divisor(self, estimate: Array, normalization: Array) -> Array:
        """Make N − λ·div(∇x/|∇x|), at least N/10."""
        if self._divisor is None:
            self._divisor = self._engine.full(estimate.shape, 0.0)
        self._engine.total_variation(
            estimate, self._steps, self._weight, normalization, self._divisor
        )
        return self._divisor


def make_regularization(
    name: str | None, weight: float, spacing: Sequence[float], engine: Engine
) -> Regularization:
    """Make one of `REGULARIZATIONS`."""
    return TotalVariation(engine, weight, spacing) if name == "tv" else Unregularized()
