"""Richardson–Lucy as one writes it in an afternoon with SciPy: the yardstick."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import scipy.fft

__all__ = ["cores", "scipy_loop"]

Float = npt.NDArray[np.float32]


def cores() -> int:
    """Count the processor's cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def scipy_loop(
    image: Float, psf: Float, background: float, *, padding: float, heavy_ball: bool
) -> Iterator[Float]:
    """Run Richardson–Lucy with unknown surroundings and the background in the model.

    Parameters
    ----------
    image, psf : ndarray of float32
        (z, y, x).
    background : float
        b.
    padding : float
        How many PSFs the grid is larger than the image: 1, or 0.5 as deconwolf's ``--bq 1``.
    heavy_ball : bool
        Accelerate as Wang & Miller (2014) do, which is deconwolf's method too.

    Yields
    ------
    ndarray of float32
        The estimate after each iteration, of the image's shape; a view.
    """
    workers = cores()
    sizes = zip(image.shape, psf.shape, strict=True)
    grid = [scipy.fft.next_fast_len(n + int(padding * (m - 1)), real=True) for n, m in sizes]
    image_part = tuple(slice(n) for n in image.shape)

    def forward(array: Float) -> npt.NDArray[np.complex64]:
        spectrum: npt.NDArray[np.complex64] = scipy.fft.rfftn(array, workers=workers)
        return spectrum

    def back(spectrum: npt.NDArray[np.complex64]) -> Float:
        array: Float = scipy.fft.irfftn(spectrum, grid, workers=workers)
        return array

    otf = forward(_at_origin(psf, grid))
    mask = np.zeros(grid, np.float32)
    mask[image_part] = 1
    normalization = back(forward(mask) * otf.conj())
    visible = normalization > 0.01
    x = np.full(grid, (image - background).mean(), np.float32) * visible
    p, ratio, k = x, np.zeros(grid, np.float32), 0
    while True:
        model = back(forward(p) * otf)[image_part] + np.float32(background)
        ratio[image_part] = image / np.maximum(model, np.float32(1e-3))
        new = p * back(forward(ratio) * otf.conj())
        new = np.divide(new, normalization, out=np.zeros_like(new), where=visible)
        new = np.maximum(new, 0)
        p = np.maximum(new + np.float32(k / (k + 3)) * (new - x), new / 2) if heavy_ball else new
        x, k = new, k + 1
        yield x[image_part]


def _at_origin(psf: Float, grid: list[int]) -> Float:
    """Lay a PSF on a grid with its voxel n // 2 at the origin; what does not fit is cut off."""
    kernel = np.zeros(grid, np.float32)
    around = [min(n // 2, (size - 1) // 2) for n, size in zip(psf.shape, grid, strict=True)]
    part = psf[
        tuple(
            slice(n // 2 - a, n // 2 - a + size)
            for n, a, size in zip(psf.shape, around, grid, strict=True)
        )
    ]
    kernel[tuple(slice(n) for n in part.shape)] = part
    return np.roll(kernel, [-a for a in around], axis=(0, 1, 2))
