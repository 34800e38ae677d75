"""Richardson–Lucy that begins with steps through an unmatched back projector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_deconv.engines.limits import threads
from napari_deconv.forward import ForwardModel, Observation
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.likelihood import Likelihood
from napari_deconv.solvers.normalization import make_normalization, start_where_seen
from napari_deconv.solvers.position import Monitor, Position
from napari_deconv.solvers.regularization import Regularization
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["unmatched_richardson_lucy", "wiener_butterworth_kernel"]

Float = npt.NDArray[np.float32]

_UNMATCHED_STEPS = 5

# A voxel keeps at least this part of itself: what has once become 0 stays there.
_KEPT = 0.05

_ALPHA = 0.05
_ORDER = 10


def unmatched_richardson_lucy(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    *,
    back_projector: ForwardModel,
    regularization: Regularization,
    likelihood: Likelihood,
) -> Iterator[Position]:
    """Do up to five steps with B instead of Hᵀ, then heavy-ball Richardson–Lucy.

    x ← x·(1 + B[M·(y/u − 1)]/N), u = Hx + b, while the I-divergence falls; the step with which it
    rises is taken back. (Guo et al., Nat. Biotechnol. 38, 1337, 2020; with N = HᵀM instead of BM,
    which has no lower bound at the edge of the image.)

    Parameters
    ----------
    back_projector : ForwardModel
        Its adjoint is B: a model like H with the kernels of `wiener_butterworth_kernel`.
    regularization : Regularization
        What to divide by.
    likelihood : Likelihood
        What to project back instead of y/u.
    """
    planned = position.iteration + iterations
    if position.iteration < _UNMATCHED_STEPS and "steps" not in position.memory:
        yield from _unmatched_steps(
            model, observation, position, min(planned, _UNMATCHED_STEPS) - position.iteration,
            monitor, back_projector, regularization, likelihood,
        )  # fmt: skip
    yield from richardson_lucy(
        model, observation, position, planned - position.iteration, monitor,
        acceleration=HeavyBall(model.engine), regularization=regularization, likelihood=likelihood,
    )  # fmt: skip


def _unmatched_steps(
    model: ForwardModel,
    observation: Observation,
    position: Position,
    iterations: int,
    monitor: Monitor,
    back_projector: ForwardModel,
    regularization: Regularization,
    likelihood: Likelihood,
) -> Iterator[Position]:
    """Step while the I-divergence falls."""
    engine = model.engine
    normalization = start_where_seen(model, observation, position)
    regularization.start(model.grid, observation, position.memory)
    # B[M·r] + (N - BM) is N + B[M·(r - 1)].
    remainder = make_normalization(back_projector, observation)
    engine.combine(normalization, 1.0, remainder, -1.0, remainder)
    light, estimate = engine.full(model.shape, 0.0), engine.full(model.grid, 0.0)
    model.apply(position.estimate, light)
    monitor.measure(position, light)
    for _ in range(iterations):
        likelihood.ratio(engine, light, observation)
        back_projector.adjoint(light, estimate)
        engine.combine(estimate, 1.0, remainder, 1.0, estimate)
        if monitor.due(position):
            regularization.adapt(position.estimate, estimate, normalization)
        divisor = regularization.divisor(position.estimate, estimate, normalization)
        engine.update(estimate, position.estimate, divisor)
        engine.combine(estimate, 1 - _KEPT, position.estimate, _KEPT, estimate)
        model.apply(estimate, light)
        trial = Position(estimate)
        monitor.measure(trial, light)
        if not trial.divergence <= position.divergence:
            return
        if monitor.due(position):
            position.change = engine.largest_change(estimate, position.estimate)
        position.estimate, estimate = estimate, position.estimate
        position.iteration += 1
        position.step = 0.0
        position.memory = regularization.memory()
        yield position
        position.divergence, position.flux = trial.divergence, trial.flux


def wiener_butterworth_kernel(kernel: Float) -> Float:
    """Make the kernel whose convolution has B, an unmatched back projector, for its adjoint.

    B = H*/(|H|² + α) · [1 + e·w²ⁿ]^(−1/2), w² = Σ (kᵢ/kcᵢ)²: Wiener's filter up to the resolution
    limit kcᵢ = 1/FWHM, Butterworth's beyond it; α = 0.05, n = 10. With e = (β² + α)⁻² − 1 its gain
    at the limit is β, that of H there (Guo et al., Nat. Biotechnol. 38, 1337, 2020).

    Parameters
    ----------
    kernel : ndarray of float32
        h on the grid (z, y, x), its origin at voxel 0, sum 1.

    Returns
    -------
    ndarray of float32
        On the grid, its origin at voxel 0; negative in places.
    """
    otf = scipy.fft.rfftn(kernel, workers=threads())
    strength = np.abs(otf)
    frequencies = [np.fft.fftfreq(n) for n in kernel.shape[:-1]] + [
        np.fft.rfftfreq(kernel.shape[-1])
    ]
    beta, squared = 0.0, np.zeros((1, 1, 1), np.float32)
    for axis, (k, width) in enumerate(zip(frequencies, _half_widths(kernel), strict=True)):
        nearest = min(round(kernel.shape[axis] / width), kernel.shape[axis] // 2)
        beta += float(strength.take(nearest, axis).max()) / 3
        along = [-1 if a == axis else 1 for a in range(3)]
        squared = squared + np.square(k * width, dtype=np.float32).reshape(along)
    # Far beyond the limit any number will do that is large and not infinite.
    np.minimum(squared, 100, out=squared)
    steepness = (beta**2 + _ALPHA) ** -2 - 1
    otf /= (strength**2 + _ALPHA) * np.sqrt(1 + np.float32(steepness) * squared**_ORDER)
    sharp: Float = scipy.fft.irfftn(otf, kernel.shape, workers=threads())
    return sharp


def _half_widths(kernel: Float) -> list[float]:
    """Full widths at half maximum through the peak, in voxels, at most the grid's size."""
    peak = np.unravel_index(kernel.argmax(), kernel.shape)
    widths = []
    for axis, size in enumerate(kernel.shape):
        line = tuple(slice(None) if a == axis else place for a, place in enumerate(peak))
        profile = np.roll(kernel[line], size // 2 - peak[axis])
        flanks = profile[size // 2 :], profile[size // 2 :: -1]
        widths.append(min(sum(_half_maximum(flank) for flank in flanks), float(size)))
    return widths


def _half_maximum(flank: Float) -> float:
    """Where a profile first falls to half of its first value, interpolated linearly."""
    half = flank[0] / 2
    below = np.flatnonzero(flank < half)
    if below.size == 0:
        return float(flank.size)
    after = int(below[0])
    above, under = float(flank[after - 1]), float(flank[after])
    return after - 1 + (above - float(half)) / (above - under)
