"""One volume made ready for a solver: scaled, laid on its grid, on its device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.protocol import Array, Engine, Shape
from napari_deconv.forward import (
    Convolution,
    ForwardModel,
    Observation,
    centred_at_origin,
    fast_shape,
)
from napari_deconv.solvers.position import Position

__all__ = ["ARRAYS", "FLOOR", "Problem", "Volume", "extend", "make_model", "require_memory"]

Float = npt.NDArray[np.float32]

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
    psf : ndarray of float32
        (z, y, x), sum 1, centre voxel n // 2.
    spacing : tuple of float
        Voxel size (z, y, x) in any unit.
    boundary : {"padded", "circular", "reflect", "zero"}
        What lies outside the image.
    """

    image: npt.NDArray[Any]
    background: npt.NDArray[Any]
    mask: npt.NDArray[np.bool_] | None
    psf: Float
    spacing: tuple[float, ...]
    boundary: str


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


def require_memory(engine: Engine, grid: Shape, arrays: int, purpose: str) -> None:
    """Raise `DeviceError` if so many arrays on a grid do not fit on the device."""
    voxels = int(np.prod([*grid[:-1], grid[-1] + 2]))
    engine.require(4 * voxels * arrays, 4 * voxels, purpose)


def make_model(
    shape: Shape, psf: Float, boundary: str, engine: Engine, arrays: int = ARRAYS
) -> Convolution:
    """Make the convolution for an image of `shape`: periodic on it, or on a grid with margins.

    With ``"padded"`` the light that is compared is the image's, otherwise the whole grid's. It is
    made if so many `arrays` of its grid's size fit on the device.

    Raises
    ------
    DeviceError
        If the device has too little memory.
    """
    padded = [n + m - 1 for n, m in zip(shape, psf.shape, strict=True)]
    grid = shape if boundary == "circular" else fast_shape(padded)
    require_memory(engine, grid, arrays, f"An image of {shape} with a PSF of {psf.shape}")
    seen = shape if boundary == "padded" else grid
    return Convolution(engine, centred_at_origin(psf, grid), seen)


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
    """

    def __init__(self, problem: Problem, model: ForwardModel) -> None:
        self.shape: Shape = problem.image.shape
        self.problem = problem
        self.model = model
        engine, boundary = model.engine, problem.boundary
        data = problem.image.astype(np.float32)
        counted = np.ones((1, 1, 1), np.float32)
        if problem.mask is not None:
            data[~problem.mask] = 0
            counted = problem.mask.astype(np.float32)
        largest = float(data.max())
        self.scale = float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0
        data /= np.float32(self.scale)
        offset = np.asarray(problem.background / self.scale, np.float32)
        light = (data - offset).mean(where=counted > 0, dtype=np.float64)
        self._flat = max(float(light), 1e-3)
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
        values = np.full(self.model.grid, self._flat, np.float32)
        if initial is not None:
            inside = tuple(slice(size) for size in self.shape)
            values[inside] = np.maximum(initial / self.scale, FLOOR)
        return Position(self.model.engine.asarray(values))

    def read(self, estimate: Array) -> Float:
        """Read an estimate back: (z, y, x) of the image's shape, in its units."""
        values = self.model.engine.to_numpy(estimate, self.shape)
        scaled: Float = values * np.float32(self.scale)
        return scaled
