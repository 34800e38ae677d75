"""Regularised divisors on the host."""

from __future__ import annotations

import numpy as np

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slabs, part
from napari_deconv.engines.protocol import TV_EPSILON, UPDATE_THRESHOLD

__all__ = ["Regularizers"]


class Regularizers(Slabs):
    """What Richardson–Lucy divides by where it is regularised; differences are periodic."""

    def total_variation(
        self,
        estimate: Real,
        spacing: tuple[float, ...],
        weight: float,
        normalization: Real,
        out: Real,
    ) -> None:
        dz, dy, dx = (np.float32(step) for step in spacing)
        nz = estimate.shape[0]
        thickness = max(1, SLAB_VOXELS * nz // estimate.size)

        def work(start: int) -> None:
            stop = min(start + thickness, nz)
            x = estimate.take(range(start - 1, stop + 1), axis=0, mode="wrap")
            gz = (x[1:] - x[:-1]) / dz
            gy = (np.roll(x[:-1], -1, 1) - x[:-1]) / dy
            gx = (np.roll(x[:-1], -1, 2) - x[:-1]) / dx
            length = np.sqrt(gz**2 + gy**2 + gx**2 + np.float32(TV_EPSILON**2))
            for gradient in (gz, gy, gx):
                gradient /= length
            divergence = (gz[1:] - gz[:-1]) / dz
            divergence += (gy[1:] - np.roll(gy[1:], 1, 1)) / dy
            divergence += (gx[1:] - np.roll(gx[1:], 1, 2)) / dx
            n = part(normalization, (slice(start, stop),))
            regularized = np.maximum(n - np.float32(weight) * divergence, np.float32(0.1) * n)
            out[start:stop] = regularized * (n > UPDATE_THRESHOLD)

        self.map(work, range(0, nz, thickness))
