"""One volume made ready for a solver: scaled, laid on its grid, on its device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array, Engine, Shape
from napari_deconv.forward import (
    Convolution,
    DepthVarying,
    ForwardModel,
    Observation,
    centred_at_origin,
    fast_shape,
    strata_weights,
)
from napari_deconv.solvers.position import Position

__all__ = [
    "ARRAYS",
    "FLOOR",
    "UNKNOWN_OUTSIDE",
    "Problem",
    "Volume",
    "extend",
    "grid_of",
    "less",
    "make_model",
    "margin_of",
    "memory_of",
    "power_of_two",
    "require_memory",
    "scaled",
]

Float = npt.NDArray[np.float32]

UNKNOWN_OUTSIDE = ("padded", "half_padded")
"""Boundaries where what surrounds the image is estimated with it."""

ARRAYS = 7
"""What plain and heavy-ball Richardson–Lucy hold: x, p, a correction, N, OTF, spectrum, and light
and data, which have the image's shape, together."""

FLOOR = 1e-6
"""The smallest light to divide by, and to start from, for data scaled to a maximum of 1 to 2."""


@dataclass(frozen=True)
class Problem:
    """One volume, and how it came about.

    Attributes
    ----------
    image : ndarray
        (z, y, x), finite and not negative where `mask` is True.
    background : ndarray
        Of the image's shape or (1, 1, 1), in the image's units.
    mask : ndarray of bool or None
        Of the image's shape; False leaves a voxel out.
    psfs : tuple of ndarray of float32
        Each (z, y, x), sum 1, centre voxel n // 2, of one shape: one PSF, or one for each depth.
    depths : tuple of float
        Where each PSF holds, from the image's first plane, in the unit of `spacing`.
    spacing : tuple of float
        Voxel size (z, y, x) in any unit.
    boundary : {"padded", "half_padded", "circular", "reflect", "zero"}
        What lies outside the image.
    start : tuple of int
        The image's first voxel (z, y, x) in the volume that it is a part of.
    """

    image: npt.NDArray[Any]
    background: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_] | None
    psfs: tuple[Float, ...]
    depths: tuple[float, ...]
    spacing: tuple[float, ...]
    boundary: str
    start: tuple[int, ...] = (0, 0, 0)


