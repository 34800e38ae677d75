"""How far light gets in the iterations: what a tile has to see beyond its borders."""

from __future__ import annotations

from math import log, pi, sqrt

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.order import Order
from napari_deconv.deconvolution import METHODS

__all__ = ["reach"]

# Of the light that goes through the microscope and back.
_SHARE = 0.999

# A profile that has not fallen to this part of its maximum at the PSF's end says not where along
# the axis light comes from, as that of a widefield microscope along z.
_FLAT = 0.25

# Measured: so many times as far with such a PSF, along that axis and along the others. Steps on
# coarse levels are many more.
_FARTHER_ALONG, _FARTHER_ACROSS = 2.5, 1.5
_COARSE_ALONG, _COARSE_ACROSS = 4.0, 2.0

# Measured on points beside a border: in so many widths of the PSF light gets in three iterations,
# with more as by diffusion, and so many in however many.
_WIDTHS = 1.9
_STEPS = 3
_MOST_WIDTHS = 5.5

_FWHM_PER_AREA = 2 * sqrt(log(2) / pi)  # of a Gaussian with a maximum of 1


def reach(order: Order) -> tuple[int, ...]:
    """Tell how many voxels a tile has to see beyond its borders, along each space axis.

    An iteration takes light through H and back through Hᵀ: what is farther away along an axis sends
    less than 0.1 % of its light here by h ⋆ h. With the iterations light gets farther: up to 5.5
    widths of the PSF. A widefield PSF does not fall off along z, so that much is compatible with
    the data that only what is far away decides: at least 5 half widths along z, 2.5 across; with
    coarse levels 8 and 3.5.

    Measured with heavy-ball iterations, as parts of the maximum by which tiles differ from the
    whole: points beside a border, of a compact PSF, after 10, 20, 40 and 100 iterations 5e-4, 2e-4,
    1e-4 and 6e-4; simulated cells in widefield after 40 7e-4. Once the distance alone leaves 5e-2
    and 2e-2. With coarse levels and 20 iterations, given the same steps, it is 1e-4 for bars, and
    for cells 7e-4 across and 8e-4 along z; without more overlap 1e-3 and 8e-3.
    """
    psfs = order.settings["psfs"]
    axes = range(3 - order.ndim, 3)
    radii = np.max([[_there_and_back(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    flat = np.any([[_is_flat(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    along, across = _FARTHER_ALONG, _FARTHER_ACROSS
    if _begins_coarse(order):
        along, across = _COARSE_ALONG, _COARSE_ACROSS
    farther = np.where(flat, along, across if flat.any() else 1.0)
    widths = np.max([[_width(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    distances = np.maximum(radii * farther, _in_iterations(order) * widths)
    return tuple(np.rint(distances).astype(int).tolist())


def _begins_coarse(order: Order) -> bool:
    return order.settings["levels"] > 1 and METHODS[order.settings["method"]].coarse_to_fine


def _in_iterations(order: Order) -> float:
    """How many widths of the PSF light gets in all iterations; a filter is one step."""
    if _begins_coarse(order):
        return _MOST_WIDTHS
    steps = 1 if METHODS[order.settings["method"]].direct else order.settings["iterations"]
    return min(_WIDTHS * sqrt(steps / _STEPS), _MOST_WIDTHS)


def _width(profile: npt.NDArray[np.float64]) -> float:
    """Full width at half maximum, by the area below the profile; 0 for a single sample."""
    return _FWHM_PER_AREA * float(profile.sum() / profile.max()) if profile.size > 1 else 0.0


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
