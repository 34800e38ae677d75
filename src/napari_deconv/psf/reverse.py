"""Reverse deconvolution: image and object give the PSF."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from napari_deconv._progress import Callback
from napari_deconv.deconvolution.run import State
from napari_deconv.deconvolution.volume import ARRAYS, Problem, Volume, require_memory
from napari_deconv.engines import Engine
from napari_deconv.forward import Convolution, centred_at_origin, fast_shape
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.position import Monitor, Position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["solve_psf"]

Float = npt.NDArray[np.float32]


def solve_psf(
    image: npt.NDArray[np.generic],
    true_object: Float,
    start: Float,
    *,
    background: npt.NDArray[np.float64],
    mask: npt.NDArray[np.bool_] | None,
    iterations: int,
    acceleration: str | None,
    engine: Engine,
    callback: Callback | None,
) -> Float:
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
        First estimate of the PSF, (z, y, x), centre voxel n // 2; where it is 0 it stays 0. Far
        from the solution, acceleration overshoots and leaves holes.
    background : ndarray
        Of the image's shape or (1, 1, 1).
    mask : ndarray of bool or None
        False leaves a voxel of the image out.
    iterations : int
        Steps.
    acceleration : {"heavy_ball", "biggs"} or None
        See `napari_deconv.deconvolve`.
    engine : Engine
        Where to compute.
    callback : callable or None
        Called with a `State` after every step.

    Returns
    -------
    ndarray of float32
        Of the shape of `start`, centre voxel n // 2, not normalised.
    """
    shape = start.shape
    grid = fast_shape([n + m - 1 for n, m in zip(image.shape, shape, strict=True)])
    # Biggs–Andrews acceleration keeps the last two changes.
    require_memory(engine, grid, ARRAYS + 2, f"Distilling from an image of {image.shape}")
    kernel = np.zeros(grid, np.float32)
    kernel[tuple(slice(size) for size in image.shape)] = true_object / true_object.sum()
    model = Convolution(engine, kernel, image.shape)
    problem = Problem(image, background, mask, (start,), (0.0,), (1.0, 1.0, 1.0), "padded")
    volume = Volume(problem, model)
    position = Position(engine.asarray(centred_at_origin(start / start.sum(), grid)))
    solve = partial(
        richardson_lucy,
        acceleration=make_acceleration(acceleration, engine),
        regularization=Unregularized(),
    )
    seen = volume.observation

    def read() -> Float:
        estimate = np.roll(engine.to_numpy(position.estimate), [n // 2 for n in shape], (0, 1, 2))
        return estimate[tuple(slice(size) for size in shape)]

    for _ in solve(model, seen, position, iterations, Monitor(model, seen)):
        if callback is not None:
            divergence = position.divergence * volume.scale
            callback(State(position.iteration, iterations, divergence, 1, read))
    return read()
