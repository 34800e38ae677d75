"""Reverse deconvolution: image and object give the PSF."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_deconv._progress import Callback
from napari_deconv.deconvolution.run import State
from napari_deconv.deconvolution.volume import ARRAYS, Problem, Volume, require_memory
from napari_deconv.engines import Engine
from napari_deconv.forward import Convolution, centred_at_origin, fast_shape
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.position import DataMonitor, Position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["Solution", "Steps", "solve_psf"]

Float = npt.NDArray[np.float32]


class Steps(NamedTuple):
    """How many steps to do, and which of all they are for the callback.

    Attributes
    ----------
    number : int
        Steps to do.
    before : int
        Steps done already.
    planned : int
        All of them.
    """

    number: int
    before: int
    planned: int


class Solution(NamedTuple):
    """The PSF p of image = object ⊗ p + background, not normalised, and object ⊗ p."""

    psf: Float
    light: Float


def solve_psf(
    image: npt.NDArray[np.generic],
    true_object: Float,
    start: Float,
    *,
    background: npt.NDArray[np.float64],
    mask: npt.NDArray[np.bool_] | None,
    steps: Steps,
    acceleration: str | None,
    engine: Engine,
    callback: Callback | None,
) -> Solution:
    """Solve image = object ⊗ PSF + background for the PSF by Richardson–Lucy.

    Convolution is symmetric, so it is the same solver with the object in the PSF's place, and the
    PSF is limited to its box because a voxel that starts at 0 stays 0.

    Parameters
    ----------
    image : ndarray
        (z, y, x), not negative.
    true_object : ndarray of float32
        (z, y, x), of the image's shape.
    start : ndarray of float32
        First estimate of the PSF, (z, y, x), centre voxel n // 2, as bright as image = object ⊗
        PSF + background needs it; where it is 0 it stays 0. Far from the solution, acceleration
        overshoots and leaves holes.
    background : ndarray
        Of the image's shape or (1, 1, 1).
    mask : ndarray of bool or None
        False leaves a voxel of the image out.
    steps : Steps
        How many.
    acceleration : {"heavy_ball", "biggs"} or None
        See `napari_deconv.deconvolve`.
    engine : Engine
        Where to compute.
    callback : callable or None
        Called with a `State` after every step.

    Returns
    -------
    Solution
        The PSF, of the shape of `start`, and the light it makes, of the image's shape.
    """
    shape = start.shape
    grid = fast_shape([n + m - 1 for n, m in zip(image.shape, shape, strict=True)])
    # Biggs–Andrews acceleration keeps the last two changes.
    require_memory(engine, grid, ARRAYS + 2, f"Distilling from an image of {image.shape}")
    kernel = np.zeros(grid, np.float32)
    amount = float(true_object.sum(dtype=float))
    kernel[tuple(slice(size) for size in image.shape)] = true_object / np.float32(amount)
    model = Convolution(engine, kernel, image.shape)
    problem = Problem(image, background, mask, (start,), (0.0,), (1.0, 1.0, 1.0), "padded")
    volume = Volume(problem, model)
    unit = np.float32(volume.scale / amount)
    position = Position(engine.asarray(centred_at_origin(start / unit, grid)))
    solve = partial(
        richardson_lucy,
        acceleration=make_acceleration(acceleration, engine),
        regularization=Unregularized(),
    )
    seen = volume.observation

    def read() -> Float:
        estimate = np.roll(engine.to_numpy(position.estimate), [n // 2 for n in shape], (0, 1, 2))
        inside: Float = estimate[tuple(slice(size) for size in shape)]
        return inside * unit

    for _ in solve(model, seen, position, steps.number, DataMonitor(model, seen)):
        if callback is not None:
            done = steps.before + position.iteration
            divergence = position.divergence * volume.scale
            callback(State(done, steps.planned, divergence, 1, {}, read))
    light = engine.full(model.shape, 0.0)
    model.apply(position.estimate, light)
    return Solution(read(), engine.to_numpy(light) * np.float32(volume.scale))
