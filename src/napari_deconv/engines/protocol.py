"""What an engine is: the one place that knows where arrays live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse

__all__ = [
    "ROUGHNESS_EPSILON",
    "TV_EPSILON",
    "UPDATE_THRESHOLD",
    "Array",
    "Device",
    "Engine",
    "Fft",
    "Line",
    "Lines",
    "Shape",
    "format_bytes",
]

UPDATE_THRESHOLD = 0.01
"""Voxels that send less than this part of their light into the data are not estimated."""

TV_EPSILON = 1e-6
"""δ in ∇x/√(|∇x|² + (ε·x)² + δ²), for data scaled to a maximum between 1 and 2."""

ROUGHNESS_EPSILON = 1e-3
"""ε in |∇x|²/(x + ε), for data scaled to a maximum between 1 and 2."""

Array = Any
"""An engine's own array: float32, always three axes (z, y, x); a plane has one z."""

Shape = tuple[int, ...]


def format_bytes(count: float) -> str:
    """Write a number of bytes for a person: ``"5.1 GB"``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@dataclass(frozen=True)
class Device:
    """A compute device as it is listed to users.

    Attributes
    ----------
    engine : str
        ``"cpu"`` or ``"opencl"``.
    name : str
        The name the driver reports; ``"opencl:<name>"`` selects it.
    kind : str
        ``"CPU"`` or ``"GPU"``.
    memory : int
        Memory in bytes that the device has in all.
    buffer_limit : int
        Largest single array in bytes.
    """

    engine: str
    name: str
    kind: str
    memory: int
    buffer_limit: int

    @property
    def key(self) -> str:
        """What to pass as ``engine=`` to get this device."""
        return self.engine if self.engine == "cpu" else f"{self.engine}:{self.name}"


@dataclass(frozen=True)
class Line:
    """Linear interpolation along one axis: for each new place the old ones beside it.

    Attributes
    ----------
    below, above : ndarray of int
        Index of the two old places.
    part : ndarray of float32
        How much of `above`, from 0 to 1.
    """

    below: np.ndarray
    above: np.ndarray
    part: np.ndarray

    def cut(self, places: slice) -> Line:
        """Take some of the new places."""
        return Line(self.below[places], self.above[places], self.part[places])


Lines = tuple[Line, Line, Line]
"""One for each axis (z, y, x)."""


class Fft(Protocol):
    """Real Fourier transforms on one grid: planned once, with the memory they work in.

    An image smaller than the grid lies at its origin and is 0 elsewhere; a result smaller than the
    grid takes the first voxels of each axis. Neither costs more than its part of the work.
    """

    grid: Shape

    def spectrum(self, image: Array) -> Array:
        """Make the half spectrum F x of an image, unnormalised."""
        ...

    def convolve(self, image: Array, otf: Array, out: Array) -> None:
        """F⁻¹[H·F x] into `out`; `image` is kept unless it is `out`."""
        ...

    def correlate(self, image: Array, otf: Array, out: Array) -> None:
        """F⁻¹[H*·F x] into `out`; `image` is kept unless it is `out`."""
        ...

    def convolve_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        """F⁻¹[Σᵢ Hᵢ·F(aᵢ x)] into `out`, from an image of the grid's shape, which is kept.

        `weights` holds aᵢ for each OTF and plane of the grid, as an array (1, n, z).
        """
        ...

    def correlate_strata(
        self, image: Array, otfs: Sequence[Array], weights: Array, out: Array
    ) -> None:
        """Σᵢ aᵢ·F⁻¹[Hᵢ*·F y] into `out` of the grid's shape; `image` is kept."""
        ...


