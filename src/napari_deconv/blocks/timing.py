"""How long reading, pilots and tiles take, by a few steps on a small tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import isnan, prod
from operator import mul
from time import perf_counter

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.region import Survey, make_problem, solve
from napari_deconv.blocks.rules import needs_pilots
from napari_deconv.blocks.tally import count_tile
from napari_deconv.blocks.turn import Models, one_tile
from napari_deconv.deconvolution.direct import filter_directly
from napari_deconv.deconvolution.levels import Binning, coarse_steps
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.parts import parts_of
from napari_deconv.deconvolution.volume import Problem, grid_of
from napari_deconv.deconvolution.weight import find_weight, grid_of_part

__all__ = ["SecondsAVoxel", "seconds_a_voxel"]

# A tile of so many voxels is beyond what processors keep at hand, as larger ones are.
_ENOUGH = 2**23

# Mean and background of what they are measured on, in photons.
_LIGHT, _LEVEL = 20.0, 10.0

# Of the method, that are measured.
_STEPS = 4

# Of a regularisation or a filter, where it is to be found.
_WEIGHT = 0.01


@dataclass(frozen=True)
class SecondsAVoxel:
    """How long each part takes for a voxel.

    Attributes
    ----------
    survey : float
        To count what is in the image, for each of its voxels.
    pilot, tile : float
        To deconvolve a tile ahead, or find the weight of a filter in it, and to deconvolve it, for
        each voxel of its grid; a pilot takes 0 where there is no rule to follow.
    """

    survey: float
    pilot: float
    tile: float


def seconds_a_voxel(
    order: Order, grid: Sequence[int], coarse: Sequence[Binning], every: int
) -> SecondsAVoxel:
    """Measure how long a voxel takes, with all iterations and all steps on coarse levels.

    Parameters
    ----------
    order : Order
        What is done to the tiles.
    grid : sequence of int
        The largest grid (z, y, x) of a tile. On a large one the steps are measured on a part of it.
    coarse : sequence of Binning
        How coarse levels are binned, the finest first.
    every : int
        Of a background that is found, see `Sampling`.
    """
    options = order.options
    psf = options.psfs[0].shape
    part = _part(grid, psf)
    shape = tuple(n if n == 1 else max(n - m + 1, 1) for n, m in zip(part, psf, strict=True))
    noise = np.random.default_rng(0).poisson(_LIGHT, shape).astype(np.uint16)
    problem = make_problem(noise, _LEVEL, None, options)
    with one_tile():
        counting = _counting(noise, every)
        of_kind = _filtering if options.kind.direct else _iterating
        pilot, tile = of_kind(problem, options, coarse)
    voxels = prod(grid_of(shape, psf, options.boundary))
    return SecondsAVoxel(counting / noise.size, pilot / voxels, tile / voxels)


def _filtering(
    problem: Problem, options: Options, coarse: Sequence[Binning]
) -> tuple[float, float]:
    """Measure how long finding the weight and a tile of a direct filter take."""
    known = options if not isnan(options.weight) else replace(options, weight=_WEIGHT)
    filter_directly(problem, known)  # makes kernels and plans
    tile = _clock(lambda: filter_directly(problem, known))
    if not isnan(options.weight):
        return 0.0, tile
    image, psf = problem.image, options.psfs[0].shape
    part = image[parts_of(image.shape)[0]]
    found = _clock(lambda: find_weight(part.__getitem__, part.shape, options))
    voxels = prod(grid_of(image.shape, psf, options.boundary))
    return found * voxels / prod(grid_of_part(part.shape, options)), tile


def _iterating(
    problem: Problem, options: Options, coarse: Sequence[Binning]
) -> tuple[float, float]:
    """Measure a step, and tell how long a pilot and a tile take with all of theirs."""
    weight = _WEIGHT if isnan(options.weight) else options.weight
    survey = Survey(
        background=_LEVEL, scale=32.0, light=_LIGHT - _LEVEL, gain=1.0, offset=0.0, iterations=1,
        weight=weight, stop=options.stop,
    )  # fmt: skip

    def run(steps: int) -> float:
        taken = replace(survey, iterations=steps)
        return _clock(lambda: solve(problem, taken.settle(options), taken, Models()))

    run(1)  # makes kernels and plans
    # What is done before the first step takes about as long as it.
    step = run(_STEPS) / (1 + _STEPS)
    # On a coarse level it takes so much less as there are fewer voxels.
    binned = accumulate(map(prod, coarse), mul)
    levels = zip(reversed(coarse_steps(coarse, options.psfs)), binned, strict=True)
    start = sum((1 + steps) / voxels for steps, voxels in levels)
    tile = step * (1 + options.iterations + start)
    return tile if needs_pilots(options) else 0.0, tile


def _counting(noise: npt.NDArray[np.uint16], every: int) -> float:
    tile = Tile((), (0,) * noise.ndim, noise.shape)
    sampling = Sampling(noise.shape, every)
    return _clock(lambda: count_tile(noise, None, None, tile, sampling, 0.0))


def _clock(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def _part(grid: Sequence[int], psf: Sequence[int]) -> list[int]:
    """Halve a grid until it is small enough, or less than twice the PSF."""
    part = list(grid)
    while prod(part) > _ENOUGH:
        axis = max(range(len(part)), key=lambda axis: part[axis] / psf[axis])
        if part[axis] < 4 * psf[axis]:
            break
        part[axis] //= 2
    return part
