"""A PSF made radially symmetric."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import spsolve

from napari_deconv.beads.rendering import cubic_spline
from napari_deconv.errors import DeconvWarning
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf

__all__ = ["symmetrise"]

# Relative difference of the widths along x and y.
_MOST_ASYMMETRIC = 0.1


def symmetrise(psf: Psf) -> Psf:
    """Make each plane of a PSF radially symmetric about its centre voxel.

    A cubic spline in the distance r from the PSF's sub-voxel centre, even in r, with a knot for
    every voxel, is fitted to the values of each plane by least squares, and evaluated around the
    centre voxel. Means over rings would blur what changes within a ring and narrow the peak.

    Parameters
    ----------
    psf : Psf
        (z, y, x) or (y, x).

    Returns
    -------
    Psf
        Of the same shape and voxel size; the PSF itself if it is too asymmetric.

    Warns
    -----
    DeconvWarning
        If the FWHM along x and y differ by 10 % or more: the asymmetry is then real, and is kept.
    """
    report = measure_psf(psf)
    if abs(report.asymmetry) >= _MOST_ASYMMETRIC:
        warnings.warn(
            f"The PSF is {abs(report.asymmetry):.0%} wider along one of x and y than along the "
            "other: it was not made symmetric. Look for astigmatism, tilt or drift.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip
        return psf
    middle = tuple(n // 2 for n in psf.shape[-2:])
    design = _radial_splines(psf, report.centre[-2:])
    planes = psf.data.reshape(-1, design.shape[0]).astype(float).T
    # A knot beyond the last ring may have no voxel near it.
    ridge = 1e-9 * scipy.sparse.eye_array(design.shape[1])
    coefficients = spsolve((design.T @ design + ridge).tocsc(), design.T @ planes)
    values = _radial_splines(psf, middle) @ coefficients.reshape(design.shape[1], -1)
    return Psf(np.maximum(values.T, 0).reshape(psf.shape), psf.spacing, psf.metadata)


def _radial_splines(psf: Psf, centre: tuple[float, ...]) -> scipy.sparse.csr_array:
    """Even cubic B-splines of the distance from a centre: pixels of a plane × knots."""
    step = max(psf.spacing[-2:])
    y, x = (
        (np.arange(n) - middle) * size / step
        for n, middle, size in zip(psf.shape[-2:], centre, psf.spacing[-2:], strict=True)
    )
    r = np.hypot(y[:, np.newaxis], x).ravel()
    # From any centre within the middle voxel the farthest corner is nearer than the diagonal.
    knots = 4 + int(np.hypot(np.ptp(y), np.ptp(x)))
    near = np.floor(r).astype(int)[:, np.newaxis] + np.arange(-1, 3)
    weights = cubic_spline(r[:, np.newaxis] - near)
    rows = np.broadcast_to(np.arange(r.size)[:, np.newaxis], near.shape)
    # Knot −k is knot k; entries of the same place add up.
    entries = (weights.ravel(), (rows.ravel(), np.abs(near).ravel()))
    return scipy.sparse.coo_array(entries, (r.size, knots)).tocsr()
