"""What a forward model is, and what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine, Shape

__all__ = ["ForwardModel", "Observation"]


class ForwardModel(Protocol):
    """A linear map H from an object on a grid to the light on the same grid, with its adjoint Hᵀ.

    The data cover the grid's first voxels along each axis; the rest is the unknown surroundings.
    """

    engine: Engine
    grid: Shape

    def apply(self, estimate: Array, out: Array) -> None:
        """Hx into `out`; `estimate` is kept unless it is `out`."""
        ...

    def adjoint(self, residual: Array, out: Array) -> None:
        """Hᵀr into `out`; `residual` is kept unless it is `out`."""
        ...


@dataclass(frozen=True)
class Observation:
    """What was recorded: y ≈ Hx + b where the mask M is 1.

    Attributes
    ----------
    data : Array
        y, not negative, 0 where masked; its shape is Ω.
    background : Array
        b, of the data's shape or (1, 1, 1).
    mask : Array
        M, of the data's shape or (1, 1, 1).
    floor : float
        Smallest value of Hx + b to divide by.
    """

    data: Array
    background: Array
    mask: Array
    floor: float
