"""Richardson–Lucy with the background in the model, for any forward model."""

from __future__ import annotations

from collections.abc import Iterator

from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.acceleration import Acceleration
from napari_deconv.solvers.likelihood import Likelihood, Poisson
from napari_deconv.solvers.normalization import start_where_seen
from napari_deconv.solvers.position import Monitor, Position
from napari_deconv.solvers.regularization import Regularization

__all__ = ["richardson_lucy"]

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
    last steps. A voxel that starts at 0 stays 0. (Richardson 1972; Lucy 1974; background and
    boundary: Bertero & Boccacci, Astron. Astrophys. 437, 369, 2005.)

    Parameters
    ----------
    acceleration : Acceleration
        How p follows from the estimates.
    regularization : Regularization
        What to divide by.
    likelihood : Likelihood
        What to project back instead of y/(Hp + b).
    """
    engine = model.engine
    normalization = start_where_seen(model, observation, position)
    guess = acceleration.start(position.estimate, position.memory)
    regularization.start(model.grid, observation, position.memory)
    light, correction = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    for _ in range(iterations):
        model.apply(guess, light)
        due = monitor.due(position)
        if due:
            monitor.measure(position, light)
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
