"""Richardson–Lucy with the background in the model, for any forward model."""

from __future__ import annotations

from collections.abc import Iterator

from napari_deconv.engines.protocol import Array
from napari_deconv.errors import DeconvError
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.acceleration import Acceleration
from napari_deconv.solvers.likelihood import Likelihood, Poisson
from napari_deconv.solvers.position import Monitor, Position
from napari_deconv.solvers.regularization import Regularization

__all__ = ["leave_out_the_unseen", "make_normalization", "richardson_lucy"]

_POISSON = Poisson()


def richardson_lucy(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    *,
    acceleration: Acceleration,
    regularization: Regularization,
    likelihood: Likelihood = _POISSON,
) -> Iterator[Position]:
    """Maximise the likelihood of the data, one step at a time.

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
    monitor : Monitor
        Measures on the way.
    acceleration : Acceleration
        How p follows from the estimates.
    regularization : Regularization
        What to divide by.
    likelihood : Likelihood
        What to project back instead of y/(Hp + b).

    Yields
    ------
    Position
        The same object after each step.

    Raises
    ------
    DeconvError
        If no voxel can be seen in the data.
    """
    engine = model.engine
    normalization = make_normalization(model, observation)
    if position.iteration == 0:
        leave_out_the_unseen(position, model, normalization)
    guess = acceleration.start(position.estimate, position.memory)
    regularization.start(model.grid, observation, position.memory)
    light, correction = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    for _ in range(iterations):
        model.apply(guess, light)
        due = monitor.due(position)
        if due:
            before = position.divergence
            monitor.measure(position, light)
            if position.divergence > before:
                acceleration.restart()
        likelihood.ratio(engine, light, observation)
        model.adjoint(light, correction)
        if due:
            regularization.adapt(guess, correction, normalization)
        divisor = regularization.divisor(guess, correction, normalization)
        guess = acceleration.advance(correction, position.estimate, guess, divisor)
        if due:
            position.change = engine.largest_change(correction, position.estimate)
        position.estimate, correction = correction, position.estimate
        position.iteration += 1
        position.step = acceleration.step
        position.memory = acceleration.memory(guess) | regularization.memory()
        yield position


def make_normalization(model: ForwardModel, observation: Observation) -> Array:
    """N = HᵀM on the grid: the part of its light that each voxel sends into the data."""
    engine, mask = model.engine, observation.mask
    normalization = engine.full(model.grid, 0.0)
    ones = mask if mask.size > 1 else engine.full(model.shape, 1.0)
    model.adjoint(ones, normalization)
    return normalization


def leave_out_the_unseen(position: Position, model: ForwardModel, normalization: Array) -> None:
    """Start at 0 where no light reaches the data: x ← x·N/N.

    Raises
    ------
    DeconvError
        If that is everywhere.
    """
    model.engine.update(position.estimate, normalization, normalization)
    if not model.engine.sum(position.estimate) > 0:
        raise DeconvError(
            "No voxel sends more than 1 % of its light into the image: the PSF is far wider "
            "than the image. Check the PSF's voxel size, or crop it."
        )
