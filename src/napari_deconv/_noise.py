"""How noisy and how coarse the grey values of an image are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["grey_step", "noise_level", "smallest_height"]

_SAMPLES = 100_000  # the noise is then known to 0.4 %
_SIGMA_PER_MAD = 1.4826
_NOISE_LEVELS = 6.0
_GREY_STEPS = 5.0


def noise_level(image: npt.NDArray[Any]) -> float:
    """Estimate the standard deviation of the noise: 1.4826 × the median absolute deviation."""
    values = _sample(image)
    return _SIGMA_PER_MAD * float(np.median(np.abs(values - np.median(values))))


def grey_step(image: npt.NDArray[Any]) -> float:
    """Find the smallest difference between two grey values, 1 for most integer images.

    Where the background is narrower than this step, as in many 8-bit images, the median absolute
    deviation is 0 and this is all there is to say about the noise.
    """
    values = np.unique(_sample(image))
    return float(np.diff(values).min()) if values.size > 1 else 0.0


def smallest_height(filtered: npt.NDArray[Any], image: npt.NDArray[Any]) -> float:
    """Say how high a bead must be in a filtered image to stand out of what is left of the noise."""
    return max(_NOISE_LEVELS * noise_level(filtered), _GREY_STEPS * grey_step(image))


def _sample(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    flat = image.ravel()
    step = flat.size // _SAMPLES | 1  # odd, so that it does not follow the rows
    return flat[::step].astype(np.float64)
