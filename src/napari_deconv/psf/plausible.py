"""What beads say about the image and the voxel size they were recorded with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from napari_deconv.errors import DeconvWarning

__all__ = ["check_alike", "check_explained", "check_widths"]

# µm across; 0.51·λ/NA is 0.15 at NA 1.4 and 400 nm, 4.4 at NA 0.08 and 700 nm.
_NARROWEST, _WIDEST = 0.1, 5.0

_UNLIKE = ("brightness", "doublet", "fit", "correlation")

# Images of beads were seen to leave 0.3 to 13 % unexplained, specimens 34 to 57 %.
_MOST_UNEXPLAINED = 0.25

# Voxels per FWHM that Nyquist asks for: λ/(4·NA) in 0.51·λ/NA.
_SAMPLES = 2.0


def check_widths(width: npt.NDArray[np.float64], spacing: Sequence[float], beads: int) -> None:
    """Warn of beads that are hardly what light makes of a small bead.

    Parameters
    ----------
    width : ndarray
        Median FWHM (z, y, x) or (y, x) in voxels.
    spacing : sequence of float
        Voxel size in µm.
    beads : int
        How many it is the median of.

    Warns
    -----
    DeconvWarning
        If the width across is outside of 0.1 to 5 µm, or above that along z; if there are fewer
        than two voxels in a FWHM; or if there is a single bead.
    """
    micrometres = width * spacing
    across = micrometres[-2:].mean()
    size = " × ".join(f"{length:.3g}" for length in micrometres)
    said = f"The beads are {size} µm ({' × '.join('zyx'[-len(width) :])}) wide"
    if not _NARROWEST <= across <= _WIDEST:
        limits = f"{_NARROWEST:g} to {_WIDEST:g} µm across"
        warnings.warn(
            f"{said}; light makes them {limits}. Check the voxel size, spacing={tuple(spacing)}.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip
    elif len(width) == 3 and micrometres[0] < across:
        warnings.warn(
            f"{said}: a microscope blurs more along z than across. Check the voxel size, "
            f"spacing={tuple(spacing)}, and the order of the axes.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip
    coarse = [axis for axis, n in zip("zyx"[-len(width) :], width, strict=True) if n < _SAMPLES]
    if coarse:
        warnings.warn(
            f"{said}, fewer than {_SAMPLES:g} voxels along {' and '.join(coarse)}: the PSF is "
            "sampled too coarsely to be exact. Record with smaller voxels.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip
    if beads == 1:
        warnings.warn(
            "The PSF comes from a single bead, and has all its flaws and noise. Record more beads, "
            "or let fewer be rejected.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip


def check_alike(counts: Mapping[str, int]) -> None:
    """Warn of spots that are hardly all images of one kind of bead.

    Parameters
    ----------
    counts : mapping
        How many beads have each status.

    Warns
    -----
    DeconvWarning
        If more spots are rejected for their shape or brightness than are accepted, or none is
        accepted because all have close neighbours.
    """
    if counts["accepted"] == 0:
        warnings.warn(
            "No bead lies alone: the PSF is taken from close neighbours, and nothing shows whether "
            "they are beads. Is this an image of beads? If it is, dilute them, or lower the "
            "distance to neighbours.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip
    unlike = sum(counts.get(reason, 0) for reason in _UNLIKE)
    if unlike > counts["accepted"]:
        warnings.warn(
            f"{unlike} of {sum(counts.values())} spots are too wide, too bright, too dim or "
            f"shaped otherwise, {counts['accepted']} are accepted: is this an image of beads of "
            "one size? If it is, look at the rejected ones, and crop to where the beads are good.",
            DeconvWarning, stacklevel=3,
        )  # fmt: skip


def check_explained(
    image: npt.NDArray[np.generic], model: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]
) -> None:
    """Warn of an image that is not made of beads.

    What is not noise is alike in neighbouring voxels: Σ rᵢ·rᵢ₊₁ along x of the residual r, over the
    same of the image about its mean, is the part of it that the model does not explain.

    Parameters
    ----------
    image, model : ndarray
        (z, y, x) or (y, x).
    mask : ndarray of bool
        False leaves voxels out.

    Warns
    -----
    DeconvWarning
        If more than a quarter is not explained.
    """

    def structure(values: npt.NDArray[np.float64]) -> float:
        seen = np.where(mask, values, 0)
        return float(np.vdot(seen[..., 1:], seen[..., :-1]))

    data = image.astype(np.float64)
    part = structure(data - model) / structure(data - data.mean(where=mask))
    if part > _MOST_UNEXPLAINED:
        warnings.warn(
            f"The beads that were found explain {1 - part:.0%} of what is seen in the image: is "
            "this an image of beads? If it is, crop to where they lie apart.",
            DeconvWarning, stacklevel=4,
        )  # fmt: skip
