"""A recorded or foreign PSF made usable: offset, noise, NaN, negative values, centre, voxels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from napari_deconv._checks import check_array
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import Image, read_image
from napari_deconv.psf.prepare import centred, in_voxels
from napari_deconv.psf.psf import Psf

__all__ = ["clean_psf", "load_psf", "psf_of", "repair_psf"]

_Floats = npt.NDArray[np.float64]

# σ in pixels of the blur that shows what is below the noise, and the largest part of a window's
# width that it may be: a wider one makes everything flat.
_BLUR, _BLUR_PART = 2.0, 1 / 12

# A narrower window shows a peak, and no floor beside it.
_NARROWEST_WINDOW = 7

# A floor is flat if its median is less than this times its 1st percentile. What a lens makes falls
# off: by 1.5 in the narrowest window of a Lorentzian, else by 2 and more.
_FLAT = 1.4

# A floor's median is nearer to the 1st percentile than to the brightest by this factor. In a window
# that shows just the top of a peak, it is farther by 1.9.
_LOW = 0.85

# Light is what rises above the floor, once blurred, by more than so many standard deviations.
_ABOVE_NOISE = 5.0

_MAD_PER_SIGMA = 0.6745

# More than this part of NaN is no PSF with a few bad voxels.
_TOO_MANY = 0.5

_NEGLIGIBLE = 1e-6


def clean_psf(
    data: npt.ArrayLike,
    spacing: float | Sequence[float] | None,
    *,
    image_spacing: float | Sequence[float] | None = None,
    metadata: dict[str, Any] | None = None,
) -> tuple[Psf, list[str]]:
    """Make a usable PSF of a recording of a point, or of any other program's PSF.

    First it is repaired (see `repair_psf`), then centred by padding with zeros, then brought to
    the image's voxels. Each step is done only where it is needed: a synthetic PSF in the image's
    voxels stays as it is.

    Parameters
    ----------
    data : array_like
        (z, y, x) or (y, x), any real dtype, in grey values or normalised. It is not modified.
    spacing : float or sequence of float
        Its voxel size in µm.
    image_spacing : float or sequence of float, optional
        The voxel size in µm that it is to have.
    metadata : dict, optional
        What else is known of it.

    Returns
    -------
    psf : Psf
        With the steps in ``metadata["cleaned"]`` if there were any.
    steps : list of str
        A sentence for every step.

    Raises
    ------
    DeconvError
        If there is no PSF in the data, or no voxel size.

    Warns
    -----
    DeconvWarning
        Every step.
    """
    values, steps = _repaired(data)
    values, moved = centred(values)
    psf, resampled = in_voxels(Psf(values, spacing, metadata), image_spacing)
    steps += [message for message in (moved, resampled) if message]
    _warn(steps)
    return _noted(psf, steps), steps


def load_psf(
    path: str | os.PathLike[str], spacing: float | Sequence[float] | None = None
) -> tuple[Psf, list[str]]:
    """Read a PSF from any TIFF and repair it, unless `Psf.save` has written it.

    Parameters
    ----------
    path : path-like
        TIFF, OME-TIFF or ImageJ TIFF.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm, instead of the file's.

    Returns
    -------
    psf : Psf
        With the steps in ``metadata["cleaned"]`` if there were any.
    steps : list of str
        A sentence for every step of `repair_psf`.

    Raises
    ------
    DeconvError
        If the file cannot be read, holds no PSF, or has no voxel size and none was given.

    Warns
    -----
    DeconvWarning
        Every step.
    """
    image = read_image(path, spacing)
    if image.spacing is None:
        raise DeconvError(f"{path} states no voxel size: give spacing=(z, y, x) in µm.")
    psf, steps = _from_image(image)
    _warn(steps)
    return psf, steps


def psf_of(image: Image) -> Psf:
    """Take an image as a PSF, and repair it as `load_psf` does.

    Parameters
    ----------
    image : Image
        What `read_image` gave, with a voxel size.

    Raises
    ------
    DeconvError
        If it is no PSF.

    Warns
    -----
    DeconvWarning
        Every step.
    """
    psf, steps = _from_image(image)
    _warn(steps)
    return psf


def _from_image(image: Image) -> tuple[Psf, list[str]]:
    if image.metadata:  # it was made here, and is clean
        return Psf(image.data, image.spacing, image.metadata), []
    values, steps = _repaired(image.data)
    return _noted(Psf(values, image.spacing), steps), steps


def repair_psf(data: npt.ArrayLike) -> tuple[npt.NDArray[Any], list[str]]:
    """Take out of a PSF what is no light: NaN, a camera's offset with its noise, negative values.

    NaN and infinite voxels take the value of the nearest finite one. An offset is a flat floor:
    the data, blurred by 2 pixels in x and y (less in small windows), have a median of less than 1.4
    times their 1st percentile, and nearer to it than to the brightest. Windows of fewer than 7
    pixels have no room for one. The median is then subtracted, and what does not rise above it by
    five standard deviations of the blurred floor is set to 0: the rectified noise of many empty
    voxels would outweigh the peak. What a lens makes has no such floor and stays as it is.

    Parameters
    ----------
    data : array_like
        (z, y, x) or (y, x), any real dtype. It is not modified.

    Returns
    -------
    data : ndarray
        Finite and not negative; the same values if there was nothing to repair.
    steps : list of str
        A sentence for every step.

    Raises
    ------
    DeconvError
        For arrays that are no PSF, and where half of the voxels are not finite.

    Warns
    -----
    DeconvWarning
        Every step.
    """
    values, steps = _repaired(data)
    _warn(steps)
    return values, steps


def _repaired(data: npt.ArrayLike) -> tuple[npt.NDArray[Any], list[str]]:
    """Repair without warnings."""
    if np.ndim(data) not in (2, 3):
        raise DeconvError(
            f"The PSF has shape {np.shape(data)}: expected (z, y, x) or (y, x). Choose one channel "
            "and one time point."
        )
    line = check_array(np.reshape(data, (1, -1)), "PSF")  # as one line: small ones are no colours
    values: npt.NDArray[Any] = line.reshape(np.shape(data))
    steps: list[str] = []
    if not np.all(np.isfinite(values)):
        values = _filled(values, steps)
    level = _floor(values)
    if level is not None:
        values = _without_floor(values.astype(float), *level, steps)
    negative = values < 0
    if negative.any():
        values = _without_negative(values.astype(float), negative, steps)
    return values, steps


def _filled(values: npt.NDArray[Any], steps: list[str]) -> npt.NDArray[Any]:
    """Give voxels that are not finite the value of the nearest one that is."""
    bad = ~np.isfinite(values)
    if bad.mean() > _TOO_MANY:
        raise DeconvError(
            f"The PSF has {bad.sum()} NaN or infinite voxels of {bad.size}: too many to repair. "
            "Check that it is the right file or layer."
        )
    nearest = scipy.ndimage.distance_transform_edt(bad, return_distances=False, return_indices=True)
    steps.append(
        f"The PSF had {bad.sum()} NaN or infinite voxels: they got the value of the nearest others."
    )
    return np.asarray(values[tuple(nearest)])


def _blurred(values: npt.NDArray[Any]) -> _Floats:
    """Blur the planes."""
    across = [min(_BLUR, _BLUR_PART * size) for size in values.shape[-2:]]
    widths = [0.0] * (values.ndim - 2) + across
    blurred: _Floats = scipy.ndimage.gaussian_filter(values.astype(float), widths)
    return blurred


def _floor(values: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Give the level of a flat floor and the standard deviation once blurred, if there is one."""
    if min(values.shape[-2:]) < _NARROWEST_WINDOW:
        return None
    blurred = _blurred(values)
    dark, level = np.percentile(blurred, (1, 50))
    if dark <= 0 or level >= _FLAT * dark or values.max() <= level:
        return None
    if level - dark > _LOW * (blurred.max() - level):
        return None
    sigma = np.median(np.abs(blurred - level)) / _MAD_PER_SIGMA
    return float(level), float(sigma)


