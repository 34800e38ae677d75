"""A small image of points on a background, and its PSF."""

from __future__ import annotations

import numpy as np
from scipy.signal import fftconvolve


def gaussian(shape, sigma=1.2):
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij")
    return np.exp(-sum(g**2 for g in grids) / (2 * sigma**2)).astype(np.float32)


def specimen(shape, seed=0, background=10.0):
    rng = np.random.default_rng(seed)
    truth = np.zeros(shape)
    inner = [slice(2, -2) if n > 6 else slice(None) for n in shape]
    part = truth[tuple(inner)]
    part[tuple(rng.integers(0, n, 8) for n in part.shape)] = 2000
    blurred = fftconvolve(truth, gaussian([min(n, 7) for n in shape]), "same")
    return rng.poisson(np.maximum(blurred, 0) + background)


IMAGE = specimen((9, 16, 14))
PSF = gaussian((5, 7, 7))
