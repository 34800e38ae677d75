"""How long a tile takes, by a few steps of a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from math import isnan, prod
from operator import mul
from time import perf_counter

import numpy as np

from napari_deconv.blocks.order import Order
from napari_deconv.blocks.region import Survey, make_problem, solve
from napari_deconv.blocks.source import ONE_TILE
from napari_deconv.deconvolution.levels import Binning
from napari_deconv.deconvolution.volume import grid_of

__all__ = ["seconds_a_voxel"]

# A tile of so many voxels is beyond what processors keep at hand, as larger ones are.
_ENOUGH = 2**23

# Of the method, that are measured.
_STEPS = 4

# As many as a coarse level usually takes.
_COARSE_STEPS = 40


def seconds_a_voxel(order: Order, grid: Sequence[int], coarse: Sequence[Binning]) -> float:
    """Measure how long tiles take for each voxel that is computed, with all iterations.

    Parameters
    ----------
    order : Order
        What is done to them.
    grid : sequence of int
        The largest grid (z, y, x) of a tile. On a large one the steps are measured on a part of it.
    coarse : sequence of Binning
        How coarse levels are binned, the finest first.
    """
    options = order.options
    psf = options.psfs[0].shape
    part = _part(grid, psf)
    shape = tuple(n if n == 1 else max(n - m + 1, 1) for n, m in zip(part, psf, strict=True))
    noise = np.random.default_rng(0).poisson(20, shape).astype(np.float32)
    weight = 0.01 if isnan(options.weight) else options.weight
    survey = Survey(10.0, 32.0, 10.0, 1.0, 0.0, 1, weight)
    problem = make_problem(noise, survey.background, None, options)

    def run(steps: int) -> float:
        taken = replace(survey, iterations=steps, coarse_steps=(steps,) * len(coarse))
        start = perf_counter()
        solve(problem, taken.settle(options), taken, coarse)
        return perf_counter() - start

    steps, iterations = (1, 1) if options.kind.direct else (_STEPS, options.iterations)
    with ONE_TILE:
        run(1)  # makes kernels and plans
        seconds = run(steps)
    # A step on all levels takes so much longer than one on the finest. What is done before the
    # first one takes about as long as it.
    coarser = sum(1 / binned for binned in accumulate(map(prod, coarse), mul))
    one = seconds / ((1 + steps) * (1 + coarser))
    seconds = one * (1 + iterations + (1 + _COARSE_STEPS) * coarser)
    return float(seconds / prod(grid_of(shape, psf, options.boundary)))


def _part(grid: Sequence[int], psf: Sequence[int]) -> list[int]:
    """Halve a grid until it is small enough, or less than twice the PSF."""
    part = list(grid)
    while prod(part) > _ENOUGH:
        axis = max(range(len(part)), key=lambda axis: part[axis] / psf[axis])
        if part[axis] < 4 * psf[axis]:
            break
        part[axis] //= 2
    return part
