"""One volume through one method, step by step."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv._progress import Progress
from napari_deconv._volume import ARRAYS, Volume, extend, padded_model
from napari_deconv.background import estimate_background
from napari_deconv.engines import Engine
from napari_deconv.solvers.checkpoint import Checkpoint, load_position, save_position
from napari_deconv.solvers.linear import inverse, wiener
from napari_deconv.solvers.regularization import make_regularization
from napari_deconv.solvers.richardson_lucy import CHECK_EVERY, Position, richardson_lucy

__all__ = ["Options", "Run", "State"]

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class State(Progress):
    """Where a deconvolution stands after an iteration.

    Attributes
    ----------
    iteration, iterations : int
        Steps done and planned; of all volumes of a series together.
    divergence : float
        I-divergence between image and model, Σ y·ln(y/u) − y + u, in the image's units, as last
        computed: every fifth iteration. NaN for direct methods.
    """

    divergence: float
    _read: Callable[[], Float] = field(repr=False)

    @property
    def image(self) -> Float:
        """The estimate, of the input's shape; read it before the next iteration."""
        return self._read()


@dataclass(frozen=True)
class Options:
    """What is to be done, checked: see `napari_deconv.deconvolve`.

    The PSF is (z, y, x), sum 1; the spacing (z, y, x) in any unit.
    """

    method: str
    iterations: int
    boundary: str
    acceleration: str | None
    regularization: str | None
    regularization_weight: float
    psf: Float
    spacing: tuple[float, ...]
    engine: Engine


class Run:
    """One volume (z, y, x) or plane (y, x) on its way.

    Parameters
    ----------
    image : ndarray
        Finite, for Richardson–Lucy not negative, 0 where masked.
    options : Options
        What is to be done.
    background : ndarray or None
        Broadcasts with the image; None takes the 1st percentile of the smoothed image.
    mask : ndarray of bool or None
        Of the image's shape.
    initial : ndarray or None
        Where to start.
    checkpoint : Checkpoint
        Where an earlier run stood; it goes on from there if that run had the same image, PSF,
        background, mask, boundary and acceleration.
    """

    def __init__(
        self,
        image: npt.NDArray[Any],
        options: Options,
        background: npt.NDArray[Any] | None,
        mask: npt.NDArray[np.bool_] | None,
        initial: npt.NDArray[Any] | None,
        checkpoint: Checkpoint,
    ) -> None:
        self.background = (
            _background(image, mask, options.engine) if background is None else background
        )
        self.image: Float = np.zeros(image.shape, np.float32)
        self.checkpoint = checkpoint
        self.history: list[tuple[int, float, float]] = []
        self._input = image
        self._options = options
        self._mask = mask
        self._initial = initial

    def states(self) -> Iterator[State]:
        """Run, one iteration at a time; then `image` and `checkpoint` hold the result."""
        if self._options.method == "richardson_lucy":
            yield from self._iterate()
        else:
            self.image = self._filter()
            yield State(1, 1, nan, lambda: self.image)

    @property
    def _offset(self) -> npt.NDArray[Any]:
        background = np.asarray(self.background)
        return background.reshape(1, 1, 1) if background.size == 1 else as_volume(background)

    def _iterate(self) -> Iterator[State]:
        options, started = self._options, time.perf_counter()
        engine = options.engine
        image = as_volume(self._input)
        mask = None if self._mask is None else as_volume(self._mask)
        arrays = ARRAYS + 2 * (options.acceleration == "biggs")
        arrays += options.regularization is not None
        model = padded_model(image.shape, options.psf, options.boundary, engine, arrays)
        volume = Volume(model, image, self._offset, mask, options.boundary)
        position = self._start(volume)
        planned = position.iteration + options.iterations
        regularization = make_regularization(
            options.regularization, options.regularization_weight, options.spacing, engine
        )

        def read() -> Float:
            return volume.read(position.estimate).reshape(self._input.shape)

        for _ in richardson_lucy(
            volume.model, volume.observation, position, options.iterations, regularization
        ):
            done, divergence = position.iteration, position.divergence * volume.scale
            if (done - 1) % CHECK_EVERY == 0:
                self.history.append((done - 1, divergence, time.perf_counter() - started))
            yield State(done, planned, divergence, read)
        self.image = read()
        self.checkpoint = save_position(position, engine) | {"problem": self._problem}

    def _start(self, volume: Volume) -> Position:
        options, initial = self._options, self._initial
        if self.checkpoint.get("problem") == self._problem:
            return load_position(self.checkpoint, options.acceleration, options.engine)
        estimate = None if initial is None else as_volume(initial)
        return volume.start(estimate, options.acceleration)

    @property
    def _problem(self) -> tuple[object, ...]:
        """What has to be the same for a run to go on from a checkpoint."""
        options = self._options
        arrays = (self._input, options.psf, self._offset, self._mask)
        sums = (None if a is None else zlib.crc32(a.tobytes()) for a in arrays)
        return (*sums, options.boundary, options.acceleration)

    def _filter(self) -> Float:
        options, volume = self._options, as_volume(self._input)
        boundary = "reflect" if options.boundary == "padded" else options.boundary
        model = padded_model(volume.shape, options.psf, boundary, options.engine)
        light = volume - self._offset
        if boundary != "circular":
            light = extend(light, model.grid, boundary)
        solve = wiener if options.method == "wiener" else inverse
        estimate = solve(model, options.engine.asarray(light), options.regularization_weight)
        return options.engine.to_numpy(estimate, volume.shape).reshape(self._input.shape)


def _background(
    image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, engine: Engine
) -> npt.NDArray[Any]:
    """Take the 1st percentile of the smoothed image, masked voxels filled with the median."""
    if mask is not None:
        image = np.where(mask, image, np.median(image[mask]))
    return np.asarray(estimate_background(image, engine=engine))
