"""How far light gets in the iterations: what a tile has to see beyond its borders."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, log, pi, sqrt

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.filter_reach import filter_reach
from napari_deconv.blocks.order import Order
from napari_deconv.deconvolution import METHODS
from napari_deconv.deconvolution.levels import falls_off, profile_of

__all__ = ["reach"]

# Of Wiener's filter, until it is found: to see whether an image has to be cut.
_EXPECTED_WEIGHT = 0.01

# Of the light that goes through the microscope and back.
_SHARE = 0.999

# Measured: how much farther light gets with a PSF that does not fall off along an axis, times the
# cube root of the iterations, along that axis and along the others.
_FARTHER_ALONG, _FARTHER_ACROSS = 1.4, 0.4

# So many iterations steps on coarse levels are like.
_MOST_STEPS = 100

# Measured on points beside a border and on many bright points in the dark, with a compact PSF: so
# many widths of it light gets in the first iterations, so many more as by diffusion, and in however
# many iterations.
_WIDTHS = 2.3
_MORE_WIDTHS = 0.6
_MOST_WIDTHS = 5.5

_FWHM_PER_AREA = 2 * sqrt(log(2) / pi)  # of a Gaussian with a maximum of 1


def reach(order: Order, space: Sequence[int]) -> tuple[int, ...]:
    """Tell how many voxels a tile has to see beyond its borders, along each space axis.

    Of a filter see `filter_reach`; a weight that is still to be found is taken to be 0.01.

    An iteration takes light through H and back through Hᵀ: what is farther away along an axis than
    a radius r sends less than 0.1 % of its light here by h ⋆ h. With n iterations light gets
    farther: with a compact PSF to 2.3 + 0.6 √n of its widths, at most 5.5. A widefield PSF does not
    fall off along z, so that much is compatible with the data that only what is far away decides:
    there it is (1 + 1.4 ∛n) r along z and (1 + 0.4 ∛n) r across, n at most 100. Steps on coarse
    levels are like 100 iterations.

    Measured with heavy-ball iterations, as parts of the maximum by which tiles differ from the
    whole. Points beside a border, of a compact PSF, after 10, 20, 40 and 100 iterations: 5e-4,
    2e-4, 1e-4 and 6e-4; points all over a plane, at most 7e-4 after 2 to 30. In widefield light
    falls off least in specimens that are the same all along y: the worst of these, NA 0.8, PSFs
    of 33, 65 and 97 planes, after 10, 40 and 100 iterations differs along z by 3e-5, 9e-4 and
    4e-4, across by 4e-5, 6e-4 and 6e-4; with (1 + 0.85 ∛n) r and (1 + 0.2 ∛n) r it would be
    1e-3, 3e-3 and 2e-3, and 6e-4, 2e-3 and 4e-3. Without the growth it would be 2e-2 and 9e-3.

    Parameters
    ----------
    order : Order
        What will be done.
    space : sequence of int
        Voxels of the image along its space axes.
    """
    psfs = order.settings["psfs"]
    if METHODS[order.settings["method"]].direct:
        weight = order.settings["weight"]
        return filter_reach(psfs, _EXPECTED_WEIGHT if isnan(weight) else weight, space)
    axes = range(3 - order.ndim, 3)
    radii = np.max([[_there_and_back(profile_of(psf, axis)) for axis in axes] for psf in psfs], 0)
    flat = np.any([[not falls_off(psf, axis) for axis in axes] for psf in psfs], 0)
    widths = np.max([[_width(profile_of(psf, axis)) for axis in axes] for psf in psfs], 0)
    steps = _steps(order)
    farther = np.where(flat, _FARTHER_ALONG, _FARTHER_ACROSS if flat.any() else 0.0)
    distances = radii * (1 + farther * np.cbrt(min(steps, _MOST_STEPS)))
    in_widths = min(_WIDTHS + _MORE_WIDTHS * sqrt(steps), _MOST_WIDTHS)
    distances = np.maximum(distances, np.where(flat, 0, in_widths * widths))
    return tuple(np.rint(distances).astype(int).tolist())


def _steps(order: Order) -> int:
    """How many iterations what is done is like."""
    kind = METHODS[order.settings["method"]]
    if order.settings["levels"] > 1 and kind.coarse_to_fine:
        return _MOST_STEPS
    return int(order.settings["iterations"])


def _width(profile: npt.NDArray[np.float64]) -> float:
    """Full width at half maximum, by the area below the profile; 0 for a single sample."""
    return _FWHM_PER_AREA * float(profile.sum() / profile.max()) if profile.size > 1 else 0.0


def _there_and_back(profile: npt.NDArray[np.float64]) -> int:
    """Radius that holds 99.9 % of a profile's autocorrelation."""
    light = np.correlate(profile, profile, "full")
    beyond = 2 * np.cumsum(light)[: profile.size]
    return max(int(np.count_nonzero(beyond > (1 - _SHARE) * light.sum())) - 1, 0)
