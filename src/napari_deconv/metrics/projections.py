"""Maximum projections of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from napari_deconv._checks import check_image
from napari_deconv.errors import DeconvError
from napari_deconv.metrics._voxels import voxel_size

__all__ = ["orthogonal_projections"]

_GAP = 0.02  # between projections, of the longest side


def orthogonal_projections(
    image: npt.ArrayLike, spacing: float | Sequence[float]
) -> tuple[npt.NDArray[np.float32], float]:
    """Lay the maximum projections of a volume beside each other: XY, XZ below it, YZ to its right.

    Parameters
    ----------
    image : array_like
        (z, y, x).
    spacing : float or sequence of float
        Voxel size in µm.

    Returns
    -------
    montage : ndarray of float32
        (y, x); z is interpolated linearly, so that a µm is as long in all directions. Between the
        projections lies the darkest value.
    pixel : float
        Its size in µm, the smallest side of a voxel.

    Raises
    ------
    DeconvError
        If it is no volume, or the spacing cannot be used.
    """
    volume: npt.NDArray[Any] = check_image(image)
    if volume.ndim != 3:
        raise DeconvError(f"The image has shape {volume.shape}: projections need one (z, y, x).")
    voxel = voxel_size(spacing, 3)
    pixel = min(voxel)
    xy, xz, zy = (
        _stretched(flat.astype(np.float32), steps, pixel)
        for flat, steps in (
            (volume.max(0), voxel[1:]),
            (volume.max(1), (voxel[0], voxel[2])),
            (volume.max(2).T, (voxel[1], voxel[0])),
        )
    )
    gap = max(1, round(_GAP * max(xy.shape)))
    (height, width), depth = xy.shape, zy.shape[1]
    montage = np.full((height + gap + depth, width + gap + depth), volume.min(), np.float32)
    montage[:height, :width] = xy
    montage[height + gap :, :width] = xz
    montage[:height, width + gap :] = zy
    return montage, pixel


def _stretched(
    plane: npt.NDArray[np.float32], steps: Sequence[float], pixel: float
) -> npt.NDArray[np.float32]:
    """Interpolate a plane linearly to square pixels, its outer borders kept."""
    for axis, step in enumerate(steps):
        size = max(1, round(plane.shape[axis] * step / pixel))
        if size != plane.shape[axis]:
            zoom = [1.0, 1.0]
            zoom[axis] = size / plane.shape[axis]
            plane = scipy.ndimage.zoom(plane, zoom, order=1, mode="nearest", grid_mode=True)
    return plane
