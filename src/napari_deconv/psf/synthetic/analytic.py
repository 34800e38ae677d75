"""Bell-shaped PSFs given by their widths."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import scipy.special

from napari_deconv.errors import DeconvError, DeconvWarning

__all__ = ["Gaussian", "Lorentzian"]

_Floats = npt.NDArray[np.float32]

# FWHM of a Gaussian in standard deviations.
_FWHM = 2 * math.sqrt(2 * math.log(2))

# The narrowest bell shape that is integrated over voxels, in voxels, and the widest that is no
# mistake; far beyond, double precision no longer tells voxels apart.
_NARROWEST, _WIDEST = 0.1, 1e5


@dataclass(frozen=True)
class _Bell:
    """A bell shape.

    Attributes
    ----------
    fwhm : tuple of float
        Full width at half maximum of each axis, µm.
    """

    fwhm: tuple[float, ...]

    @classmethod
    def from_parameters(cls, given: Mapping[str, Any], spacing: tuple[float, ...]) -> Self:
        """Check what a user gave.

        Raises
        ------
        DeconvError
            If a width is missing, impossible, or far narrower or wider than a voxel.
        """
        fwhm, ndim = given.get("fwhm"), len(spacing)
        try:
            widths = tuple(np.broadcast_to(np.asarray(fwhm, dtype=float), (ndim,)).tolist())
        except (TypeError, ValueError, OverflowError):
            widths = (math.nan,)
        if not all(math.isfinite(width) and width > 0 for width in widths):
            raise DeconvError(
                f"fwhm={fwhm!r} is no width: expected {ndim} numbers above 0, in µm and in the "
                "order of the shape, or one for all axes."
            )
        if min(np.divide(widths, spacing)) < _NARROWEST:
            raise DeconvError(
                f"fwhm={fwhm!r} µm is less than a tenth of a voxel, spacing={spacing!r}: that is "
                "a point. Check that both are in µm."
            )
        if max(np.divide(widths, spacing)) > _WIDEST:
            raise DeconvError(
                f"fwhm={fwhm!r} µm is more than {_WIDEST:g} voxels, spacing={spacing!r}: that is "
                "flat. Check that both are in µm."
            )
        return cls(widths)


def _warn_of_window(
    fwhm: tuple[float, ...], shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    """Warn of a window that shows just the top; an axis of one voxel is meant so."""
    window = np.multiply(shape, spacing)
    if np.any((2 * window < fwhm) & (np.array(shape) > 1)):
        warnings.warn(
            f"The window of {' × '.join(f'{width:.3g}' for width in window)} µm is less than half "
            f"of fwhm={fwhm}: make it larger, and check that both are in µm.",
            DeconvWarning,
            stacklevel=5,
        )


class Gaussian(_Bell):
    """exp(−Σ xᵢ²/(2σᵢ²)), σ = FWHM/2.3548."""

    def sample(
        self, shape: tuple[int, ...], spacing: tuple[float, ...], integrate: bool
    ) -> _Floats:
        """Sample the voxels' centres, or integrate over the voxels (erf).

        Parameters
        ----------
        shape : tuple of int
            Voxels; the centre is voxel n // 2.
        spacing : tuple of float
            Voxel size, µm.
        integrate : bool
            Integrate over the voxels instead of sampling their centres.

        Returns
        -------
        ndarray of float32
            Of the given shape, the largest value 1.
        """
        _warn_of_window(self.fwhm, shape, spacing)
        profiles = []
        for size, step, width in zip(shape, spacing, self.fwhm, strict=True):
            sigma = width / _FWHM
            x = (np.arange(size) - size // 2) * step
            if integrate:
                edges = np.append(x - step / 2, x[-1] + step / 2) / sigma
                profile = np.diff(scipy.special.ndtr(edges))
            else:
                profile = np.exp(-((x / sigma) ** 2) / 2)
            profiles.append(profile / profile.max())
        *others, x = np.ix_(*profiles)
        data: _Floats = np.multiply(math.prod(others), x, dtype=np.float32, casting="same_kind")
        return data


class Lorentzian(_Bell):
    """1/(1 + Σ (2xᵢ/FWHMᵢ)²)."""

    def sample(
        self, shape: tuple[int, ...], spacing: tuple[float, ...], integrate: bool
    ) -> _Floats:
        """Sample the voxels' centres, or integrate over the voxels (Gauss–Legendre).

        Parameters and result as for `Gaussian`, but for the largest value.
        """
        _warn_of_window(self.fwhm, shape, spacing)
        axes = []
        for size, step, width in zip(shape, spacing, self.fwhm, strict=True):
            points = 3 + math.ceil(2 * step / width) if integrate else 1
            nodes, weights = scipy.special.roots_legendre(points)
            x = np.add.outer(nodes * step / 2, np.arange(size // 2 + 1) * step)
            axes.append(list(zip((2 * x / width) ** 2, weights, strict=True)))
        # The function is even in every axis: one octant holds it all.
        octant = sum(
            math.prod(weight for _, weight in point)
            / (1 + sum(np.ix_(*(square for square, _ in point))))
            for point in product(*axes)
        )
        mirror = np.ix_(*(np.abs(np.arange(size) - size // 2) for size in shape))
        data: _Floats = np.asarray(octant, np.float32)[mirror]
        return data