def extend(volume: npt.NDArray[Any], grid: Sequence[int], boundary: str) -> npt.NDArray[Any]:
    """Extend a volume to a periodic grid, itself at the origin.

    Parameters
    ----------
    volume : ndarray
        (z, y, x).
    grid : sequence of int
        At least as large.
    boundary : {"reflect", "zero"}
        Mirror at the outer faces of the edge voxels, or fill with 0.
    """
    before = [(size - n) // 2 for size, n in zip(grid, volume.shape, strict=True)]
    sizes = zip(before, grid, volume.shape, strict=True)
    widths = [(b, size - n - b) for b, size, n in sizes]
    padded = np.pad(volume, widths, mode="symmetric" if boundary == "reflect" else "constant")
    return np.roll(padded, [-b for b in before], axis=(0, 1, 2))


def less(image: npt.NDArray[Any], level: npt.ArrayLike) -> Float:
    """Subtract a background from an image.

    Integers would wrap round, and single precision lose what is between large values.
    """
    difference: Float = np.empty(image.shape, np.float32)
    np.subtract(image, level, out=difference, dtype=np.float64, casting="unsafe")
    return difference


def grid_of(shape: Shape, psf_shape: Shape, boundary: str) -> Shape:
    """Give the grid that an image is deconvolved on: itself if periodic, else with margins.

    Half padding is just enough that no light of the image wraps round into the image.
    """
    if boundary == "circular":
        return shape
    margin = margin_of(psf_shape, boundary)
    return fast_shape([n + m for n, m in zip(shape, margin, strict=True)])


def margin_of(psf_shape: Shape, boundary: str) -> Shape:
    """Give how many voxels a grid needs at least beyond the image, if it is not periodic."""
    return tuple(m // 2 if boundary == "half_padded" else m - 1 for m in psf_shape)


def memory_of(grid: Shape, arrays: int) -> int:
    """Give the bytes of so many arrays on a grid; half spectra are a little larger than images."""
    return 4 * arrays * int(np.prod([*grid[:-1], grid[-1] + 2]))


def require_memory(engine: Engine, grid: Shape, arrays: int, purpose: str) -> None:
    """Raise `DeviceError` if so many arrays on a grid do not fit on the device."""
    engine.require(memory_of(grid, arrays), memory_of(grid, 1), purpose)


def make_model(
    problem: Problem,
    engine: Engine,
    arrays: int = ARRAYS,
    lay: Callable[[Float], Float] = lambda kernel: kernel,
) -> Convolution | DepthVarying:
    """Make the forward model: periodic on the image, or on a grid with margins.

    If padded, the light that is compared is the image's, otherwise the whole grid's. It is
    made if so many `arrays` of its grid's size fit on the device.

    Parameters
    ----------
    problem : Problem
        The volume.
    engine : Engine
        Where to compute.
    arrays : int
        How many arrays of the grid's size the method needs with one PSF.
    lay : callable
        What to do with each PSF once it is laid on the grid, its centre at the origin.

    Raises
    ------
    DeviceError
        If the device has too little memory.
    """
    shape, size = problem.image.shape, problem.psfs[0].shape
    grid = grid_of(shape, size, problem.boundary)
    purpose = f"An image of {shape} with a PSF of {size}"
    require_memory(engine, grid, arrays + len(problem.psfs) - 1, purpose)
    seen = shape if problem.boundary in UNKNOWN_OUTSIDE else grid
    kernels = [lay(centred_at_origin(psf, grid)) for psf in problem.psfs]
    if len(kernels) == 1:
        return Convolution(engine, kernels[0], seen)
    weights = strata_weights(problem.depths, problem.spacing[0], shape[0], grid[0])
    return DepthVarying(engine, kernels, weights, seen)


class Volume:
    """An image volume with its forward model, as the iterative solvers take it.

    The data are scaled by a power of two to a maximum between 1 and 2, so that thresholds have one
    meaning and no digit is lost.

    Parameters
    ----------
    problem : Problem
        The volume.
    model : ForwardModel
        How light from the grid reaches the image, or with mirrored or empty surroundings the grid.
    scale : float, optional
        What to divide the data by instead.
    flat : float, optional
        Light a voxel, in the image's units, instead of the image's mean.

    Attributes
    ----------
    light : float
        Mean light a voxel above the background, at least 1e-3, scaled as the data: what is started
        from.
    """

    def __init__(
        self,
        problem: Problem,
        model: ForwardModel,
        scale: float | None = None,
        flat: float | None = None,
    ) -> None:
        self.shape: Shape = problem.image.shape
        self.problem = problem
        self.model = model
        engine, boundary = model.engine, problem.boundary
        data, counted, self.scale = scaled(problem.image, problem.mask, scale)
        offset = np.asarray(problem.background / self.scale, np.float32)
        if flat is None:
            light = float((data - offset).mean(where=counted > 0, dtype=np.float64))
        else:
            light = flat / self.scale
        self.light = max(light, 1e-3)
        if boundary in ("reflect", "zero"):
            data = self._surrounded(data, offset, boundary)
            offset, counted = (
                part if part.size == 1 else extend(part, model.grid, "reflect")
                for part in (offset, counted)
            )
        y, b, m = (engine.asarray(part) for part in (data, offset, counted))
        self.observation = Observation(y, b, m, FLOOR)

    def _surrounded(self, data: Float, offset: Float, boundary: str) -> npt.NDArray[Any]:
        grid = self.model.grid
        if boundary == "reflect":
            return extend(data, grid, "reflect")
        around = offset if offset.size == 1 else extend(offset, grid, "reflect")
        light = extend(data - offset, grid, "zero")
        light += around
        return light

    def start(self, initial: npt.NDArray[Any] | None) -> Position:
        """Start flat, or from an estimate (z, y, x) in the image's units."""
        values = np.full(self.model.grid, self.light, np.float32)
        if initial is not None:
            inside = tuple(slice(size) for size in self.shape)
            values[inside] = np.maximum(initial / self.scale, FLOOR)
        return Position(self.model.engine.asarray(values))

    def read(self, estimate: Array) -> Float:
        """Read an estimate back: (z, y, x) of the image's shape, in its units."""
        values = self.model.engine.to_numpy(estimate, self.shape)
        scaled: Float = values * np.float32(self.scale)
        return scaled


def scaled(
    image: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None, scale: float | None = None
) -> tuple[Float, Float, float]:
    """Scale data for a solver, by the power of two that brings their maximum between 1 and 2.

    Parameters
    ----------
    image : ndarray
        (z, y, x), not negative where it counts.
    mask : ndarray of bool or None
        Of the image's shape; False leaves a voxel out, and makes it 0.
    scale : float, optional
        What to divide by instead.

    Returns
    -------
    data : ndarray of float32
        The image, divided.
    counted : ndarray of float32
        The mask, or (1, 1, 1) if there is none.
    scale : float
        What it was divided by.
    """
    data = image.astype(np.float32)
    counted = np.ones((1, 1, 1), np.float32)
    if mask is not None:
        data[~mask] = 0
        counted = mask.astype(np.float32)
    divisor = power_of_two(float(data.max())) if scale is None else scale
    data /= np.float32(divisor)
    return data, counted, divisor


def power_of_two(largest: float) -> float:
    """Give what to divide data by so that their maximum is from 1 to 2."""
    return float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0
