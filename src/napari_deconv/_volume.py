"""One volume made ready for a solver: scaled, laid on its grid, on its device."""

from __future__ import annotations

from collections.abc import Sequence
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
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.richardson_lucy import Position

__all__ = ["ARRAYS", "Volume", "extend", "padded_model", "require_memory"]

Float = npt.NDArray[np.float32]

ARRAYS = 7
"""What plain and heavy-ball Richardson–Lucy hold: x, p, a work array, N, OTF, spectrum, data."""

# Hx + b is floored at this part of the brightest voxel.
_FLOOR = 1e-6


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


def padded_model(
    shape: Shape, psf: Float, boundary: str, engine: Engine, arrays: int = ARRAYS
) -> Convolution:
    """Make the convolution for an image of `shape`: periodic on it, or on a grid with margins.

    It is made if so many `arrays` of its grid's size fit on the device.

    Raises
    ------
    DeviceError
        If the device has too little memory.
    """
    padded = [n + m - 1 for n, m in zip(shape, psf.shape, strict=True)]
    grid = shape if boundary == "circular" else fast_shape(padded)
    require_memory(engine, grid, arrays, f"An image of {shape} with a PSF of {psf.shape}")
    return Convolution(engine, centred_at_origin(psf, grid))


class Volume:
    """An image volume with its forward model, as the iterative solvers take it.

    The data are scaled by a power of two to a maximum between 1 and 2, so that thresholds have one
    meaning and no digit is lost.

    Parameters
    ----------
    model : ForwardModel
        How light from the grid reaches the image.
    image : ndarray
        (z, y, x), finite and not negative where `mask` is True.
    background : ndarray
        Of the image's shape or (1, 1, 1), in the image's units.
    mask : ndarray of bool or None
        Of the image's shape; False leaves a voxel out.
    boundary : {"padded", "circular", "reflect", "zero"}
        What lies outside the image.
    """

    def __init__(
        self,
        model: ForwardModel,
        image: npt.NDArray[Any],
        background: npt.NDArray[Any],
        mask: npt.NDArray[np.bool_] | None,
        boundary: str,
    ) -> None:
        self.shape: Shape = image.shape
        self.model = model
        engine = model.engine
        data = image.astype(np.float32)
        counted = np.ones((1, 1, 1), np.float32)
        if mask is not None:
            data[~mask] = 0
            counted = mask.astype(np.float32)
        largest = float(data.max())
        self.scale = float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0
        data /= np.float32(self.scale)
        offset = np.asarray(background / self.scale, np.float32)
        light = (data - offset).mean(where=counted > 0, dtype=np.float64)
        self._flat = max(float(light), 1e-3)
        if boundary in ("reflect", "zero"):
            data = self._surrounded(data, offset, boundary)
            offset, counted = (
                part if part.size == 1 else extend(part, self.model.grid, "reflect")
                for part in (offset, counted)
            )
        y, b, m = (engine.asarray(part) for part in (data, offset, counted))
        self.observation = Observation(y, b, m, _FLOOR)

    def _surrounded(self, data: Float, offset: Float, boundary: str) -> npt.NDArray[Any]:
        grid = self.model.grid
        if boundary == "reflect":
            return extend(data, grid, "reflect")
        around = offset if offset.size == 1 else extend(offset, grid, "reflect")
        light = extend(data - offset, grid, "zero")
        light += around
        return light

    def start(self, initial: npt.NDArray[Any] | None, acceleration: str | None) -> Position:
        """Start flat, or from an estimate (z, y, x) in the image's units."""
        engine, grid = self.model.engine, self.model.grid
        values = np.full(grid, self._flat, np.float32)
        if initial is not None:
            inside = tuple(slice(size) for size in self.shape)
            values[inside] = np.maximum(initial / self.scale, _FLOOR)
        return Position(engine.asarray(values), make_acceleration(acceleration, engine))

    def read(self, estimate: Array) -> Float:
        """Read an estimate back: (z, y, x) of the image's shape, in its units."""
        values = self.model.engine.to_numpy(estimate, self.shape)
        scaled: Float = values * np.float32(self.scale)
        return scaled
