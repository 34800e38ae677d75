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

    def split_photons(
        self, data: Real, photon: float, offset: float, seed: int, first: Real, second: Real
    ) -> None:
        def work(slab: Slab) -> None:
            place = [cut.start or 0 for cut in slab]
            rng = np.random.Generator(np.random.SFC64([seed, *place]))
            dark = np.minimum(data[slab], np.float32(offset))
            y = (data[slab] - dark) / np.float32(photon)
            whole = np.floor(y)
            drawn = _half_of(whole, rng)
            drawn += (y - whole) * rng.integers(0, 2, y.shape, np.uint8)
            first[slab] = dark + np.float32(2 * photon) * drawn
            second[slab] = dark + np.float32(2 * photon) * (y - drawn)

        self.each(work, data.shape)

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

    def agreement(self, first: Real, second: Real, normalization: Real, out: Real) -> None:
        def work(slab: Slab) -> None:
            n, a = part(normalization, slab), out[slab]
            np.subtract(second[slab], n, out=a)
            a *= first[slab] - n
            a /= np.maximum(n, np.float32(UPDATE_THRESHOLD))
            a *= n > UPDATE_THRESHOLD

        self.each(work, out.shape)

    def update_where_agreed(
        self, first: Real, second: Real, estimate: Real, normalization: Real, agreement: Real
    ) -> None:
        def work(slab: Slab) -> None:
            c, x, n = first[slab], estimate[slab], part(normalization, slab)
            c += second[slab]
            c *= x
            c /= 2 * np.maximum(n, np.float32(UPDATE_THRESHOLD))
            np.maximum(c, 0, out=c)
            np.copyto(c, x, where=agreement[slab] < 0)
            c *= n > UPDATE_THRESHOLD

        self.each(work, first.shape)

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


def _half_of(photons: Real, rng: np.random.Generator) -> Real:
    """Draw from Binomial(n, ½): a random bit for each photon, from 64 on by the normal law."""
    deviation = rng.standard_normal(photons.shape, np.float32)
    deviation *= np.sqrt(photons)
    many = np.clip(np.rint((photons + deviation) / 2), 0, photons)
    ones = (np.uint64(1) << np.minimum(photons, 63).astype(np.uint64)) - np.uint64(1)
    bits = rng.integers(0, 2**64, photons.shape, np.uint64)
    few = np.bitwise_count(bits & ones).astype(np.float32)
    return np.where(photons < 64, few, many)


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
