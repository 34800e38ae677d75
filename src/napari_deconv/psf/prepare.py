"""A user's PSF made fit for an image: same axes, same voxels, peak in the centre."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_spacing
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.psf import Psf, centre_psf, resample_psf

__all__ = ["centred", "crop_to_support", "in_voxels", "prepare_psf"]

# Voxel sizes closer than this are one: headers are rounded.
_SAME_SPACING = 5e-3

# The box of a PSF holds this part of its light.
_SUPPORT = 0.999

# Logarithm of the ratio of two voxel sizes that cannot both be right.
_FAR = np.log(100)


def prepare_psf(
    psf: Psf | npt.ArrayLike,
    image_ndim: int,
    spacing: float | Sequence[float] | None,
    centre: bool,
) -> tuple[npt.NDArray[np.float32], tuple[float, ...] | None]:
    """Make a PSF fit for an image, and say what was changed.

    Parameters
    ----------
    psf : Psf or array_like
        (z, y, x) or (y, x). A plain array is taken in the image's voxels.
    image_ndim : int
        Axes of the image; those in front of the PSF's are looped over.
    spacing : float, sequence of float or None
        The image's voxel size in µm for the PSF's axes; None takes the PSF's.
    centre : bool
        Bring the peak to voxel n // 2.

    Returns
    -------
    data : ndarray of float32
        Not negative, sum 1.
    spacing : tuple of float or None
        Voxel size in µm where it is known.

    Raises
    ------
    DeconvError
        If the PSF is unusable or has more axes than the image, or the spacing is not one.

    Warns
    -----
    DeconvWarning
        If the PSF was resampled, centred, or had negative values.
    """
    shape = np.shape(psf)
    if len(shape) > image_ndim:
        raise DeconvError(
            f"The PSF has shape {shape}, the image {image_ndim} axes: choose a PSF with as many "
            "space axes as the image."
        )
    voxel = check_spacing(spacing, len(shape))
    if isinstance(psf, Psf):
        known, resampled = in_voxels(psf, voxel)
        _say(resampled)
        voxel = voxel or psf.spacing
    else:
        known = Psf(psf, voxel or (1.0,) * len(shape))
    if not centre:
        return known.data, voxel
    data, moved = centred(known.data)
    _say(moved and f"{moved} Pass centre_psf=False to keep it as it is.")
    return data, voxel


def in_voxels(psf: Psf, spacing: float | Sequence[float] | None) -> tuple[Psf, str]:
    """Bring a PSF to an image's voxel size, and say so.

    Parameters
    ----------
    psf : Psf
        The PSF.
    spacing : float, sequence of float or None
        The image's voxel size in µm; None, or one that is the same but for rounding, changes
        nothing.

    Returns
    -------
    psf : Psf
        Resampled, or the PSF itself.
    message : str
        Empty if nothing was changed.

    Raises
    ------
    DeconvError
        If the spacing is not one, or the two are more than 100 times apart.
    """
    voxel = check_spacing(spacing, psf.ndim)
    if voxel is None or np.allclose(voxel, psf.spacing, rtol=_SAME_SPACING, atol=0):
        return psf, ""
    sizes = f"The PSF's voxels are {_micrometres(psf.spacing)}, the image's {_micrometres(voxel)}: "
    if np.abs(np.log(np.divide(voxel, psf.spacing))).max() > _FAR:
        raise DeconvError(f"{sizes}more than 100 times apart. Check that both are in µm.")
    return resample_psf(psf, voxel), f"{sizes}the PSF was resampled."


def centred(data: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], str]:
    """Bring the centre of a PSF to voxel n // 2 by padding (see `centre_psf`), and say so.

    Parameters
    ----------
    data : ndarray
        (z, y, x) or (y, x), not negative.

    Returns
    -------
    data : ndarray
        Padded, or the array itself.
    message : str
        Empty if nothing was changed.
    """
    padded, moved = centre_psf(data)
    if not moved:
        return padded, ""
    return padded, (
        f"The PSF was {moved} voxels off its centre: it was centred, so that nothing moves in the "
        "result."
    )


def crop_to_support(psf: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Crop a PSF to the box around its centre that holds 99.9 % of it, and make its sum 1 again.

    The padded grid shrinks with it. The centre stays voxel n // 2.

    Parameters
    ----------
    psf : ndarray of float32
        (z, y, x) or (y, x), not negative, sum 1, centre voxel n // 2.
    """
    outside = (1 - _SUPPORT) / psf.ndim
    box = []
    for axis, size in enumerate(psf.shape):
        others = tuple(other for other in range(psf.ndim) if other != axis)
        profile = psf.sum(axis=others, dtype=np.float64)
        centre = size // 2
        distance = np.abs(np.arange(size) - centre)
        within = np.cumsum(np.bincount(distance, profile))
        radius = int(np.argmax(within >= within[-1] * (1 - outside)))
        box.append(slice(centre - radius, min(centre + radius + 1, size)))
    cropped = psf[tuple(box)]
    return cropped if cropped.shape == psf.shape else cropped / cropped.sum()


def _micrometres(spacing: Sequence[float]) -> str:
    return " × ".join(f"{step:.4g}" for step in spacing) + " µm"


def _say(message: str) -> None:
    if message:
        warnings.warn(message, DeconvWarning, stacklevel=5)
