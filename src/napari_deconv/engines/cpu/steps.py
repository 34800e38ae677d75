"""What solvers do with voxels between two transforms, and sums over them."""

from __future__ import annotations

import numpy as np
import scipy.special

from napari_deconv.engines.cpu.slabs import Real, Slab, Slabs, part
from napari_deconv.engines.protocol import UPDATE_THRESHOLD

__all__ = ["Steps"]


class Steps(Slabs):
    """Elementwise steps in place, and reductions in double precision."""

    # -- light: where the data are -----------------------------------------------------------
    def ratio(self, light: Real, data: Real, background: Real, floor: float) -> None:
        def work(slab: Slab) -> None:
            u = light[slab]
            u += part(background, slab)
            np.maximum(u, np.float32(floor), out=u)
            np.divide(data[slab], u, out=u)

        self.each(work, light.shape)

    def damped_ratio(
        self,
        light: Real,
        data: Real,
        background: Real,
        mask: Real,
        floor: float,
        threshold: float,
    ) -> None:
        def work(slab: Slab) -> None:
            u = np.maximum(light[slab] + part(background, slab), np.float32(floor))
            y = data[slab]
            d = scipy.special.kl_div(y, u)
            d /= np.float32(threshold)
            np.minimum(d, 1, out=d)
            ninth = np.square(np.square(np.square(d))) * d
            r = 1 + ninth * (10 - 9 * d) * (y / u - 1)
            np.multiply(r, part(mask, slab), out=light[slab])

        self.each(work, light.shape)

    def stabilized_ratio(
        self, light: Real, data: Real, background: Real, mask: Real, offset: float
    ) -> None:
        def work(slab: Slab) -> None:
            u, c = light[slab], np.float32(offset)
            u += part(background, slab)
            np.maximum(u, 0, out=u)
            u += c
            np.divide(data[slab] + c, u, out=u)
            np.sqrt(u, out=u)
            u *= part(mask, slab)

        self.each(work, light.shape)

    def residual(self, light: Real, data: Real, background: Real, mask: Real) -> None:
        def work(slab: Slab) -> None:
            u = light[slab]
            u += part(background, slab)
            np.subtract(data[slab], u, out=u)
            u *= part(mask, slab)

        self.each(work, light.shape)

    def divergence(
        self, light: Real, data: Real, background: Real, mask: Real, floor: float
    ) -> float:
        def work(slab: Slab) -> float:
            u = np.maximum(light[slab] + part(background, slab), np.float32(floor))
            loss = scipy.special.kl_div(data[slab], u)
            loss *= part(mask, slab)
            return float(loss.sum(dtype=np.float64))

        return float(sum(self.each(work, data.shape)))

    # -- estimates: on the grid --------------------------------------------------------------
    def update(self, correction: Real, guess: Real, divisor: Real) -> None:
        self.each(lambda slab: _update(correction, guess, divisor, slab), correction.shape)

    def update_with_momentum(
        self,
        correction: Real,
        guess: Real,
        divisor: Real,
        previous: Real,
        step: float,
        floor: float,
    ) -> None:
        def work(slab: Slab) -> None:
            _update(correction, guess, divisor, slab)
            _extrapolate(correction[slab], previous[slab], step, floor, guess[slab])

        self.each(work, correction.shape)

    def extrapolate(
        self, current: Real, previous: Real, step: float, floor: float, out: Real
    ) -> None:
        def work(slab: Slab) -> None:
            _extrapolate(current[slab], previous[slab], step, floor, out[slab])

        self.each(work, current.shape)

    def combine(self, first: Real, a: float, second: Real, b: float, out: Real) -> None:
        def work(slab: Slab) -> None:
            scaled = np.float32(b) * second[slab]
            np.multiply(first[slab], np.float32(a), out=out[slab])
            out[slab] += scaled

        self.each(work, out.shape)

    def clip(self, array: Real, floor: float = 0.0) -> None:
        def work(slab: Slab) -> None:
            np.maximum(array[slab], np.float32(floor), out=array[slab])

        self.each(work, array.shape)

    # -- reductions ----------------------------------------------------------------------------
    def sum(self, array: Real) -> float:
        return float(sum(self.each(lambda slab: array[slab].sum(dtype=np.float64), array.shape)))

    def dot(self, first: Real, second: Real) -> float:
        def work(slab: Slab) -> float:
            product = first[slab] * second[slab]
            return float(product.sum(dtype=np.float64))

        return float(sum(self.each(work, first.shape)))

    def largest_change(self, first: Real, second: Real) -> float:
        def work(slab: Slab) -> float:
            return float(np.abs(first[slab] - second[slab]).max())

        return float(max(self.each(work, first.shape)))


def _update(correction: Real, guess: Real, divisor: Real, slab: Slab) -> None:
    c, n = correction[slab], part(divisor, slab)
    c *= guess[slab]
    c /= np.maximum(n, np.float32(UPDATE_THRESHOLD))
    c *= n > UPDATE_THRESHOLD
    np.maximum(c, 0, out=c)


def _extrapolate(x: Real, previous: Real, step: float, floor: float, p: Real) -> None:
    np.subtract(x, previous, out=p)
    p *= np.float32(step)
    p += x
    np.maximum(p, np.float32(floor) * x, out=p)
