"""N = HᵀM: how much of each object voxel's light has been seen."""

from __future__ import annotations

from napari_deconv.engines.protocol import UPDATE_THRESHOLD, Array, Engine
from napari_deconv.errors import DeconvError
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.position import Position

__all__ = ["largest", "make_normalization", "start_where_seen"]


def make_normalization(model: ForwardModel, observation: Observation) -> Array:
    """N = HᵀM on the grid: the part of its light that each voxel sends into the data."""
    engine, mask = model.engine, observation.mask
    normalization = engine.full(model.grid, 0.0)
    ones = mask if mask.size > 1 else engine.full(model.shape, 1.0)
    model.adjoint(ones, normalization)
    return normalization


def start_where_seen(model: ForwardModel, observation: Observation, position: Position) -> Array:
    """Make N; at the start set what sends less than 1 % of its light into the data to 0.

    Raises
    ------
    DeconvError
        If no voxel can be seen in the data.
    """
    engine = model.engine
    normalization = make_normalization(model, observation)
    if position.iteration == 0:
        # x·N/N
        engine.update(position.estimate, normalization, normalization)
    if not largest(engine, normalization) > UPDATE_THRESHOLD:
        raise DeconvError(
            "No voxel sends more than 1 % of its light into the image: the PSF is far wider "
            "than the image. Check the PSF's voxel size, or crop it."
        )
    return normalization


def largest(engine: Engine, array: Array) -> float:
    """Tell the largest value of an array, whatever its sign."""
    return engine.largest_change(array, engine.full(array.shape, 0.0))
