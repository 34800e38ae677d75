"""The blur of a steady motion."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_number
from napari_deconv.errors import DeconvError, DeconvWarning

__all__ = ["Motion"]

# Less of the path than this inside the window is reported.
_ENOUGH_PATH = 0.999

# Voxels; a longer path is a mistake, and at last more than integers can count.
_LONGEST = 1e6


@dataclass(frozen=True)
class Motion:
    """The path of a point that moves steadily along a straight line while the camera exposes.

    Attributes
    ----------
    length : float
        Length of the path, µm.
    angle : tuple of float
        Direction in degrees: in the plane, from x towards y; then out of the plane, towards z.
    """

    length: float
    angle: tuple[float, float]

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any], spacing: tuple[float, ...]) -> Self:
        """Check what a user gave.

        Raises
        ------
        DeconvError
            If the length is missing, a number is impossible, or a plane is to hold a motion along
            z.
        """
        if "length" not in given:
            raise DeconvError("length is missing: give the path of the motion, for example 1.5 µm.")
        length = check_number(given["length"], "length", 0.0)
        if length == 0:
            raise DeconvError("length=0 is no motion: expected µm above 0.")
        if length > _LONGEST * min(spacing):
            raise DeconvError(
                f"length={length:g} µm is more than {_LONGEST:g} voxels, spacing={spacing!r}: "
                "check that both are in µm."
            )
        angle = given.get("angle", 0.0)
        angles = tuple(angle) if np.ndim(angle) else (angle, 0.0)
        if isinstance(angle, str) or len(angles) != 2:
            raise DeconvError(
                f"angle={angle!r}: expected degrees in the plane, or two numbers, in the plane and "
                "out of it."
            )
        azimuth, elevation = (check_number(part, "angle", -360.0, 360.0) for part in angles)
        if len(spacing) == 2 and elevation:
            raise DeconvError(
                f"angle={angle!r} leaves the plane, and the shape is a plane: give (z, y, x), or "
                "one angle."
            )
        return cls(length, (azimuth, elevation))

    def sample(
        self, shape: tuple[int, ...], spacing: tuple[float, ...], integrate: bool
    ) -> npt.NDArray[np.float32]:
        """Compute the part of the path inside each voxel.

        Parameters
        ----------
        shape : tuple of int
            Voxels; the path's middle is the centre of voxel n // 2.
        spacing : tuple of float
            Voxel size, µm.
        integrate : bool
            Has to be True: a line has no width that could be sampled.

        Returns
        -------
        ndarray of float32
            Of the given shape; the sum is the part of the path inside the window.

        Raises
        ------
        DeconvError
            If `integrate` is False.

        Warns
        -----
        DeconvWarning
            If the window cuts off the path.
        """
        if not integrate:
            raise DeconvError(
                "pixel_integration=False is not possible for a motion, a line without width: leave "
                "it out."
            )
        azimuth, elevation = (math.radians(angle) for angle in self.angle)
        across = math.cos(elevation)
        direction = (math.sin(elevation), across * math.sin(azimuth), across * math.cos(azimuth))
        path = self.length * np.divide(direction[-len(shape) :], spacing)
        middle = np.array([n // 2 for n in shape])
        # The path at t from −½ to ½ crosses a face of the voxels wherever middle + t·path is k + ½.
        cuts = [np.array([-0.5, 0.5])]
        for extent, size in zip(np.abs(path), shape, strict=True):
            faces = np.arange(0.5, min(extent / 2, size + 1))
            cuts += [faces / extent, -faces / extent]
        t = np.sort(np.concatenate(cuts))
        voxels = np.rint(middle + np.multiply.outer((t[1:] + t[:-1]) / 2, path)).astype(int)
        inside = np.all((voxels >= 0) & (voxels < shape), axis=1)
        data = np.zeros(shape, np.float32)
        np.add.at(data, tuple(voxels[inside].T), np.diff(t)[inside])
        kept = float(data.sum(dtype=float))
        if kept < _ENOUGH_PATH:
            warnings.warn(
                f"The window holds only {kept:.0%} of the motion: make it larger, or length="
                f"{self.length:g} shorter.",
                DeconvWarning,
                stacklevel=4,
            )
        return data
