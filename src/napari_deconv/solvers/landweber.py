"""Landweber's iteration, and what the least-squares solvers share."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from napari_deconv.engines.protocol import Array
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.normalization import largest, start_where_seen
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["landweber", "step_size"]


def landweber(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
) -> Iterator[Position]:
    """Minimise |M(y − Hx − b)|² by steps straight down.

    x ← x + γ·Hᵀ[M·(y − Hx − b)] where N = HᵀM > 0.01, else 0 (Landweber, Am. J. Math. 73, 615,
    1951). Nothing keeps x from becoming negative; frequencies come in one after another, the
    weakest and noisiest last, so that the number of iterations is the regularisation.
    """
    engine, seen = model.engine, observation
    normalization = start_where_seen(model, observation, position)
    step = step_size(model, normalization)
    light, correction = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    for _ in range(iterations):
        model.apply(position.estimate, light)
        due = monitor.due(position)
        if due:
            monitor.measure(position, light)
        engine.residual(light, seen.data, seen.background, seen.mask)
        model.adjoint(light, correction)
        engine.descend(correction, position.estimate, step, normalization, -inf)
        if due:
            position.change = engine.largest_change(correction, position.estimate)
        position.estimate, correction = correction, position.estimate
        position.iteration += 1
        position.step = step
        yield position


def step_size(model: ForwardModel, normalization: Array) -> float:
    """γ = 1/(max H1 · max HᵀM), at most 1/|HᵀMH|: such steps go down all the way.

    Schur's bound: no element of MH is negative, so that the square of its norm is at most its
    largest sum along a row times that along a column. Both are 1 for a convolution with a PSF of
    sum 1 where the image is larger than the PSF.
    """
    engine = model.engine
    light = engine.full(model.shape, 0.0)
    model.apply(engine.full(model.grid, 1.0), light)
    return 1 / (largest(engine, light) * largest(engine, normalization))
