"""What a model leaves unexplained of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

from napari_deconv._checks import check_background, check_image, check_number
from napari_deconv.errors import DeconvError
from napari_deconv.psf.prepare import prepare_psf
from napari_deconv.psf.psf import Psf

__all__ = ["Residual", "residual"]


@dataclass(frozen=True)
class Residual:
    """What a model leaves unexplained of an image.

    Attributes
    ----------
    image : ndarray of float32
        (image − model) / σ, σ the standard deviation of each voxel's noise.
    beyond : float
        Part of the voxels farther from 0 than 3 σ; 0.0027 of Gaussian noise.
    spread : float
        Root mean square; 1 of noise.
    correlation : float
        Of neighbours along x; 0 of noise, towards 1 where structure is left.
    """

    image: npt.NDArray[np.float32]
    beyond: float
    spread: float
    correlation: float


def residual(
    image: npt.ArrayLike,
    result: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    spacing: float | Sequence[float] | None = None,
    background: npt.ArrayLike = 0.0,
    gain: float = 1.0,
    offset: float = 0.0,
) -> Residual:
    """Compare an image with the model of it, in standard deviations of its noise.

    (y − m) / √(gain·(m − offset)) with m = h ⊗ x + b: Pearson's residual of photon noise. What is
    outside the image is taken as its mirror image, so that near its borders the residual says more
    about that than about the result.

    Parameters
    ----------
    image : array_like
        y, as it was recorded: (y, x) or (z, y, x).
    result : array_like
        x, of the same shape, in the same grey values, without background.
    psf : Psf or array_like
        h; resampled to `spacing` if its voxel size is another one, and centred.
    spacing : float or sequence of float, optional
        Voxel size of the image in µm. Default: that of the PSF.
    background : array_like
        b, one number or one a voxel.
    gain, offset : float
        Grey value = gain × photons + offset (see `estimate_gain`).

    Returns
    -------
    Residual
        The image of it, and how much it is like noise.

    Raises
    ------
    DeconvError
        If shapes do not match, or a value cannot be used.
    """
    recorded: npt.NDArray[Any] = check_image(image)
    estimate = check_image(result, "result")
    if recorded.shape != estimate.shape or recorded.ndim > 3:
        raise DeconvError(
            f"The image has shape {recorded.shape}, the result {estimate.shape}: expected a plane "
            "(y, x) or a volume (z, y, x), and its own result."
        )
    gain = check_number(gain, "gain", np.finfo(float).tiny)
    offset = check_number(offset, "offset")
    kernel, _ = prepare_psf(psf, recorded.ndim, spacing, centre=True)
    if kernel.ndim != recorded.ndim:
        raise DeconvError(
            f"The PSF has {kernel.ndim} axes, the image {recorded.ndim}: choose a PSF with as many."
        )
    model = _blurred(estimate.astype(np.float32), kernel)
    model += np.asarray(check_background(background, recorded), np.float32)
    # A model without any light expects no noise: a hundredth of a photon keeps it finite.
    variance = gain * np.maximum(model - offset, gain / 100)
    values = ((recorded - model) / np.sqrt(variance)).astype(np.float32)
    spread = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    return Residual(
        values, float(np.mean(np.abs(values) > 3)), spread, _neighbour_correlation(values)
    )


def _blurred(
    estimate: npt.NDArray[np.float32], kernel: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Convolve with a kernel whose centre is voxel n // 2, mirroring at the borders."""
    margins = [(size - 1 - size // 2, size // 2) for size in kernel.shape]
    padded = np.pad(estimate, margins, mode="symmetric")
    return np.asarray(scipy.signal.fftconvolve(padded, kernel, mode="valid"))


def _neighbour_correlation(values: npt.NDArray[np.float32]) -> float:
    centred = values - values.mean(dtype=np.float64)
    power = np.mean(np.square(centred))
    return float(np.mean(centred[..., 1:] * centred[..., :-1]) / power) if power > 0 else 0.0
