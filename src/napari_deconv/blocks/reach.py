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
_FLAT = 0.15

# Measured: how much farther light gets with such a PSF, times the cube root of the iterations,
# along that axis and along the others.
_FARTHER_ALONG, _FARTHER_ACROSS = 0.85, 0.2
_MOST_STEPS = 100

# So many iterations steps on coarse levels are like, and a filter.
_COARSE_STEPS = _MOST_STEPS
_FILTER_STEPS = 10

# Measured on points beside a border, with a compact PSF: in so many widths of it light gets in
# three iterations, with more as by diffusion, and so many in however many.
_WIDTHS = 1.9
_STEPS = 3
_MOST_WIDTHS = 5.5

_FWHM_PER_AREA = 2 * sqrt(log(2) / pi)  # of a Gaussian with a maximum of 1


def reach(order: Order) -> tuple[int, ...]:
    """Tell how many voxels a tile has to see beyond its borders, along each space axis.

    An iteration takes light through H and back through Hᵀ: what is farther away along an axis than
    a radius r sends less than 0.1 % of its light here by h ⋆ h. With n iterations light gets
    farther: with a compact PSF to 1.9 √(n/3) of its widths, at most 5.5. A widefield PSF does not
    fall off along z, so that much is compatible with the data that only what is far away decides:
    there it is (1 + 0.85 ∛n) r along z and (1 + 0.2 ∛n) r across, n at most 100. Steps on coarse
    levels are like 100 iterations, a filter like 10.

    Measured with heavy-ball iterations, as parts of the maximum by which tiles differ from the
    whole. Points beside a border, of a compact PSF, after 10, 20, 40 and 100 iterations: 5e-4,
    2e-4, 1e-4 and 6e-4. In widefield, NA 0.8 and 1.4, PSFs of 33 planes, the worst of cells, bars
    and points, after 10, 40 and 100 iterations: along z with 2.5 r, 3.5 r and 4.5 r 5e-4, 7e-5 and
    2e-4, where 2 r, 3 r and 4 r leave 8e-4, 5e-4 and 2e-3; across with 1.5 r, 1.5 r and 1.75 r
    8e-5, 4e-4 and 8e-4, where r, 1.25 r and 1.5 r leave 5e-4, 7e-4 and 2e-3. Specimens that are the
    same all along y need most, for their light falls off least: with what is given here it is 7e-4
    along z after 10 and 40 iterations, 9e-4 across after 40, 1.2e-3 after 100. Without the growth
    it would be 2e-2 and 9e-3.
    """
    psfs = order.settings["psfs"]
    axes = range(3 - order.ndim, 3)
    radii = np.max([[_there_and_back(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    flat = np.any([[_is_flat(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    widths = np.max([[_width(_profile(psf, axis)) for axis in axes] for psf in psfs], 0)
    steps = _steps(order)
    farther = np.where(flat, _FARTHER_ALONG, _FARTHER_ACROSS if flat.any() else 0.0)
    distances = radii * (1 + farther * np.cbrt(min(steps, _MOST_STEPS)))
    in_widths = min(_WIDTHS * sqrt(steps / _STEPS), _MOST_WIDTHS)
    distances = np.maximum(distances, np.where(flat, 0, in_widths * widths))
    return tuple(np.rint(distances).astype(int).tolist())


def _steps(order: Order) -> int:
    """How many iterations what is done is like."""
    kind = METHODS[order.settings["method"]]
    if kind.direct:
        return _FILTER_STEPS
    if order.settings["levels"] > 1 and kind.coarse_to_fine:
        return _COARSE_STEPS
    return int(order.settings["iterations"])


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
