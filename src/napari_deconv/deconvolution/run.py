"""One volume through one method, step by step."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv._progress import Progress
from napari_deconv.background import estimate_background, masked_percentile
from napari_deconv.deconvolution.choice import make_solver
from napari_deconv.deconvolution.direct import filter_directly
from napari_deconv.deconvolution.ending import Ending
from napari_deconv.deconvolution.history import History
from napari_deconv.deconvolution.levels import Binning, Pyramid, binnings, coarse_steps
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import Camera
from napari_deconv.deconvolution.volume import Problem, Volume, make_model
from napari_deconv.solvers.position import (
    Checkpoint,
    DataMonitor,
    Monitor,
    Position,
    load_position,
    save_position,
)

__all__ = ["Run", "State"]

Float = npt.NDArray[np.float32]


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
    measured : dict of float
        The newest row of `Deconvolution.history`; empty on coarse levels and for direct methods.
    """

    divergence: float
    level: int
    measured: dict[str, float]
    _read: Callable[[], Float] = field(repr=False)

    @property
    def image(self) -> Float:
        """The estimate, of the input's shape; read it before the next iteration."""
        return self._read()


class Run:
    """One volume (z, y, x) or plane (y, x) on its way.

    Setting `enough` while it runs ends it after the step at hand, on the image's own voxels.

    Parameters
    ----------
    image : ndarray
        Finite, for Richardson–Lucy not negative, 0 where masked.
    options : Options
        What is to be done.
    background : ndarray or None
        Broadcasts with the image; None takes the 1st percentile of the smoothed image, of voxels
        that count.
    mask : ndarray of bool or None
        Of the image's shape.
    initial : ndarray or None
        Where to start.
    checkpoint : Checkpoint or None
        Where an earlier run stood, empty if there was none; it goes on from there if that run had
        the same image, PSF, background, mask, boundary and acceleration. None keeps nothing to go
        on from.
    coarse : sequence of Binning, optional
        How its coarse levels are binned, the finest first, instead of as its size and the options
        allow.
    start : sequence of int, optional
        The image's first voxel in the volume that it is a part of.
    """

    def __init__(
        self,
        image: npt.NDArray[Any],
        options: Options,
        background: npt.NDArray[Any] | None,
        mask: npt.NDArray[np.bool_] | None,
        initial: npt.NDArray[Any] | None,
        checkpoint: Checkpoint | None,
        coarse: Sequence[Binning] | None = None,
        start: Sequence[int] = (0, 0, 0),
    ) -> None:
        if background is None:
            background = np.asarray(
                estimate_background(image, engine=options.engine)
                if mask is None
                else masked_percentile(image, mask, 1.0, options.engine)
            )
        self.background = background
        self.image: Float = np.zeros(image.shape, np.float32)
        self.intermediate: dict[int, Float] = {}
        self.iterations = 1
        self.steps = 1
        self.enough = False
        self.stop_reason = f"{options.kind.title} needs one step"
        self.gain = nan
        self.weights: dict[str, float] = {}
        self.psf: Float | None = None
        self.checkpoint = checkpoint or {}
        self._keeps = checkpoint is not None
        self.history = History()
        self._shape = image.shape
        self._options = options
        self._coarse = coarse
        self._initial = None if initial is None else as_volume(initial)
        self._problem = options.problem(image, background, mask, start)

    def states(self) -> Iterator[State]:
        """Run, one iteration at a time; then the attributes hold the result."""
        if self._options.kind.direct:
            estimate, weights = filter_directly(self._problem, self._options)
            self.weights = {} if weights is None else asdict(weights)
            self.image = estimate.reshape(self._shape)
            yield State(1, 1, nan, 1, {}, lambda: self.image)
        else:
            yield from self._iterate()

    def _iterate(self) -> Iterator[State]:
        options, engine = self._options, self._options.engine
        camera = Camera(self._problem, options)
        self.gain, self._problem = camera.gain, camera.problem
        resumed = self.checkpoint.get("problem") == self._fingerprint
        given = resumed or self._initial is not None or not options.kind.coarse_to_fine
        coarse = [] if given else self._coarse
        if coarse is None:
            shape, psfs = self._problem.image.shape, self._problem.psfs
            coarse = binnings(shape, psfs, options.levels)
        pyramid = Pyramid(self._problem, coarse, self._volume)
        finest = pyramid.volumes[-1]
        if resumed:
            position = load_position(self.checkpoint, engine)
        elif given:
            position = finest.start(self._initial)
        else:
            position = yield from self._come_up(pyramid, coarse_steps(coarse, self._problem.psfs))
        planned = position.iteration + options.iterations
        ending = Ending(camera.stopping, engine, finest.scale)
        for _ in self._solve(finest, position, options.iterations, camera.monitor(finest)):
            self._keep(finest, position)
            ended = ending.reached(position)
            yield self._state(pyramid, position, planned, ending.history.newest)
            if ended or self.enough:
                break
        self.steps = position.iteration - (planned - options.iterations)
        self._finish(finest, position, planned, ending)

    def _finish(self, volume: Volume, position: Position, planned: int, ending: Ending) -> None:
        """Read the result."""
        if "weight" in position.memory:
            self.weights = {"tv": float(position.memory["weight"])}
        if "psf" in position.memory:
            self.psf = self._options.engine.to_numpy(position.memory["psf"])
        self.history = ending.history
        whole = position.iteration == planned
        self.stop_reason = ending.reason or (
            f"{planned} iterations done{', the most allowed' if ending.has_rule else ''}"
            if whole
            else f"stopped by hand after {position.iteration} iterations"
            if self.enough
            else self._options.kind.ends
        )
        if ending.iteration is None:
            self.iterations = position.iteration
            self.image = volume.read(position.estimate).reshape(self._shape)
            if self._keeps:
                saved = save_position(position, self._options.engine)
                self.checkpoint = saved | {"problem": self._fingerprint}
        else:
            self.iterations = ending.iteration
            self.image = volume.read(ending.best).reshape(self._shape)
            self.checkpoint = {}

    def _keep(self, volume: Volume, position: Position) -> None:
        every = self._options.keep_every
        if every and position.iteration % every == 0:
            image = volume.read(position.estimate).reshape(self._shape)
            self.intermediate[position.iteration] = image

    def _come_up(self, pyramid: Pyramid, steps: Sequence[int]) -> Generator[State, None, Position]:
        """Solve the coarse levels, each from where the one before ended."""
        position = pyramid.volumes[0].start(None)
        for planned in steps:
            volume = pyramid.volumes[0]
            monitor = DataMonitor(volume.model, volume.observation)
            for _ in self._solve(volume, position, planned, monitor):
                yield self._state(pyramid, position, planned, {})
            position = pyramid.carry_up(position)
        return position

    def _solve(
        self, volume: Volume, position: Position, iterations: int, monitor: Monitor
    ) -> Iterator[Position]:
        solver = make_solver(self._options, volume, self.gain)
        return solver(volume.model, volume.observation, position, iterations, monitor)

    def _state(
        self, pyramid: Pyramid, position: Position, planned: int, measured: dict[str, float]
    ) -> State:
        def read() -> Float:
            return pyramid.read(position.estimate).reshape(self._shape)

        divergence = position.divergence * pyramid.volumes[0].scale
        level = len(pyramid.volumes)
        return State(position.iteration, planned, divergence, level, measured, read)

    def _volume(self, problem: Problem) -> Volume:
        return Volume(problem, make_model(problem, self._options.engine, self._options.arrays))

    @property
    def _fingerprint(self) -> tuple[object, ...]:
        """What has to be the same for a run to go on from a checkpoint."""
        options, problem = self._options, self._problem
        arrays = (problem.image, *problem.psfs, problem.background, problem.mask)
        # Of the memory itself: tobytes() would keep the interpreter to itself while it copies.
        sums = (None if a is None else zlib.crc32(np.ascontiguousarray(a).data) for a in arrays)
        return (*sums, problem.depths, options.method, options.boundary, options.acceleration)
