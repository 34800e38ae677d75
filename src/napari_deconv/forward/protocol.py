"""What a forward model is, and what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine, Shape

__all__ = ["ForwardModel", "Observation"]


class ForwardModel(Protocol):
    """A linear map H from an object on a grid to the light on an image, with its adjoint Hᵀ.

    The image covers the grid's first voxels along each axis; the rest is the unknown surroundings.

    Attributes
    ----------
    engine : Engine
        Where it computes.
    grid : tuple of int
        Shape of objects.
    shape : tuple of int
        Shape of images.
    """

    engine: Engine
    grid: Shape
    shape: Shape

    def apply(self, estimate: Array, out: Array) -> None:
        """Hx into `out`, of the image's shape; `estimate` is kept."""
        ...

    def adjoint(self, light: Array, out: Array) -> None:
        """Hᵀy into `out`, of the grid's shape; `light` is kept."""
        ...


@dataclass(frozen=True)
class Observation:
    """What was recorded: y ≈ Hx + b where the mask M is 1.

    Attributes
    ----------
    data : Array
        y, not negative, 0 where masked; of the model's `shape`.
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