def _without_floor(values: _Floats, level: float, sigma: float, steps: list[str]) -> _Floats:
    """Subtract a floor, and set to 0 what does not rise above it."""
    peak = float(values.max())
    part = level * values.size / values.sum()
    values = values - level
    empty = _blurred(values) <= _ABOVE_NOISE * sigma
    if empty.all():
        raise DeconvError(
            f"The PSF does not rise above the noise of its background, {level:.4g}: check that it "
            "is the right file or layer, or average several recordings."
        )
    values = np.where(empty, 0.0, np.maximum(values, 0))
    steps.append(
        f"The PSF had an offset of {level:.4g} ({level / peak:.2g} of its peak, {part:.0%} of its "
        f"sum): it was subtracted, and {empty.mean():.0%} of the voxels, which hold noise only, "
        "were set to 0."
    )
    return values


def _without_negative(
    values: _Floats, negative: npt.NDArray[np.bool_], steps: list[str]
) -> _Floats:
    """Set negative values to 0; mention them where they are more than rounding."""
    total = float(values.sum(where=~negative))
    if total <= 0:
        raise DeconvError("The PSF has no value above 0: check that it is the right file or layer.")
    part = -float(values.sum(where=negative)) / total
    if part > _NEGLIGIBLE:
        steps.append(
            f"The PSF had {negative.sum()} negative voxels, {part:.2g} of the sum of the others: "
            "they were set to 0."
        )
    return np.maximum(values, 0)


def _noted(psf: Psf, steps: list[str]) -> Psf:
    """Write the steps into a PSF's metadata."""
    if not steps:
        return psf
    return Psf(psf.data, psf.spacing, psf.metadata | {"cleaned": steps})


def _warn(steps: Sequence[str]) -> None:
    for step in steps:
        warnings.warn(step, DeconvWarning, stacklevel=3)
