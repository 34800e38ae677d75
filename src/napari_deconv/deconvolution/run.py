"""One volume through one method, step by step."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv._progress import Progress
from napari_deconv.background import estimate_background
from napari_deconv.deconvolution.history import History
from napari_deconv.deconvolution.levels import Pyramid
from napari_deconv.deconvolution.volume import ARRAYS, Problem, Volume, extend, make_model
from napari_deconv.engines import Engine
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.linear import inverse, wiener
from napari_deconv.solvers.position import (
    Checkpoint,
    Monitor,
    Position,
    Solver,
    load_position,
    save_position,
)
from napari_deconv.solvers.regularization import make_regularization
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["Options", "Run", "State"]

Float = npt.NDArray[np.float32]

_COARSE_ITERATIONS = 40

# A coarse level is done when five steps gain less than this part of the divergence.
_GAINING = 0.01


@dataclass(frozen=True)
class State(Progress):
    """Where a deconvolution stands after an iteration.

    Attributes
    ----------
    iteration, iterations : int
        Steps done and planned on this level; of all volumes of a series together.
    divergence : float
        I-divergence between image and model, Σ y·ln(y/u) − y + u, in the image's units, as last
        computed: every fifth iteration. NaN for direct methods.
    level : int
        1 on the image's own voxels, 2 on voxels binned once, and so on.
    """

    divergence: float
    level: int
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
    levels: int
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
        if background is None:
            background = _background(image, mask, options.engine)
        offset = np.asarray(background)
        self.background = background
        self.image: Float = np.zeros(image.shape, np.float32)
        self.checkpoint = checkpoint
        self.history = History()
        self._shape = image.shape
        self._options = options
        self._initial = None if initial is None else as_volume(initial)
        self._problem = Problem(
            as_volume(image),
            offset.reshape(1, 1, 1) if offset.size == 1 else as_volume(offset),
            None if mask is None else as_volume(mask),
            options.psf,
            options.spacing,
            options.boundary,
        )

    def states(self) -> Iterator[State]:
        """Run, one iteration at a time; then `image` and `checkpoint` hold the result."""
        if self._options.method in ("wiener", "inverse"):
            self.image = self._filter().reshape(self._shape)
            yield State(1, 1, nan, 1, lambda: self.image)
        else:
            yield from self._iterate()

    def _iterate(self) -> Iterator[State]:
        options = self._options
        resumed = self.checkpoint.get("problem") == self._fingerprint
        given = resumed or self._initial is not None
        pyramid = Pyramid(self._problem, 1 if given else options.levels, self._volume)
        finest = pyramid.volumes[-1]
        if resumed:
            position = load_position(self.checkpoint, options.engine)
        elif given:
            position = finest.start(self._initial)
        else:
            position = yield from self._come_up(pyramid)
        planned = position.iteration + options.iterations
        self.history = History(finest.scale)
        for _ in self._solve(finest, position, options.iterations):
            self.history.note(position)
            yield self._state(pyramid, len(pyramid.volumes) - 1, position, planned)
        self.image = finest.read(position.estimate).reshape(self._shape)
        self.checkpoint = save_position(position, options.engine) | {"problem": self._fingerprint}

    def _come_up(self, pyramid: Pyramid) -> Generator[State, None, Position]:
        """Solve the coarse levels, each from where the one before ended."""
        position = pyramid.volumes[0].start(None)
        for index, volume in enumerate(pyramid.volumes[:-1]):
            history = History(volume.scale)
            for _ in self._solve(volume, position, _COARSE_ITERATIONS):
                history.note(position)
                yield self._state(pyramid, index, position, _COARSE_ITERATIONS)
                if history.gain() < _GAINING:
                    break
            position = pyramid.carry_up(index, position)
        return position

    def _solve(self, volume: Volume, position: Position, iterations: int) -> Iterator[Position]:
        monitor = Monitor(volume.model, volume.observation)
        solver = _make_solver(self._options, volume)
        return solver(volume.model, volume.observation, position, iterations, monitor)

    def _state(self, pyramid: Pyramid, index: int, position: Position, planned: int) -> State:
        def read() -> Float:
            return pyramid.read(index, position.estimate).reshape(self._shape)

        divergence = position.divergence * pyramid.volumes[index].scale
        level = len(pyramid.volumes) - index
        return State(position.iteration, planned, divergence, level, read)

    def _volume(self, problem: Problem) -> Volume:
        options = self._options
        arrays = ARRAYS + 2 * (options.acceleration == "biggs")
        arrays += options.regularization is not None
        shape, boundary = problem.image.shape, problem.boundary
        return Volume(problem, make_model(shape, problem.psf, boundary, options.engine, arrays))

    @property
    def _fingerprint(self) -> tuple[object, ...]:
        """What has to be the same for a run to go on from a checkpoint."""
        options, problem = self._options, self._problem
        arrays = (problem.image, problem.psf, problem.background, problem.mask)
        sums = (None if a is None else zlib.crc32(a.tobytes()) for a in arrays)
        return (*sums, options.method, options.boundary, options.acceleration)

    def _filter(self) -> Float:
        options, problem = self._options, self._problem
        boundary = "reflect" if problem.boundary == "padded" else problem.boundary
        shape = problem.image.shape
        model = make_model(shape, problem.psf, boundary, options.engine)
        light = problem.image - problem.background
        if boundary != "circular":
            light = extend(light, model.grid, boundary)
        solve = wiener if options.method == "wiener" else inverse
        estimate = solve(model, options.engine.asarray(light), options.regularization_weight)
        return options.engine.to_numpy(estimate, shape)


def _make_solver(options: Options, volume: Volume) -> Solver:
    engine = options.engine
    return partial(
        richardson_lucy,
        acceleration=make_acceleration(options.acceleration, engine),
        regularization=make_regularization(
            options.regularization, options.regularization_weight, volume.problem.spacing, engine
        ),
    )


def _background(
    image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, engine: Engine
) -> npt.NDArray[Any]:
    """Take the 1st percentile of the smoothed image, masked voxels filled with the median."""
    if mask is not None:
        image = np.where(mask, image, np.median(image[mask]))
    return np.asarray(estimate_background(image, engine=engine))
