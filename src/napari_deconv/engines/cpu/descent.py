"""Steps down a least-squares functional, on the host."""

from __future__ import annotations

import numpy as np

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slab, Slabs, part
from napari_deconv.engines.protocol import UPDATE_THRESHOLD

__all__ = ["Descent"]


class Descent(Slabs):
    """Steps with bounds, and the Laplacian; its differences are periodic."""

    def descend(
        self, correction: Real, guess: Real, step: float, normalization: Real, lowest: float
    ) -> None:
        def work(slab: Slab) -> None:
            c = correction[slab]
            c *= np.float32(step)
            c += guess[slab]
            np.maximum(c, np.float32(lowest), out=c)
            c *= part(normalization, slab) > UPDATE_THRESHOLD

        self.each(work, correction.shape)

    def restrict(self, uphill: Real, estimate: Real, normalization: Real) -> None:
        def work(slab: Slab) -> None:
            u = uphill[slab]
            free = (estimate[slab] > 0) | (u < 0)
            u *= free & (part(normalization, slab) > UPDATE_THRESHOLD)

        self.each(work, uphill.shape)

    def laplacian(self, image: Real, spacing: tuple[float, ...], out: Real) -> None:
        nz = image.shape[0]
        thickness = max(1, SLAB_VOXELS * nz // image.size)
        wz, wy, wx = (np.float32(1 / step**2) for step in spacing)

        def work(start: int) -> None:
            stop = min(start + thickness, nz)
            x = image.take(range(start - 1, stop + 1), axis=0, mode="wrap")
            here = x[1:-1]
            twice = 2 * here
            second = wz * (x[2:] + x[:-2] - twice)
            second += wy * (np.roll(here, 1, 1) + np.roll(here, -1, 1) - twice)
            second += wx * (np.roll(here, 1, 2) + np.roll(here, -1, 2) - twice)
            out[start:stop] = second

        self.map(work, range(0, nz, thickness))
