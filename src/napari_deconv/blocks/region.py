"""A region of an image, deconvolved with what holds for the whole of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv.deconvolution.choice import make_solver
from napari_deconv.deconvolution.direct import filter_directly
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import less_offset
from napari_deconv.deconvolution.volume import Problem, Volume, make_model
from napari_deconv.solvers.position import Monitor, Position

__all__ = ["Survey", "make_problem", "solve"]

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Survey:
    """What holds for all tiles of one volume.

    Attributes
    ----------
    background : float
        In the image's units; NaN where it is given as an array.
    scale : float
        What the data are divided by: a power of two, so that their maximum is from 1 to 2.
    light : float
        Mean light above the background, to start from.
    gain, offset : float
        Grey values a photon, and grey value without light; NaN where photons are not counted.
    iterations : int
        Steps to do.
    weight : float
        Of the regularisation; NaN if there is none.
    stop_reason : str
        Why it ends after so many.
    """

    background: float
    scale: float
    light: float
    gain: float
    offset: float
    iterations: int
    weight: float
    stop_reason: str = ""

    def settle(self, options: Options) -> Options:
        """Put the numbers that were found in place of the rules that found them."""
        return replace(options, iterations=self.iterations, weight=self.weight, stop=None)


def make_problem(
    image: npt.NDArray[Any], background: Any, mask: npt.NDArray[np.bool_] | None, options: Options
) -> Problem:
    """Make a problem of a region (z, y, x) or (y, x), and of what lies on its voxels."""
    if options.kind.positive:
        image = np.maximum(image, 0)
    if options.fits_photons:
        image = image.astype(np.float32)
    level = np.asarray(background)
    return Problem(
        as_volume(image),
        level.reshape(1, 1, 1) if level.size == 1 else as_volume(level),
        None if mask is None else as_volume(mask),
        options.psfs,
        options.depths,
        options.spacing,
        options.boundary,
    )


class _Unmeasured(Monitor):
    """Measures nothing: a tile that judged itself would go another way than its neighbours."""

    def due(self, position: Position) -> bool:
        """Never."""
        return False


def solve(problem: Problem, options: Options, survey: Survey) -> Float:
    """Deconvolve a region with what holds for the whole image: (z, y, x), of its shape."""
    if options.kind.direct:
        return filter_directly(problem, options)[0]
    if options.fits_photons:
        problem = less_offset(problem, problem.image, survey.offset)
    model = make_model(problem, options.engine, options.arrays)
    volume = Volume(problem, model, survey.scale, survey.light)
    position = volume.start(None)
    solver = make_solver(options, volume, survey.gain)
    monitor = _Unmeasured(model, volume.observation)
    for _ in solver(model, volume.observation, position, options.iterations, monitor):
        pass
    return volume.read(position.estimate)