class Engine(Protocol):
    """Arrays on one device, and the operations the models and solvers are written in.

    A *spectrum* is the half spectrum of a real array (last axis ``nx // 2 + 1``), opaque to
    callers. Where an operand may be one number for all voxels (background, mask, normalisation)
    it is an array of shape (1, 1, 1). Operations with ``out`` write there; those documented as
    *in place* change their first argument. All raise `DeviceError` when the device fails.
    """

    device: Device

    # -- memory ------------------------------------------------------------------------------
    def asarray(self, array: np.ndarray, shape: Shape | None = None) -> Array:
        """Copy a NumPy array (z, y, x) to the device as float32, zero-padded to `shape`."""
        ...

    def to_numpy(self, array: Array, shape: Shape | None = None) -> np.ndarray:
        """Copy the first `shape` voxels of each axis back as a new float32 NumPy array."""
        ...

    def full(self, shape: Shape, value: float) -> Array:
        """Make an array filled with one value."""
        ...

    def copy(self, array: Array) -> Array:
        """Make an independent copy."""
        ...

    def require(self, nbytes: int, largest: int, purpose: str) -> None:
        """Raise `DeviceError` if `nbytes` in all or `largest` in one array do not fit."""
        ...

    # -- transforms --------------------------------------------------------------------------
    def fft(self, grid: Shape) -> Fft:
        """Plan the transforms on a grid."""
        ...

    # -- an OTF becomes a filter, in place -------------------------------------------------------
    def wiener(self, otf: Array, penalty: Array) -> None:
        """H ← H*/(|H|² + P), 0 where both vanish; `penalty` real, on the half spectrum."""
        ...

    def inverse(self, otf: Array, epsilon: float) -> None:
        """H ← 1/(H + ε), 0 where |H + ε| < ε/2 so that the gain never exceeds 2/ε."""
        ...

    # -- steps on light, where the data are -----------------------------------------------------
    def ratio(self, light: Array, data: Array, background: Array, floor: float) -> None:
        """U ← y/max(U + b, floor), in place."""
        ...

    def damped_ratio(
        self,
        light: Array,
        data: Array,
        background: Array,
        mask: Array,
        floor: float,
        threshold: float,
    ) -> None:
        """U ← M·(1 + D⁹(10 − 9D)·(y − u)/u), D = min((y·ln(y/u) − y + u)/threshold, 1), in place.

        u = max(U + b, floor).
        """
        ...

    def stabilized_ratio(
        self, light: Array, data: Array, background: Array, mask: Array, offset: float
    ) -> None:
        """U ← M·√((y + offset)/(max(U + b, 0) + offset)), in place; the offset is above 0."""
        ...

    def residual(self, light: Array, data: Array, background: Array, mask: Array) -> None:
        """U ← M·(y − U − b), in place."""
        ...

    def split_photons(
        self, data: Array, photon: float, offset: float, seed: int, first: Array, second: Array
    ) -> None:
        """Share the photons of data out at random: o + 2s₁ and o + 2s₂ into `first` and `second`.

        s₁ ~ Binomial(y − o, ½), s₂ = y − o − s₁, in units of one `photon`; what lies below the
        `offset` o is in both. What is left of a voxel above a whole number goes to one of the two.
        Each seed, at least 0, is another draw.
        """
        ...

    # -- steps on estimates, on the grid ----------------------------------------------------------
    def update(self, correction: Array, guess: Array, divisor: Array) -> None:
        """C ← p·C/N where N > 0.01, 0 elsewhere; in place."""
        ...

    def update_with_momentum(
        self,
        correction: Array,
        guess: Array,
        divisor: Array,
        previous: Array,
        step: float,
        floor: float,
    ) -> None:
        """C ← p·C/N as `update`, then p ← max(C + α(C − x), floor·C) into `guess`."""
        ...

    def agreement(self, first: Array, second: Array, normalization: Array, out: Array) -> None:
        """(C₁ − N)(C₂ − N)/N where N > 0.01, 0 elsewhere, into `out`."""
        ...

    def update_where_agreed(
        self,
        first: Array,
        second: Array,
        estimate: Array,
        normalization: Array,
        agreement: Array,
    ) -> None:
        """C₁ ← x·(C₁ + C₂)/2N where A ≥ 0, x elsewhere, 0 where N ≤ 0.01; in place."""
        ...

    def extrapolate(
        self, current: Array, previous: Array, step: float, floor: float, out: Array
    ) -> None:
        """P ← max(x + α(x − x₋₁), floor·x) into `out`, so that zero stays zero."""
        ...

    def combine(self, first: Array, a: float, second: Array, b: float, out: Array) -> None:
        """a·first + b·second into `out`, which may be one of them."""
        ...

    def clip(self, array: Array, floor: float = 0.0) -> None:
        """X ← max(X, floor), in place."""
        ...

    def total_variation(
        self,
        estimate: Array,
        spacing: Shape | tuple[float, ...],
        weight: float,
        flatness: float,
        normalization: Array,
        out: Array,
    ) -> None:
        """N′ ← N·max(1 − λ·div(∇x/√(|∇x|² + (ε·x)² + δ²)), 0.1), 0 where N ≤ 0.01; periodic.

        ε is the flatness: slopes of less than this part of a voxel's light count less.
        """
        ...

    def tikhonov(
        self,
        estimate: Array,
        spacing: Shape | tuple[float, ...],
        weight: float,
        correction: Array,
        normalization: Array,
        out: Array,
    ) -> None:
        """C ← C + κ − λ·∂R in place, N′ ← N + κ, 0 where N ≤ 0.01, into `out`; periodic.

        R = Σ |∇x|², κ = 8λ·Σ x/d² over the axes' steps d.
        """
        ...

    def roughness(
        self,
        estimate: Array,
        spacing: Shape | tuple[float, ...],
        weight: float,
        correction: Array,
        normalization: Array,
        out: Array,
    ) -> None:
        """C ← C + κ − λ·∂R in place, N′ ← N + κ, 0 where N ≤ 0.01, into `out`; periodic.

        R = Σ |∇x|²/(x̄ + ε), κ = 4λ·Σ x/(x̄ + ε)/d² over the neighbours, x̄ half-way to each: the
        mirror image of an object is as rough as the object, and ∂R is finite where x is 0.
        """
        ...

    # -- steps down a least-squares functional, on the grid --------------------------------------
    def descend(
        self, correction: Array, guess: Array, step: float, normalization: Array, lowest: float
    ) -> None:
        """C ← max(p + γ·C, lowest) where N > 0.01, 0 elsewhere; in place."""
        ...

    def restrict(self, uphill: Array, estimate: Array, normalization: Array) -> None:
        """U ← 0, in place, where N ≤ 0.01 or a step x − t·U would leave x ≥ 0: x = 0 and U > 0."""
        ...

    def laplacian(self, image: Array, spacing: tuple[float, ...], out: Array) -> None:
        """∇²x into `out`: second differences over the squared voxel step (z, y, x); periodic."""
        ...

    def haar_average(self, image: Array, steps: Shape, out: Array) -> None:
        """a(i) into `out`: mean of the corners i + e·s of a block, e from {0, 1}³; periodic.

        The steps s (z, y, x) are below the array's sizes; an axis with step 0 has no differences.
        """
        ...

    def haar_change(
        self, image: Array, steps: Shape, threshold: float, coarse: Array, out: Array
    ) -> None:
        """Write what soft thresholding of a level of undecimated Haar wavelets adds to an image.

        A block at i, with corners as in `haar_average`, is its average and up to seven differences
        d = mean ±x. Each d moves towards 0 by at most `threshold`, the average changes by
        `coarse`; `out` is the mean of what that changes in all blocks that a voxel is part of.
        """
        ...

    # -- reductions, accumulated in double precision or pairwise --------------------------------
    def sum(self, array: Array) -> float:
        """Sum over all voxels."""
        ...

    def dot(self, first: Array, second: Array) -> float:
        """Inner product of two arrays of equal shape."""
        ...

    def largest_change(self, first: Array, second: Array) -> float:
        """Largest difference between two arrays of equal shape, whatever its sign."""
        ...

    def divergence(
        self, light: Array, data: Array, background: Array, mask: Array, floor: float
    ) -> float:
        """I-divergence Σ M·[y·ln(y/u) − y + u], u = max(light + b, floor)."""
        ...

    # -- filters; reflect at the edges (… b a | a b … c | c b …) ----------------------------------
    def gaussian(self, image: Array, sigma: tuple[float, ...]) -> Array:
        """Gaussian blur, σ (z, y, x) in voxels, truncated at 4 σ; 0 leaves an axis alone."""
        ...

    def minimum(self, image: Array, size: Shape) -> Array:
        """Minimum over an odd box of `size` (z, y, x) voxels."""
        ...

    def maximum(self, image: Array, size: Shape) -> Array:
        """Maximum over an odd box of `size` (z, y, x) voxels."""
        ...

    def rolling_ball(self, image: Array, heights: np.ndarray) -> Array:
        """Apex of the highest ball below the image (outside of which there is nothing to touch).

        `heights` is the odd-sized upper half of the ball, infinite off it.
        """
        ...

    # -- from grid to grid -----------------------------------------------------------------------
    def crop(self, image: Array, box: tuple[slice, slice, slice]) -> Array:
        """Take a box (z, y, x) of voxels, to be read: it may share the image's memory."""
        ...

    def interpolate(self, image: Array, lines: Lines, out: Array) -> None:
        """Interpolate linearly along each axis into `out`, of the lines' lengths."""
        ...

    # -- radial tables ---------------------------------------------------------------------------
    def expand(self, table: np.ndarray, weights: scipy.sparse.csr_array) -> Array:
        """Interpolate: table (nz, nr) and weights (pixels, nr) give an array (nz, 1, pixels)."""
        ...
