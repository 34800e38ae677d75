"""Iterative constrained Tikhonov–Miller restoration by conjugate gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_deconv.engines.protocol import Array
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.normalization import start_where_seen
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["ictm"]

# Halvings of a step that leads uphill before there is nothing more to gain.
_HALVINGS = 20


def ictm(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    *,
    weight: float,
    spacing: Sequence[float],
    tolerance: float = 1e-6,
) -> Iterator[Position]:
    """Minimise Φ(x) = ½|M(y − Hx − b)|² + ½λ|∇²x|² over x ≥ 0, and end when it is found.

    x ← max(x − βd, 0), d = g + d₋₁·|g|²/|g₋₁|², with g the gradient of Φ on the voxels that are
    free to move (not those at 0 that it pushes below, nor those where N = HᵀM ≤ 0.01, which are 0),
    and β = (d·g)/(d·Ad) the step to the minimum along d, A = HᵀMH + λ(∇²)². Where setting voxels to
    0 made Φ rise, β is halved until it does not: Φ never rises. (Verveer & Jovin, J. Microsc. 188,
    191, 1997; van der Voort & Strasters, J. Microsc. 178, 165, 1995.)

    Parameters
    ----------
    weight : float
        λ, in units of the finest voxel step to the fourth.
    spacing : sequence of float
        Voxel size (z, y, x) in any unit: only the ratios count.
    tolerance : float
        A step that lowers Φ by less than this part of it is the last.
    """
    engine, memory = model.engine, position.memory
    normalization = start_where_seen(model, observation, position)
    functional = _Functional(model, observation, weight, spacing)
    gradient, trial = engine.full(model.grid, 0.0), engine.full(model.grid, 0.0)
    direction = memory["direction"] if "direction" in memory else engine.full(model.grid, 0.0)
    power = memory.get("power", 1.0)
    value = functional.value(position.estimate)
    for _ in range(iterations):
        estimate = position.estimate
        due = monitor.due(position)
        if due:
            monitor.measure(position, functional.light)
        functional.gradient(gradient)
        engine.restrict(gradient, estimate, normalization)
        before, power = power, engine.dot(gradient, gradient)
        engine.combine(gradient, 1, direction, power / before, direction)
        engine.restrict(direction, estimate, normalization)
        slope = engine.dot(gradient, direction)
        if not slope > 0:
            engine.combine(gradient, 1, gradient, 0, direction)
            slope = power
        if slope == 0:
            return
        step = slope / functional.curvature(direction)
        for _ in range(_HALVINGS):
            engine.combine(estimate, 1, direction, -step, trial)
            engine.clip(trial)
            reached = functional.value(trial)
            if reached <= value:
                break
            step /= 2
        else:
            return
        if due:
            position.change = engine.largest_change(trial, estimate)
        position.estimate, trial = trial, estimate
        position.iteration += 1
        position.step = step
        position.memory = {"direction": direction, "power": power}
        yield position
        value, last = reached, value
        if last - value < tolerance * last:
            return


class _Functional:
    """Φ, with the arrays that it is computed in.

    Attributes
    ----------
    light : Array
        Hx of the last `value`.
    """

    def __init__(
        self,
        model: ForwardModel,
        observation: Observation,
        weight: float,
        spacing: Sequence[float],
    ) -> None:
        engine = model.engine
        self._model, self._observation, self._weight = model, observation, weight
        finest = min((d for d, n in zip(spacing, model.grid, strict=True) if n > 1), default=1.0)
        self._spacing = tuple(step / finest for step in spacing)
        self.light, self._residual, self._dark = (engine.full(model.shape, 0.0) for _ in range(3))
        self._laplacian, self._spare = (engine.full(model.grid, 0.0) for _ in range(2))
        self._nothing = engine.full((1, 1, 1), 0.0)

    def value(self, estimate: Array) -> float:
        """Φ(x)."""
        engine, seen, residual = self._model.engine, self._observation, self._residual
        self._model.apply(estimate, self.light)
        engine.combine(self.light, 1, self.light, 0, residual)
        engine.residual(residual, seen.data, seen.background, seen.mask)
        engine.laplacian(estimate, self._spacing, self._laplacian)
        return self._square(residual)

    def gradient(self, out: Array) -> None:
        """−HᵀM(y − Hx − b) + λ∇²∇²x into `out`, at the x of the last `value`."""
        engine = self._model.engine
        self._model.adjoint(self._residual, out)
        engine.laplacian(self._laplacian, self._spacing, self._spare)
        engine.combine(self._spare, self._weight, out, -1, out)

    def curvature(self, direction: Array) -> float:
        """d·Ad."""
        engine, seen, light = self._model.engine, self._observation, self._residual
        self._model.apply(direction, light)
        engine.residual(light, self._dark, self._nothing, seen.mask)
        engine.laplacian(direction, self._spacing, self._laplacian)
        return 2 * self._square(light)

    def _square(self, light: Array) -> float:
        engine = self._model.engine
        rough = engine.dot(self._laplacian, self._laplacian)
        return 0.5 * (engine.dot(light, light) + self._weight * rough)
