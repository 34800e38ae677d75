"""How strongly a direct filter smooths, found from the data.

The filters are x = F⁻¹[H*·Y/(|H|² + λP)]: Tikhonov with P = |L|² (L the Laplacian), Wiener with
P = 1 except at frequency zero. Three rules find λ: generalised cross-validation, the discrepancy
principle, and a bound on the negative values. Spectra are half spectra, as `scipy.fft.rfftn` makes
them; what their missing half holds is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_deconv.engines.limits import threads

__all__ = [
    "LEAST_WEIGHT",
    "AutomaticWeights",
    "automatic_weights",
    "cross_validated",
    "faded_mirror",
    "laplacian_penalty",
    "mirror_counts",
    "negativity_weight",
    "weighted_sum",
    "wiener_penalty",
]

Real = npt.NDArray[np.floating]
Complex = npt.NDArray[np.complexfloating]
Grid = tuple[int, int, int]

# What one fitted degree of freedom costs in cross-validation. 1 is Craven and Wahba's rule, which
# smooths too little when the model is not exact, as it never is at the borders; Kim and Gu advise
# 1.4.
_CHARGE = 1.5

# Largest ratio of the most negative to the most positive value.
_NEGATIVE_PART = 0.1

# λ is searched from 10^-12 to 10^4: |H| is 1 at frequency zero, and P at most 144.
_LOG_WEIGHTS = np.arange(-12, 4.001, 0.02)
LEAST_WEIGHT = float(10 ** _LOG_WEIGHTS[0])
_LOG_RATIOS = np.arange(-20, 12.001, 0.01)
_SEARCH_STEP = 0.1


@dataclass(frozen=True)
class AutomaticWeights:
    """λ by three rules.

    Attributes
    ----------
    gcv : float
        By generalised cross-validation; the one to use.
    discrepancy : float
        By the discrepancy principle: the residual is as strong as the noise.
    negativity : float
        The smallest with which the most negative value is at most 10 % of the largest positive one.
    """

    gcv: float
    discrepancy: float
    negativity: float


def faded_mirror(volume: Real, grid: Sequence[int], margin: Sequence[int]) -> Real:
    """Extend a volume to a periodic grid by its mirror image, which fades to 0.

    A mirror image alone meets itself in a jump half-way round the grid, and puts as much light
    outside as inside; a filter takes either for detail.

    Parameters
    ----------
    volume : ndarray
        (z, y, x), background subtracted.
    grid : sequence of int
        At least as large.
    margin : sequence of int
        Voxels along each axis that it fades in, half of them on either side; what is left of the
        grid is 0. A grid is larger than need be where that transforms faster.

    Returns
    -------
    ndarray
        Of the grid's shape and the volume's dtype, the volume at its first voxels.
    """
    for axis, sizes in enumerate(zip(volume.shape, grid, margin, strict=True)):
        source, fade = _faded_line(*sizes)
        column = fade.astype(volume.dtype).reshape([-1 if a == axis else 1 for a in range(3)])
        volume = volume.take(source, axis)
        volume *= column
    return volume


def mirror_counts(n: int, size: int, margin: int) -> npt.NDArray[np.float64]:
    """Tell how often `faded_mirror` shows each of n voxels along an axis: 1, and what is mirrored.

    Parameters
    ----------
    n, size, margin : int
        Along the axis: of the volume, of the grid, and what it fades in.
    """
    source, fade = _faded_line(n, size, margin)
    return np.bincount(source, fade, n).astype(np.float64)


def weighted_sum(values: npt.NDArray[Any], counts: Sequence[npt.NDArray[np.float64]]) -> float:
    """Add up values (z, y, x) or (y, x), each as often as told along each axis."""
    *outer, ny, nx = counts
    # Plane by plane: in double precision the whole is large.
    planes = values.reshape(-1, ny.size, nx.size)
    times = outer[0] if outer else np.ones(1)
    return float(sum(n * (ny @ plane @ nx) for n, plane in zip(times, planes, strict=True)))


def _faded_line(
    n: int, size: int, margin: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Tell from which voxel each one of a grid's line is, and how bright."""
    place = np.arange(size)
    past, ahead = place - (n - 1), size - place
    image = np.where(past <= ahead, place, -ahead) % (2 * n)
    fade = np.clip(1 - 2 * np.minimum(past, ahead) / (margin + 1), 0, 1)
    fade[:n] = 1
    return np.minimum(image, 2 * n - 1 - image), fade


