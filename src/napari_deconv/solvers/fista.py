"""Accelerated least squares for x ≥ 0: NNLS, and FISTA with Haar wavelets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, sqrt

from napari_deconv.engines.protocol import Array, Engine, Shape
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.landweber import step_size
from napari_deconv.solvers.normalization import largest, start_where_seen
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["HaarShrinkage", "fista", "nnls"]

# Corrections and the point they belong to, turned in place into the next estimate.
_Step = Callable[[Array, Array], Array]

# Whether momentum leads uphill, by the point, the estimate from there and how that differs from the
# one before. The point is not needed any more.
_Uphill = Callable[[Array, Array, Array], bool]


def nnls(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
) -> Iterator[Position]:
    """Minimise |M(y − Hx − b)|² over x ≥ 0: non-negative least squares.

    x ← max(p + γ·Hᵀ[M·(y − Hp − b)], 0) where N = HᵀM > 0.01, else 0: Landweber's step, from a
    point p that is extrapolated as in `fista`, but never starts anew: that would follow the whole
    image, and come at another step in each tile of a large one.
    """
    normalization = start_where_seen(model, observation, position)
    gamma = step_size(model, normalization)

    def step(correction: Array, guess: Array) -> Array:
        model.engine.descend(correction, guess, gamma, normalization, 0.0)
        return correction

    yield from _accelerated(model, observation, position, iterations, monitor, step, _never)


def fista(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    *,
    weight: float,
) -> Iterator[Position]:
    """Minimise ½|M(y − Hx − b)|² + λ|Wx|₁ over x ≥ 0: few wavelets shall make up the object.

    x ← max(S(p + γ·Hᵀ[M·(y − Hp − b)], γλ), 0) where N = HᵀM > 0.01, else 0. S moves the
    coefficients of a three-level Haar transform W towards 0, save for the coarsest averages, and is
    the mean over all places where the transform's blocks can lie. p = x_k + (t_{k−1} − 1)/t_k
    (x_k − x_{k−1}), t_k = ½ + √(¼ + t²_{k−1}), and t starts anew from 1 when it leads uphill. (Beck
    & Teboulle, SIAM J. Imaging Sci. 2, 183, 2009; shifts: Coifman & Donoho 1995; restart:
    O'Donoghue & Candès, Found. Comput. Math. 15, 715, 2015.)

    Parameters
    ----------
    weight : float
        λ as a part of max|HᵀM(y − b)|, so that it does not depend on the data's unit.
    """
    engine = model.engine
    normalization = start_where_seen(model, observation, position)
    gamma = step_size(model, normalization)
    threshold = gamma * weight * _brightest(model, observation)
    shrinkage, spare = HaarShrinkage(engine, model.grid), engine.full(model.grid, 0.0)

    def step(correction: Array, guess: Array) -> Array:
        nonlocal spare
        engine.descend(correction, guess, gamma, normalization, -inf)
        change, spare = spare, correction
        shrinkage.change(correction, threshold, change)
        engine.descend(change, correction, 1.0, normalization, 0.0)
        return change

    def leads_uphill(guess: Array, estimate: Array, change: Array) -> bool:
        engine.combine(guess, 1, estimate, -1, guess)
        return engine.dot(guess, change) > 0

    yield from _accelerated(model, observation, position, iterations, monitor, step, leads_uphill)


def _never(guess: Array, estimate: Array, change: Array) -> bool:
    return False


def _accelerated(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    step: _Step,
    leads_uphill: _Uphill,
) -> Iterator[Position]:
    engine, seen, memory = model.engine, observation, position.memory
    momentum = memory.get("momentum", 1.0)
    guess = memory["guess"] if "guess" in memory else engine.copy(position.estimate)
    light, correction = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    for _ in range(iterations):
        model.apply(guess, light)
        due = monitor.due(position)
        if due:
            monitor.measure(position, light)
        engine.residual(light, seen.data, seen.background, seen.mask)
        model.adjoint(light, correction)
        estimate, before = step(correction, guess), position.estimate
        if due:
            position.change = engine.largest_change(estimate, before)
        engine.combine(estimate, 1, before, -1, before)
        if due and leads_uphill(guess, estimate, before):
            momentum = 1.0
        later = 0.5 + sqrt(0.25 + momentum**2)
        position.step = (momentum - 1) / later
        momentum = later
        engine.combine(estimate, 1, before, position.step, guess)
        position.estimate, correction = estimate, before
        position.iteration += 1
        position.memory = {"guess": guess, "momentum": momentum}
        yield position


def _brightest(model: ForwardModel, observation: Observation) -> float:
    """max|HᵀM(y − b)|."""
    engine, seen = model.engine, observation
    light, back = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    engine.residual(light, seen.data, seen.background, seen.mask)
    model.adjoint(light, back)
    return largest(engine, back)


class HaarShrinkage:
    """Soft thresholding of undecimated Haar wavelets, three levels, on a periodic grid.

    Equal to thresholding the orthonormal transform of the image moved by every shift, moved back,
    and averaged (cycle spinning: Coifman & Donoho, Wavelets and Statistics, 125, 1995), where the
    sizes are multiples of 8; other sizes need no padding. As W is a Parseval frame it is a proximal
    operator.

    Parameters
    ----------
    engine : Engine
        Where to compute.
    shape : tuple of int
        Shape of the images. An axis takes part in the levels whose step is below its size.
    """

    def __init__(self, engine: Engine, shape: Shape) -> None:
        self._engine = engine
        self._steps = [tuple(s if s < size else 0 for size in shape) for s in (1, 2, 4)]
        self._averages = engine.full(shape, 0.0), engine.full(shape, 0.0)
        self._nothing = engine.full((1, 1, 1), 0.0)

    def change(self, image: Array, threshold: float, out: Array) -> None:
        """S(x) − x into `out`; `image` is kept."""
        engine, (fine, middle, coarse) = self._engine, self._steps
        halves, quarters = self._averages
        thresholds = []
        for steps in self._steps:
            # a coefficient is √(voxels of the block) times the mean ±x
            threshold /= sqrt(2 ** sum(step > 0 for step in steps))
            thresholds.append(threshold)
        engine.haar_average(image, fine, halves)
        engine.haar_average(halves, middle, quarters)
        engine.haar_change(quarters, coarse, thresholds[2], self._nothing, out)
        engine.haar_change(halves, middle, thresholds[1], out, quarters)
        engine.haar_change(image, fine, thresholds[0], quarters, out)
