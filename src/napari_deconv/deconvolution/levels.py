"""Coarse to fine: a volume binned, and the estimate carried up.

Summed photons are Poisson again, so the binned problem is exact but for the assumption that the
object is even within a coarse voxel; and it costs an eighth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.deconvolution.volume import FLOOR, Problem, Volume
from napari_deconv.engines.protocol import Array, Line
from napari_deconv.solvers.position import Position

__all__ = [
    "MOST_LEVELS",
    "Binning",
    "Pyramid",
    "binnings",
    "coarse_steps",
    "coarse_to_fine",
    "falls_off",
    "fine_line",
    "profile_of",
]

Float = npt.NDArray[np.float32]

Binning = tuple[int, ...]
"""Voxels along each axis that become one of the next coarser level: 1 or 2."""

MOST_LEVELS = 3
"""Levels ``"auto"`` makes at most: beyond, the coarse run costs nothing any more."""

# Steps on the coarsest level, which starts with the same light everywhere, by whether a PSF falls
# off along all axes; and on the others, which start from the one before. They do not depend on the
# image, so that the tiles of a large one do what the whole would.
_FIRST = {True: 30, False: 60}
_OTHERS = 15

# A profile of a PSF that has not fallen to this part of its maximum at its end does not say where
# along that axis light comes from, as that of a widefield microscope along z.
_FALLEN = 0.15

# A coarse image needs a few PSFs in it, and a few voxels across.
_SMALLEST_SIZE = 8

# An axis is sampled finely enough where the OTF has fallen below this at half a cycle a voxel.
_NEGLIGIBLE = 0.02


class Pyramid:
    """A volume on its levels, from the coarsest to the finest.

    Attributes
    ----------
    volumes : list of Volume
        The levels still to be solved; the first one is being solved, the last one is the finest.

    Parameters
    ----------
    problem : Problem
        The finest level.
    steps : sequence of Binning
        How it is binned from level to level, the finest first.
    make_volume : callable
        Makes a problem ready for a solver.
    """

    def __init__(
        self,
        problem: Problem,
        steps: Sequence[Binning],
        make_volume: Callable[[Problem], Volume],
    ) -> None:
        self.volumes = [make_volume(level) for level in coarse_to_fine(problem, steps)]

    def carry_up(self, position: Position) -> Position:
        """Start the next finer level where this one ended, and let go of this one."""
        coarse, fine = self.volumes[:2]
        finer = _finer(coarse, fine, position.estimate)
        # Light is multiplied: where the coarse level saw none at all there may be some.
        fine.model.engine.clip(finer, FLOOR)
        del self.volumes[0]
        if len(self.volumes) == 1:
            # Details that no coarse level knows come in from rest: with momentum points wander.
            return Position(finer)
        # Momentum goes up as well; arrays belong to their grid.
        memory = position.memory.items()
        numbers = {name: value for name, value in memory if isinstance(value, int | float)}
        return Position(finer, memory=numbers)

    def read(self, estimate: Array) -> Float:
        """Read an estimate of the level that is being solved, on the finest one's image."""
        for coarse, fine in pairwise(self.volumes):
            estimate = _finer(coarse, fine, estimate)
        return self.volumes[-1].read(estimate)


def _finer(coarse: Volume, fine: Volume, estimate: Array) -> Array:
    """Interpolate an estimate on the next level's grid; coarse voxels share out their light."""
    engine, grid = fine.model.engine, fine.model.grid
    factors = [
        round(a / b) for a, b in zip(coarse.problem.spacing, fine.problem.spacing, strict=True)
    ]
    sizes = zip(coarse.model.grid, factors, fine.shape, grid, strict=True)
    z, y, x = (fine_line(*axis) for axis in sizes)
    out = engine.full(grid, 0.0)
    engine.interpolate(estimate, (z, y, x), out)
    share = coarse.scale / fine.scale / prod(factors)
    engine.combine(out, share, out, 0.0, out)
    return out


