"""What one iteration costs: beside plain Fourier transforms, and as the image grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from benchmarks.scipy_loop import cores, scipy_loop
from benchmarks.specimen import BACKGROUND, widefield_psf
from napari_deconv import deconvolve, iterate

__all__ = ["GROWTH_SHAPES", "Ratio", "Step", "against_transforms", "growth", "our_blocks"]

Float = npt.NDArray[np.float32]
Shape = tuple[int, ...]

BLOCK = 5
"""Iterations timed together: in each such block the divergence is computed once."""

GROWTH_SHAPES = [
    (32, 256, 256), (64, 256, 256), (64, 256, 512), (64, 512, 512), (128, 512, 512),
    (128, 512, 1024),
]  # fmt: skip
_GROWTH_PSF = (31, 31, 31)


@dataclass
class Ratio:
    """An iteration beside four plain transforms of its grid, in seconds."""

    shape: Shape
    psf_shape: Shape
    grid: Shape
    iteration: float
    transforms: float


@dataclass
class Step:
    """Seconds per iteration at a size."""

    shape: Shape
    ours: float
    loop: float


def photons(shape: Shape) -> Float:
    """Make an image whose content does not matter."""
    rng = np.random.default_rng(0)
    return rng.poisson(2 * BACKGROUND, shape).astype(np.float32)


def our_blocks(shape: Shape, psf: Float, engine: str, blocks: int) -> Iterator[float]:
    """Time blocks of our iterations, heavy ball, after one that is not timed.

    Yields
    ------
    float
        Seconds per iteration; the loop stands still until the next is asked for.
    """
    steps = iterate(
        photons(shape), psf, background=BACKGROUND, engine=engine, levels=1,
        iterations=(blocks + 1) * BLOCK,
    )  # fmt: skip
    for block in range(blocks + 1):
        seconds = _seconds(lambda: list(islice(steps, BLOCK))) / BLOCK
        if block > 0:
            yield seconds


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _grid(shape: Shape, psf: Float) -> Shape:
    """Ask a run of ours for the grid it took."""
    result = deconvolve(photons(shape), psf, background=BACKGROUND, engine="cpu", iterations=1)
    grid: Shape = result._checkpoints[0]["estimate"].shape
    return grid


def against_transforms(shape: Shape, psf_shape: Shape, blocks: int = 5) -> Ratio:
    """Time our iterations and SciPy's transforms of the same grid in turn; take the medians."""
    psf = widefield_psf(psf_shape)
    grid = _grid(shape, psf)
    array = photons(grid)

    def transform() -> None:
        for _ in range(2):
            spectrum = scipy.fft.rfftn(array, workers=cores())
            scipy.fft.irfftn(spectrum, grid, workers=cores())

    ours, plain = [], []
    for seconds in our_blocks(shape, psf, "cpu", blocks):
        ours.append(seconds)
        plain += [_seconds(transform) for _ in range(BLOCK)]
    return Ratio(shape, psf_shape, grid, median(ours), median(plain))


def growth(shape: Shape, blocks: int = 1) -> Step:
    """Time an iteration of ours and of the SciPy loop with a PSF of 31³."""
    psf = widefield_psf(_GROWTH_PSF)
    ours = median(our_blocks(shape, psf, "cpu", blocks))
    states = scipy_loop(photons(shape), psf, BACKGROUND, padding=1, heavy_ball=True)
    next(states)
    loop = median(_seconds(lambda: next(states)) for _ in range(3))
    return Step(shape, ours, loop)
