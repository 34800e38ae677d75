"""Reverse deconvolution: image and object give the PSF."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_deconv._progress import Callback
from napari_deconv.deconvolution.run import State
from napari_deconv.deconvolution.volume import FLOOR, memory_of, scaled
from napari_deconv.engines import Engine
from napari_deconv.engines.protocol import Array, Shape
from napari_deconv.forward import Observation, centred_at_origin, fast_shape
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.position import DataMonitor, Position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["Reversal", "Solution", "Steps"]

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


class _KnownObject:
    """Hp = object ⊗ p: the forward model with its two parts exchanged.

    An estimate is p in its box alone, at the origin of the periodic grid. The object lies as far
    before the origin as the centre of p after it.
    """

    def __init__(self, engine: Engine, shape: Shape, box: Shape) -> None:
        self.engine = engine
        self.grid, self.shape = box, shape
        sizes = fast_shape([n + m - 1 for n, m in zip(shape, box, strict=True)])
        # Kernel, OTF, spectrum and the host's kernel; light, data, background and mask.
        nbytes = memory_of(sizes, 4) + memory_of(shape, 4)
        engine.require(nbytes, memory_of(sizes, 1), f"Distilling from an image of {shape}")
        self._fft = engine.fft(sizes)
        self._otf: Array | None = None

    def know(self, true_object: Float, amount: float) -> None:
        """Take another object, of the image's shape, divided by its amount of light."""
        self._otf = None
        kernel = centred_at_origin(true_object, self._fft.grid, [n // 2 for n in self.grid])
        kernel /= np.float32(amount)
        self._otf = self._fft.spectrum(self.engine.asarray(kernel))

    def apply(self, estimate: Array, out: Array) -> None:
        self._fft.convolve(estimate, self._otf, out)

    def adjoint(self, light: Array, out: Array) -> None:
        self._fft.correlate(light, self._otf, out)


class Reversal:
    """image = object ⊗ PSF + background, to be solved for the PSF by Richardson–Lucy.

    Convolution is symmetric, so it is the same solver with the object in the PSF's place.

    Parameters
    ----------
    image : ndarray
        (z, y, x), not negative.
    mask : ndarray of bool or None
        False leaves a voxel of the image out.
    box : tuple of int
        Shape of the PSF, (z, y, x).
    engine : Engine
        Where to compute.

    Raises
    ------
    DeviceError
        If the device has too little memory.
    """

    def __init__(
        self,
        image: npt.NDArray[np.generic],
        mask: npt.NDArray[np.bool_] | None,
        box: Shape,
        engine: Engine,
    ) -> None:
        self._model = _KnownObject(engine, image.shape, box)
        data, counted, self._scale = scaled(image, mask)
        self._data, self._mask = engine.asarray(data), engine.asarray(counted)

    def solve(
        self,
        true_object: Float,
        background: Float,
        start: Float,
        steps: Steps,
        acceleration: str | None,
        callback: Callback | None,
    ) -> Solution:
        """Do some steps for the PSF.

        Parameters
        ----------
        true_object : ndarray of float32
            Of the image's shape.
        background : ndarray of float32
            Of the image's shape or (1, 1, 1).
        start : ndarray of float32
            First estimate of the PSF, in its box, centre voxel n // 2, as bright as image = object
            ⊗ PSF + background needs it; where it is 0 it stays 0. Far from the solution,
            acceleration overshoots and leaves holes.
        steps : Steps
            How many.
        acceleration : {"heavy_ball", "biggs"} or None
            See `napari_deconv.deconvolve`.
        callback : callable or None
            Called with a `State` after every step.

        Returns
        -------
        Solution
            The PSF, in its box, and the light it makes, of the image's shape.
        """
        model, engine, scale = self._model, self._model.engine, self._scale
        amount = float(true_object.sum(dtype=float))
        model.know(true_object, amount)
        offset = engine.asarray(background / np.float32(scale))
        seen = Observation(self._data, offset, self._mask, FLOOR)
        unit = np.float32(scale / amount)
        position = Position(engine.asarray(start / unit))
        solve = partial(
            richardson_lucy,
            acceleration=make_acceleration(acceleration, engine),
            regularization=Unregularized(),
        )

        def read() -> Float:
            return engine.to_numpy(position.estimate) * unit

        for _ in solve(model, seen, position, steps.number, DataMonitor(model, seen)):
            if callback is not None:
                done = steps.before + position.iteration
                callback(State(done, steps.planned, position.divergence * scale, 1, {}, read))
        light = engine.full(model.shape, 0.0)
        model.apply(position.estimate, light)
        return Solution(read(), engine.to_numpy(light) * np.float32(scale))
