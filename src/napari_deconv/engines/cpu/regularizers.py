"""Penalties in the Richardson–Lucy step, on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slabs, part
from napari_deconv.engines.protocol import ROUGHNESS_EPSILON, TV_EPSILON, UPDATE_THRESHOLD

__all__ = ["Regularizers"]

Steps = Sequence[float]


class Regularizers(Slabs):
    """Penalties in the Richardson–Lucy step; differences are periodic."""

    def total_variation(
        self,
        estimate: Real,
        spacing: Steps,
        weight: float,
        flatness: float,
        normalization: Real,
        out: Real,
    ) -> None:
        def work(x: Real, n: Real, planes: slice) -> None:
            divisor = np.float32(weight) * _total_variation(x, spacing, flatness)
            divisor += 1
            np.maximum(divisor, np.float32(0.1), out=divisor)
            divisor *= n
            np.multiply(divisor, n > UPDATE_THRESHOLD, out=out[planes])

        self._each_with_neighbours(work, estimate, normalization)

    def tikhonov(
        self,
        estimate: Real,
        spacing: Steps,
        weight: float,
        correction: Real,
        normalization: Real,
        out: Real,
    ) -> None:
        self._penalize(_tikhonov, estimate, spacing, weight, correction, normalization, out)

    def roughness(
        self,
        estimate: Real,
        spacing: Steps,
        weight: float,
        correction: Real,
        normalization: Real,
        out: Real,
    ) -> None:
        self._penalize(_roughness, estimate, spacing, weight, correction, normalization, out)

    def _penalize(
        self,
        penalty: Callable[[Real, Steps], tuple[Real, Real]],
        estimate: Real,
        spacing: Steps,
        weight: float,
        correction: Real,
        normalization: Real,
        out: Real,
    ) -> None:
        """C ← C + κ − λ·∂R, N′ ← N + κ."""

        def work(x: Real, n: Real, planes: slice) -> None:
            gradient, bound = penalty(x, spacing)
            bound *= np.float32(weight)
            gradient *= np.float32(weight)
            np.multiply(bound + n, n > UPDATE_THRESHOLD, out=out[planes])
            bound -= gradient
            correction[planes] += bound

        self._each_with_neighbours(work, estimate, normalization)

    def _each_with_neighbours(
        self, work: Callable[[Real, Real, slice], None], estimate: Real, normalization: Real
    ) -> None:
        """Call with some planes and one more on either side, their N, and their place."""
        nz = estimate.shape[0]
        thickness = max(1, SLAB_VOXELS * nz // estimate.size)

        def start_at(start: int) -> None:
            planes = slice(start, min(start + thickness, nz))
            x = estimate.take(range(start - 1, planes.stop + 1), axis=0, mode="wrap")
            work(x, part(normalization, (planes,)), planes)

        self.map(start_at, range(0, nz, thickness))


# -- at all planes but the first and the last ------------------------------------------------------


def _total_variation(x: Real, steps: Steps, flatness: float) -> Real:
    """∂R of R = Σ √(|∇x|² + c²), where c² = (ε·x)² + δ² is taken as it stands."""
    slopes = _slopes(x, steps)
    flat = (np.float32(flatness) * x[:-1]) ** 2 + np.float32(TV_EPSILON**2)
    length = np.sqrt(sum((slope**2 for slope in slopes), flat))
    for slope in slopes:
        slope /= length
    return -_divergence(slopes, steps)


def _tikhonov(x: Real, steps: Steps) -> tuple[Real, Real]:
    """∂R of R = Σ |∇x|², and κ."""
    curvature = np.float32(8 * sum(1 / step**2 for step in steps))
    return np.float32(-2) * _divergence(_slopes(x, steps), steps), curvature * x[1:-1]


def _roughness(x: Real, steps: Steps) -> tuple[Real, Real]:
    """∂R of R = Σ |∇x|²/(x + ε), x half-way along each difference, and κ."""
    slopes, bound = _slopes(x, steps), np.zeros_like(x[1:-1])
    for axis, (slope, step) in enumerate(zip(slopes, steps, strict=True)):
        between = np.float32(0.5) * (_after(x, axis) + x[:-1]) + np.float32(ROUGHNESS_EPSILON)
        slope /= between
        bound += np.float32(4 / step**2) * (1 / between[1:] + 1 / _before(between, axis))
    bound *= x[1:-1]
    gradient = np.float32(-2) * _divergence(slopes, steps)
    for axis, slope in enumerate(slopes):
        gradient -= np.float32(0.5) * (slope[1:] ** 2 + _before(slope, axis) ** 2)
    return gradient, bound


def _slopes(x: Real, steps: Steps) -> list[Real]:
    """Forward differences along each axis at all planes but the last."""
    return [(_after(x, axis) - x[:-1]) / np.float32(step) for axis, step in enumerate(steps)]


def _divergence(fields: list[Real], steps: Steps) -> Real:
    """Minus the adjoint of `_slopes`, at all planes of the fields but the first."""
    total = np.zeros_like(fields[0][1:])
    for axis, (field, step) in enumerate(zip(fields, steps, strict=True)):
        total += (field[1:] - _before(field, axis)) / np.float32(step)
    return total


def _after(x: Real, axis: int) -> Real:
    return x[1:] if axis == 0 else np.roll(x[:-1], -1, axis)


def _before(x: Real, axis: int) -> Real:
    return x[:-1] if axis == 0 else np.roll(x[1:], 1, axis)