def laplacian_penalty(grid: Grid, spacing: Sequence[float]) -> npt.NDArray[np.float32]:
    """Compute Tikhonov's P = |L|², L the transfer function of the discrete Laplacian.

    L = Σᵢ 2(1 − cos kᵢ)/dᵢ², the steps dᵢ relative to the finest, so that neither the unit nor an
    axis of size 1 changes λ: at most 4 an axis, 16 on a line, 144 in isotropic space after the
    square.

    Parameters
    ----------
    grid : tuple of int
        (z, y, x).
    spacing : sequence of float
        Voxel size (z, y, x) in any unit.

    Returns
    -------
    ndarray of float32
        On the half spectrum, 0 at frequency zero.
    """
    steps = [step for step, size in zip(spacing, grid, strict=True) if size > 1]
    finest = min(steps, default=1.0)
    laplacian = np.zeros((1, 1, 1))
    for axis, (k, step) in enumerate(zip(_frequencies(grid), spacing, strict=True)):
        second_difference = 2 * (1 - np.cos(2 * np.pi * k)) / (step / finest) ** 2
        laplacian = laplacian + _along(second_difference, axis)
    return np.square(laplacian).astype(np.float32)


def wiener_penalty(grid: Grid) -> npt.NDArray[np.float32]:
    """Compute Wiener's P: 1 on the half spectrum, 0 at frequency zero so that the sum is kept."""
    penalty = np.ones((grid[0], grid[1], grid[2] // 2 + 1), np.float32)
    penalty[0, 0, 0] = 0
    return penalty


def cross_validated(spectra: Iterable[Complex], otf: Complex, penalty: Real, grid: Grid) -> float:
    """Find λ by generalised cross-validation.

    Parameters
    ----------
    spectra : iterable of ndarray of complex
        Y: half spectra of the data's parts, each on the grid, background subtracted (see
        `faded_mirror`).
    otf, penalty, grid
        As in `automatic_weights`.

    Returns
    -------
    float
        λ, from 1e-12 to 1e4.

    Notes
    -----
    Cross-validation minimises Σ|(1 − F)Y|²/[Σ(1 − ρF)]², F = |H|²/(|H|² + λP), with ρ = 1.5 (Craven
    & Wahba, Numer. Math. 31, 377, 1979; ρ: Kim & Gu, J. R. Stat. Soc. B 66, 337, 2004).

    All frequencies of one |H|²/P are smoothed alike, so that one pass over the spectra, which
    gathers them in bins of 2 %, serves all λ.
    """

    def gather(spectrum: Complex) -> _Bins:
        return _gather(spectrum, otf, penalty, grid)

    # Unlike a generator expression, map keeps no spectrum while the next one is made.
    return _gcv_weight(reduce(add, map(gather, spectra)))


def automatic_weights(
    spectra: Sequence[Complex], otf: Complex, penalty: Real, grid: Grid, shape: Sequence[int]
) -> AutomaticWeights:
    """Find λ by each of the three rules.

    Parameters
    ----------
    spectra : sequence of ndarray of complex
        As in `cross_validated`.
    otf : ndarray of complex
        H, of the same shape, 1 at frequency zero.
    penalty : ndarray
        P, of the same shape, not negative.
    grid : tuple of int
        (z, y, x); the half spectrum does not tell whether x is odd.
    shape : sequence of int
        That of each part, at the grid's first voxels: where negative values count.

    Returns
    -------
    AutomaticWeights
        λ by each rule, from 1e-12 to 1e4.

    Notes
    -----
    The discrepancy principle (Morozov 1966) solves Σ|(1 − F)Y|² = Nσ² with σ² the mean of |Y|² over
    the finest band. The mean and not the median absolute deviation, because photon noise is
    stronger where there is light: its power is the same at all frequencies, but not at all voxels.
    """
    bins = reduce(add, (_gather(y, otf, penalty, grid) for y in spectra))
    gcv = _gcv_weight(bins)
    power = float(np.mean([_finest_band_power(y, grid) for y in spectra]))

    def extremes(weight: float) -> Real:
        wiener = otf.conj() / (np.square(np.abs(otf)) + weight * penalty)
        found: list[float] = []
        for spectrum in spectra:
            image = fft.irfftn(spectrum * wiener, grid, overwrite_x=True, workers=threads())
            inside = image[tuple(slice(n) for n in shape)]
            found += [inside.min(), inside.max()]
        return np.array(found)

    return AutomaticWeights(
        gcv, _discrepancy_weight(bins, bins.total * power), negativity_weight(extremes, gcv)
    )


def negativity_weight(solve: Callable[[float], Real], start: float) -> float:
    """Find the smallest λ with which no value is below −10 % of the largest one.

    Parameters
    ----------
    solve : callable
        Makes the estimate for a λ, or its least and largest values; called about eight times.
    start : float
        Where to begin.

    Returns
    -------
    float
        λ, at most a quarter too large; the rule was seen to hold with it, or it is 1e4.
    """

    def holds(log_weight: float) -> bool:
        estimate = solve(10**log_weight)
        return bool(estimate.min() >= -_NEGATIVE_PART * estimate.max())

    lowest, highest = _LOG_WEIGHTS[0], _LOG_WEIGHTS[-1]
    here = float(np.clip(np.log10(start), lowest, highest))
    descending = holds(here)
    fails, passes, stride = here, here, 1.0
    while descending and fails > lowest:
        fails, stride = max(fails - stride, lowest), 2 * stride
        if not holds(fails):
            break
        passes = fails
    while not descending and passes < highest:
        passes, stride = min(passes + stride, highest), 2 * stride
        if holds(passes):
            break
        fails = passes
    while passes - fails > _SEARCH_STEP:
        middle = (fails + passes) / 2
        fails, passes = (fails, middle) if holds(middle) else (middle, passes)
    return float(10**passes)


# -- cross-validation and discrepancy ------------------------------------------------------------


@dataclass(frozen=True)
class _Bins:
    """Frequencies of equal |H|²/P together: how many, and how strong the data are there."""

    count: npt.NDArray[np.float64]
    power: npt.NDArray[np.float64]
    unpenalized: float

    def __add__(self, other: _Bins) -> _Bins:
        return _Bins(
            self.count + other.count,
            self.power + other.power,
            self.unpenalized + other.unpenalized,
        )

    def sums(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Σ|(1 − F)Y|² and ΣF for each of the weights searched."""
        filled = self.count > 0
        ratio, count, power = 10 ** _LOG_RATIOS[filled], self.count[filled], self.power[filled]
        weights = 10**_LOG_WEIGHTS
        residual, fitted = np.empty((2, weights.size))
        for i, weight in enumerate(weights):
            kept = ratio / (ratio + weight)
            residual[i] = np.square(1 - kept) @ power
            fitted[i] = kept @ count + self.unpenalized
        return residual, fitted

    @property
    def total(self) -> float:
        """Number of frequencies."""
        return float(self.count.sum() + self.unpenalized)


def _gather(spectrum: Complex, otf: Complex, penalty: Real, grid: Grid) -> _Bins:
    """Bin |Y|² (scaled so that white noise of variance σ² has power σ²) by |H|²/P."""
    multiplicity, edges = _multiplicity(grid), _LOG_RATIOS
    count, power = np.zeros((2, edges.size))
    unpenalized = 0.0
    for y, h, p in zip(spectrum, otf, penalty, strict=True):
        seen = p > 0
        copies = np.broadcast_to(multiplicity, p.shape)[seen]
        ratio = np.square(np.abs(h[seen]), dtype=np.float64) / p[seen]
        place = (np.log10(np.maximum(ratio, 1e-300)) - edges[0]) / (edges[1] - edges[0])
        places = np.clip(np.rint(place), 0, edges.size - 1).astype(np.intp)
        strength = np.square(np.abs(y[seen]), dtype=np.float64) / np.prod(grid)
        count += np.bincount(places, copies, edges.size)
        power += np.bincount(places, copies * strength, edges.size)
        unpenalized += float(np.broadcast_to(multiplicity, p.shape)[~seen].sum())
    return _Bins(count, power, unpenalized)


def _gcv_weight(bins: _Bins) -> float:
    residual, fitted = bins.sums()
    free = bins.total - _CHARGE * fitted
    score = np.full(free.shape, np.inf)
    np.divide(residual, np.square(free), out=score, where=free > 0)
    return float(10 ** _LOG_WEIGHTS[np.argmin(score)])


def _discrepancy_weight(bins: _Bins, noise: float) -> float:
    residual, _ = bins.sums()
    place = int(np.searchsorted(residual, noise))
    return float(10 ** _LOG_WEIGHTS[min(place, residual.size - 1)])


def _finest_band_power(spectrum: Complex, grid: Grid) -> float:
    """Mean |Y|² over frequencies in the upper half along each axis: noise, if the band is limited.

    The Nyquist frequency itself is left out: what is mirrored has none of it.
    """
    band = np.broadcast_to(_multiplicity(grid), (1, 1, grid[2] // 2 + 1))
    for axis, k in enumerate(_frequencies(grid)):
        fine = (np.abs(k) >= 0.25) & (np.abs(k) < 0.5)
        band = band * _along(fine if fine.any() else np.ones(k.size), axis)
    power = sum(
        float(np.sum(weight * np.square(np.abs(y), dtype=np.float64)))
        for y, weight in zip(spectrum, np.broadcast_to(band, spectrum.shape), strict=True)
    )
    return power / float(band.sum()) / float(np.prod(grid))


# -- half spectra --------------------------------------------------------------------------------


def _frequencies(grid: Grid) -> list[npt.NDArray[np.floating]]:
    """Cycles per voxel along each axis of the half spectrum."""
    return [np.fft.fftfreq(grid[0]), np.fft.fftfreq(grid[1]), np.fft.rfftfreq(grid[2])]


def _multiplicity(grid: Grid) -> npt.NDArray[np.float64]:
    """How often a value of the half spectrum occurs in the whole one, along x."""
    copies = np.full(grid[2] // 2 + 1, 2.0)
    copies[0] = 1
    if grid[2] % 2 == 0:
        copies[-1] = 1
    return copies


def _along(values: npt.NDArray[np.generic], axis: int) -> npt.NDArray[np.float64]:
    shape = [1, 1, 1]
    shape[axis] = -1
    return values.astype(np.float64).reshape(shape)