def fine_line(coarse_size: int, factor: int, image: int, size: int) -> Line:
    """Lay the fine voxels' centres among the coarse ones' along one axis of periodic grids.

    Parameters
    ----------
    coarse_size : int
        Of the coarse grid.
    factor : int
        Fine voxels in a coarse one.
    image : int
        Fine voxels of the image, which come first; the margins lie after it and, as the grid is
        periodic, before it. Beyond the coarse margins their last value holds.
    size : int
        Of the fine grid.
    """
    coarse_image = image // factor
    fine = np.arange(size)
    fine = np.where(fine < image + (size - image) // 2, fine, fine - size)
    place = (fine + 0.5) / factor - 0.5
    after = coarse_image + (coarse_size - coarse_image) // 2
    place = np.clip(place, after - coarse_size, after - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, after - 1)
    return Line(below % coarse_size, above % coarse_size, (place - below).astype(np.float32))


def binnings(shape: Sequence[int], psfs: Sequence[Float], levels: int) -> list[Binning]:
    """Decide how an image is binned, up to ``levels − 1`` times by 2 along each axis.

    An axis is binned while its voxels stay within twice the Nyquist step of the PSF, so that no
    axis loses what the iterations on the finest level cannot restore soon, and while the image has
    at least 8 voxels left along it.

    Parameters
    ----------
    shape : sequence of int
        Of the image (z, y, x).
    psfs : sequence of ndarray
        Each (z, y, x).
    levels : int
        Levels at most, the finest one included.

    Returns
    -------
    list of Binning
        From level to level, the finest first.
    """
    found: list[Binning] = []
    while len(found) < levels - 1:
        factors = _factors(shape, psfs)
        if max(factors) == 1:
            break
        found.append(factors)
        shape = tuple(n // factor for n, factor in zip(shape, factors, strict=True))
        psfs = [_coarse_psf(psf, factors) for psf in psfs]
    return found


def coarse_steps(coarse: Sequence[Binning], psfs: Sequence[Float]) -> list[int]:
    """Tell how many steps are done on each coarse level, from the coarsest.

    Where a PSF does not fall off, as along z in widefield, light takes long to find its place; with
    others more steps fit noise where there are few photons.

    Parameters
    ----------
    coarse : sequence of Binning
        How levels are binned.
    psfs : sequence of ndarray
        Each (z, y, x), on the image's own voxels.
    """
    if not coarse:
        return []
    compact = all(falls_off(psf, axis) for psf in psfs for axis in range(3))
    return [_FIRST[compact], *[_OTHERS] * (len(coarse) - 1)]


def falls_off(psf: Float, axis: int) -> bool:
    """Tell whether a PSF (z, y, x) falls off along an axis, or has one voxel only."""
    if psf.shape[axis] == 1:
        return True
    profile = profile_of(psf, axis)
    return bool(min(profile[0], profile[-1]) <= _FALLEN * profile.max())


def profile_of(psf: Float, axis: int) -> npt.NDArray[np.float64]:
    """Add up the light of a PSF (z, y, x) in the planes along an axis."""
    others = tuple(other for other in range(3) if other != axis)
    profile: npt.NDArray[np.float64] = psf.sum(axis=others, dtype=np.float64)
    return profile


def coarse_to_fine(problem: Problem, steps: Sequence[Binning]) -> list[Problem]:
    """Bin a problem.

    Parameters
    ----------
    problem : Problem
        The finest level.
    steps : sequence of Binning
        From level to level, the finest first.

    Returns
    -------
    list of Problem
        From the coarsest to the finest, which is the problem given.
    """
    problems = [problem]
    for factors in steps:
        problems.insert(0, _binned(problems[0], factors))
    return problems


def _factors(shape: Sequence[int], psfs: Sequence[Float]) -> Binning:
    def binnable(axis: int) -> bool:
        large_enough = shape[axis] >= 2 * _SMALLEST_SIZE
        return large_enough and all(_contrast_at_nyquist(psf, axis) < _NEGLIGIBLE for psf in psfs)

    return tuple(2 if binnable(axis) else 1 for axis in range(3))


def _contrast_at_nyquist(psf: Float, axis: int) -> float:
    """Largest |OTF| in the plane of half a cycle a voxel along an axis."""
    signs = (-1.0) ** np.arange(psf.shape[axis])
    plane = np.tensordot(psf, signs, (axis, 0))
    return float(np.abs(np.fft.rfft2(plane)).max())


def _binned(problem: Problem, factors: Binning) -> Problem:
    background, mask = problem.background, problem.mask
    if background.size == 1:
        background = background * np.prod(factors)
    else:
        background = _summed(background, factors)
    if mask is not None:
        mask = _summed(mask, factors) == np.prod(factors)
    return replace(
        problem,
        image=_summed(problem.image, factors),
        background=background,
        mask=mask,
        psfs=tuple(_coarse_psf(psf, factors) for psf in problem.psfs),
        # The first coarse plane lies between the first two fine ones.
        depths=tuple(d - (factors[0] - 1) / 2 * problem.spacing[0] for d in problem.depths),
        spacing=tuple(step * n for step, n in zip(problem.spacing, factors, strict=True)),
    )


def _summed(array: npt.NDArray[Any], factors: Binning) -> npt.NDArray[Any]:
    """Sum boxes of voxels; what is left over at the end of an axis is left out."""
    for axis, factor in enumerate(factors):
        if factor == 2:
            pairs = array.shape[axis] // 2 * 2
            even, odd = (np.arange(start, pairs, 2) for start in (0, 1))
            array = array.take(even, axis).astype(np.float32) + array.take(odd, axis)
    return array


def _coarse_psf(psf: Float, factors: Binning) -> Float:
    for axis, factor in enumerate(factors):
        if factor == 2:
            psf = _every_second(psf, axis)
    return psf


def _every_second(psf: Float, axis: int) -> Float:
    """PSF ⊗ box ⊗ box / 2 at every second voxel: light from a coarse voxel into a coarse voxel."""
    radius = psf.shape[axis] // 4 + 1
    widths = [(0, 0)] * 3
    before = 2 * radius + 1 - psf.shape[axis] // 2
    widths[axis] = (before, 4 * radius + 3 - before - psf.shape[axis])
    padded = np.pad(psf, widths)
    offsets = 2 * np.arange(2 * radius + 1)
    previous, here, following = (padded.take(offsets + shift, axis) for shift in range(3))
    coarse: Float = here + (previous + following) / np.float32(2)
    return coarse
