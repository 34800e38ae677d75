"""What a microscope with a camera would record of a known object."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_image, check_number, check_whole
from napari_deconv._progress import Callback
from napari_deconv.deconvolution import convolve
from napari_deconv.engines import Engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.psf import Psf

__all__ = ["camera_counts", "simulate_acquisition"]

_MOST_BITS = 16
_MOST_PHOTONS = 1e9

# Noise is drawn for so many voxels at once, which bounds the memory.
_TOGETHER = 1 << 22


def simulate_acquisition(
    truth: npt.ArrayLike,
    psf: Psf | npt.ArrayLike,
    *,
    photons: float = 500.0,
    background: float = 10.0,
    gain: float = 1.0,
    offset: float = 0.0,
    read_noise: float = 0.0,
    bits: int = 16,
    seed: int = 0,
    spacing: float | Sequence[float] | None = None,
    boundary: Literal["reflect", "circular", "zero"] = "reflect",
    engine: str | Engine = "auto",
    callback: Callback | None = None,
) -> npt.NDArray[np.uint16]:
    """Simulate what a microscope records of an object: blur, background, photons, camera.

    Parameters
    ----------
    truth : array_like
        The object, in any unit of brightness: (z, y, x) or (y, x), as many axes as the PSF; axes
        in front are looped over. Below 0 it counts as 0.
    psf : Psf or array_like
        The point at voxel n // 2; it is made of sum 1.
    photons : float
        Expected in the brightest voxel of the whole blurred object, without the background. It
        sets the unit of the object's brightness, and so the signal-to-noise ratio.
    background : float
        Photons a voxel that do not come from the object.
    gain, offset, read_noise, bits, seed
        The camera's, see `camera_counts`.
    spacing : float or sequence of float, optional
        The object's voxel size in µm for the space axes. A `Psf` of another one is resampled.
    boundary : {"reflect", "circular", "zero"}
        What lies outside the object.
    engine : str or Engine
        Where the blur is computed. The noise is drawn on the host: another engine rounds the blur
        in another way, which changes some photons.
    callback : callable, optional
        Called with a `Progress` after every volume; what it raises ends the run.

    Returns
    -------
    ndarray of uint16
        Grey values, of the object's shape.

    Raises
    ------
    DeconvError
        For an object, PSF or camera that cannot be.
    DeviceError
        If the device is missing, too small, or fails.

    Warns
    -----
    DeconvWarning
        If voxels are saturated, the object has negative voxels, or the PSF was resampled.
    """
    photons = check_number(photons, "photons", 0, _MOST_PHOTONS)
    background = check_number(background, "background", 0, _MOST_PHOTONS)
    light = convolve(
        _brightness(truth), psf, spacing=spacing, boundary=boundary, engine=engine,
        callback=callback,
    )  # fmt: skip
    np.maximum(light, 0, out=light)  # what Fourier transforms round to below 0
    brightest = float(light.max())
    light *= photons / brightest if brightest > 0 else 0.0
    light += background
    counts = camera_counts(
        light, gain=gain, offset=offset, read_noise=read_noise, bits=bits, seed=seed
    )
    saturated = int(np.count_nonzero(counts == 2**bits - 1))
    if saturated:
        _say(
            f"{saturated} of {counts.size} voxels are saturated, at {2**bits - 1}: lower the "
            "photons or the gain, unless that is what you want to see."
        )
    return counts


def _brightness(truth: npt.ArrayLike) -> npt.NDArray[Any]:
    """Bring an object to a maximum of 1, whatever its unit; nothing in it is below 0."""
    array: npt.NDArray[Any] = check_image(truth, "object")
    negative = int(np.count_nonzero(array < 0))
    if negative:
        _say(
            f"{negative} of {array.size} voxels of the object are below 0 and count as 0: light "
            "is not negative."
        )
    light: npt.NDArray[Any] = np.maximum(array, 0)
    brightest = light.max()
    return light / brightest if brightest > 0 else light


def camera_counts(
    light: npt.NDArray[Any],
    *,
    gain: float = 1.0,
    offset: float = 0.0,
    read_noise: float = 0.0,
    bits: int = 16,
    seed: int = 0,
) -> npt.NDArray[np.uint16]:
    """Let a camera count photons: gain·Poisson(light) + offset + Normal(0, read_noise), rounded.

    The mean is gain·light + offset, the variance gain²·light + read_noise², the model of EMVA 1288
    without its rounding and without what a sensor's pixels differ by.

    Parameters
    ----------
    light : ndarray
        Photons expected in each voxel, any shape, not negative.
    gain : float
        Grey values a photon.
    offset : float
        Grey value without light. What noise brings below 0 is cut off there: a camera's is a few
        times its read noise.
    read_noise : float
        Standard deviation of the camera's own noise, in grey values.
    bits : int
        Of the camera, 16 at most: what is brighter than 2^bits − 1 is saturated.
    seed : int
        The same seed gives the same noise.

    Returns
    -------
    ndarray of uint16
        Grey values, of the shape of `light`.

    Raises
    ------
    DeconvError
        If one of the numbers cannot be a camera's.
    """
    gain = check_number(gain, "gain", low=1e-6)
    offset = check_number(offset, "offset", low=0)
    read_noise = check_number(read_noise, "read_noise", low=0)
    if check_whole(bits, "bits") > _MOST_BITS:
        raise DeconvError(f"bits={bits}: expected {_MOST_BITS} or less.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DeconvError(f"seed={seed!r}: expected a whole number of at least 0.")
    rng = np.random.default_rng(seed)
    counts = np.empty(light.shape, np.uint16)
    expected, flat = light.ravel(), counts.ravel()
    for start in range(0, light.size, _TOGETHER):
        part = slice(start, start + _TOGETHER)
        grey = gain * rng.poisson(expected[part]) + offset
        if read_noise:
            grey += rng.normal(0, read_noise, grey.size)
        flat[part] = np.rint(grey).clip(0, 2**bits - 1)
    return counts


def _say(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=3)
