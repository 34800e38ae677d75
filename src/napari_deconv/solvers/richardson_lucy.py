"""Richardson–Lucy with the background in the model, for any forward model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

from napari_deconv.engines.protocol import Array
from napari_deconv.errors import DeconvError
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.acceleration import Acceleration
from napari_deconv.solvers.regularization import Regularization

__all__ = ["CHECK_EVERY", "Position", "richardson_lucy"]

CHECK_EVERY = 5
"""Iterations from one I-divergence to the next: it costs a logarithm a voxel."""


@dataclass
class Position:
    """Where the solver stands; it changes with every iteration.

    Attributes
    ----------
    estimate : Array
        x on the model's grid.
    acceleration : Acceleration
        How p follows from the estimates.
    guess : Array or None
        p, where the next step starts from; None before the first.
    iteration : int
        Steps done.
    divergence : float
        I-divergence of the last estimate it was computed for, NaN before the first.
    """

    estimate: Array
    acceleration: Acceleration
    guess: Array | None = None
    iteration: int = 0
    divergence: float = nan


def richardson_lucy(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    regularization: Regularization,
) -> Iterator[Position]:
    """Maximise the Poisson likelihood of the data, one step at a time.

    x ← p/N · Hᵀ[M·y/(Hp + b)], N = HᵀM, where N > 0.01, else 0; then p is extrapolated from the
    last steps, and the extrapolation starts anew when the I-divergence has risen. A voxel that
    starts at 0 stays 0. (Richardson 1972; Lucy 1974; background and boundary: Bertero & Boccacci,
    Astron. Astrophys. 437, 369, 2005.)

    Parameters
    ----------
    model : ForwardModel
        H.
    observation : Observation
        y, b and M.
    position : Position
        Where to start; updated in place.
    iterations : int
        Number of steps to do.
    regularization : Regularization
        What to divide by.

    Yields
    ------
    Position
        The same object after each step.

    Raises
    ------
    DeconvError
        If no voxel can be seen in the data.
    """
    engine, data, background = model.engine, observation.data, observation.background
    mask, floor = observation.mask, observation.floor
    normalization = _normalization(model, observation)
    if position.guess is None:
        # x·N/N: what sends no light into the data is 0 from the start.
        engine.update(position.estimate, normalization, normalization)
        if not engine.sum(position.estimate) > 0:
            raise DeconvError(
                "No voxel sends more than 1 % of its light into the image: the PSF is far wider "
                "than the image. Check the PSF's voxel size, or crop it."
            )
        position.guess = position.acceleration.start(position.estimate)
    work = engine.full(model.grid, 0.0)
    for _ in range(iterations):
        p = position.guess
        model.apply(p, work)
        if position.iteration % CHECK_EVERY == 0:
            divergence = engine.divergence(work, data, background, mask, floor)
            if divergence > position.divergence:
                position.acceleration.restart()
            position.divergence = divergence
        engine.ratio(work, data, background, floor)
        model.adjoint(work, work)
        engine.update(work, p, regularization.divisor(p, normalization))
        position.estimate, work = work, position.estimate
        position.guess = position.acceleration.advance(position.estimate, work, p)
        position.iteration += 1
        yield position


def _normalization(model: ForwardModel, observation: Observation) -> Array:
    """N = HᵀM."""
    engine = model.engine
    covered = engine.full(model.grid, 0.0)
    # y/(0 + b) with y = M and b = 1 is M laid on the grid.
    shape = observation.data.shape
    one = engine.full((1, 1, 1), 1.0)
    ones = observation.mask if observation.mask.size > 1 else engine.full(shape, 1.0)
    engine.ratio(covered, ones, one, 1.0)
    model.adjoint(covered, covered)
    return covered
