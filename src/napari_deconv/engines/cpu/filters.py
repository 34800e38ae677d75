"""Filters, and filters made of an OTF, on the host: SciPy's and scikit-image's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.sparse
from skimage.restoration import rolling_ball

from napari_deconv.engines.cpu.slabs import Real, Slab, Slabs, Spectrum, part
from napari_deconv.engines.protocol import Shape

__all__ = ["Filters"]


class Filters(Slabs):
    """Filters reflect at the edges."""

    # -- an OTF becomes a filter, in place -------------------------------------------------------
    def wiener(self, otf: Spectrum, penalty: Real) -> None:
        def work(slab: Slab) -> None:
            h = otf[slab]
            power = h.real**2 + h.imag**2 + part(penalty, slab)
            otf[slab] = np.divide(h.conj(), power, out=np.zeros_like(h), where=power > 0)

        self.each(work, otf.shape)

    def inverse(self, otf: Spectrum, epsilon: float) -> None:
        def work(slab: Slab) -> None:
            h = otf[slab] + np.float32(epsilon)
            usable = h.real**2 + h.imag**2 >= np.float32(epsilon / 2) ** 2
            otf[slab] = np.divide(1, h, out=np.zeros_like(h), where=usable)

        self.each(work, otf.shape)

    # -- filters -----------------------------------------------------------------------------
    def gaussian(self, image: Real, sigma: tuple[float, ...]) -> Real:
        return scipy.ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4.0)

    def minimum(self, image: Real, size: Shape) -> Real:
        return scipy.ndimage.minimum_filter(image, size, mode="reflect")

    def maximum(self, image: Real, size: Shape) -> Real:
        return scipy.ndimage.maximum_filter(image, size, mode="reflect")

    def rolling_ball(self, image: Real, heights: npt.NDArray[Any]) -> Real:
        return np.asarray(rolling_ball(image, kernel=heights.astype(np.float32)), np.float32)

    # -- radial tables -------------------------------------------------------------------------
    def expand(self, table: npt.NDArray[Any], weights: scipy.sparse.csr_array) -> Real:
        values = (weights @ np.ascontiguousarray(table.T)).T
        return np.ascontiguousarray(values[:, np.newaxis, :], np.float32)
