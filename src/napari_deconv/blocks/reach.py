"""How far light gets in the iterations: what a tile has to see beyond its borders."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.order import Order

__all__ = ["reach"]

# Of the light that goes through the microscope and back.
_SHARE = 0.999

# A profile that has not fallen to this part of its maximum at the PSF's end says not where along
# the axis light comes from, as that of a widefield microscope along z.
_FLAT = 0.25

# Measured: so many times as far with such a PSF, along that axis and along the others.
_FARTHER_ALONG = 2.5
_FARTHER_ACROSS = 1.5


def reach(order: Order) -> tuple[int, ...]:
    """Tell how many voxels a tile has to see beyond its borders, along each space axis.

    An iteration takes light through H and back through Hᵀ: what is farther away along an axis sends
    less than 0.1 % of its light here by h ⋆ h. That is one half width of a confocal PSF's box, and
    up to two. A widefield PSF does not fall off along z, so that much is compatible with the data
    that only what is far away decides: 5 half widths along z, 2.5 across.

    Measured with 40 heavy-ball iterations on simulated bars (confocal) and cells (widefield): tiles
    differ from the whole by 2e-4 and 7e-4 of its maximum; with the half width alone by 2e-4 and
    2e-2.
    """
    psfs = order.settings["psfs"]
    axes = range(3 - order.ndim, 3)
    radii = np.max([[_there_and_back(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    flat = np.any([[_is_flat(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    across = _FARTHER_ACROSS if flat.any() else 1.0
    return tuple(np.rint(radii * np.where(flat, _FARTHER_ALONG, across)).astype(int).tolist())


def _profile(psf: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float64]:
    others = tuple(other for other in range(3) if other != axis)
    profile: npt.NDArray[np.float64] = psf.sum(axis=others, dtype=np.float64)
    return profile


def _there_and_back(profile: npt.NDArray[np.float64]) -> int:
    """Radius that holds 99.9 % of a profile's autocorrelation."""
    light = np.correlate(profile, profile, "full")
    beyond = 2 * np.cumsum(light)[: profile.size]
    return max(int(np.count_nonzero(beyond > (1 - _SHARE) * light.sum())) - 1, 0)


def _is_flat(profile: npt.NDArray[np.float64]) -> bool:
    return profile.size > 1 and bool(min(profile[0], profile[-1]) > _FLAT * profile.max())
