"""Arrays in host memory: SciPy's threaded FFT, and NumPy over slabs that fit the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import scipy.fft
import scipy.ndimage
import scipy.sparse
import scipy.special
from skimage.restoration import rolling_ball

from napari_deconv.engines.protocol import (
    TV_EPSILON,
    UPDATE_THRESHOLD,
    Device,
    Shape,
    format_bytes,
)
from napari_deconv.errors import DeviceError

__all__ = ["CpuEngine"]

Real = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complex64]
Slab = tuple[slice, ...]

# Elementwise work is memory-bound: a handful of arrays of this many float32 stay in the cache.
_SLAB_VOXELS = 1 << 16


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _part(array: npt.NDArray[Any], slab: Slab) -> npt.NDArray[Any]:
    """Take the slab of an array, or all of it where one number stands for all voxels."""
    return array if array.size == 1 else array[slab]


def _slabs(shape: Shape) -> list[Slab]:
    """Cut a volume along z, or a single plane along y."""
    axis = 0 if shape[0] > 1 else 1
    length = shape[axis]
    thickness = max(1, _SLAB_VOXELS * length // max(1, int(np.prod(shape))))
    sizes = [slice(size) for size in shape]
    cuts = (slice(i, min(i + thickness, length)) for i in range(0, length, thickness))
    return [(*sizes[:axis], cut, *sizes[axis + 1 :]) for cut in cuts]


class CpuEngine:
    """The engine on the host's processor; arrays are NumPy float32, spectra complex64."""

    def __init__(self) -> None:
        memory = psutil.virtual_memory().total
        self._workers = _workers()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="napari-deconv")
        self.device = Device("cpu", f"{self._workers} CPU cores", "CPU", memory, memory)

    def _each(self, function: Callable[[Slab], Any], shape: Shape) -> list[Any]:
        return list(self._pool.map(function, _slabs(shape)))

    # -- memory ------------------------------------------------------------------------------
    def asarray(self, array: npt.NDArray[Any], shape: Shape | None = None) -> Real:
        out = np.zeros(shape or array.shape, np.float32)
        out[tuple(slice(size) for size in array.shape)] = array
        return out

    def to_numpy(self, array: Real, shape: Shape | None = None) -> Real:
        return array[tuple(slice(size) for size in shape or array.shape)].copy()

    def full(self, shape: Shape, value: float) -> Real:
        return np.full(shape, value, np.float32)

    def copy(self, array: Real) -> Real:
        return array.copy()

    def require(self, nbytes: int, largest: int, purpose: str) -> None:
        available = psutil.virtual_memory().available
        if nbytes > available:
            raise DeviceError(
                f"{purpose} needs {format_bytes(nbytes)} of memory, {format_bytes(available)} are "
                "free: crop the image or the PSF, or close other programs."
            )

    # -- transforms --------------------------------------------------------------------------
    def rfft(self, image: Real) -> Spectrum:
        spectrum = np.empty((*image.shape[:-1], image.shape[-1] // 2 + 1), np.complex64)
        self.rfft_into(image, spectrum)
        return spectrum

    def rfft_into(self, image: Real, spectrum: Spectrum) -> None:
        def rows(slab: Slab) -> None:
            spectrum[slab[:-1]] = scipy.fft.rfft(image[slab])

        self._each(rows, image.shape)
        self._planes(scipy.fft.fft, spectrum)

    def irfft_into(self, spectrum: Spectrum, out: Real) -> None:
        self._planes(scipy.fft.ifft, spectrum)

        def rows(slab: Slab) -> None:
            out[slab] = scipy.fft.irfft(spectrum[slab[:-1]], out.shape[-1])

        self._each(rows, out.shape)

    def _planes(self, transform: Callable[..., Any], spectrum: Spectrum) -> None:
        """Transform y, then z, in place; axis by axis is faster than SciPy's n-d transforms."""
        for axis in (1, 0):
            if spectrum.shape[axis] > 1:
                done = transform(spectrum, axis=axis, overwrite_x=True, workers=self._workers)
                if not np.may_share_memory(done, spectrum):
                    spectrum[...] = done

    # -- spectra, in place -------------------------------------------------------------------
    def multiply(self, spectrum: Spectrum, otf: Spectrum) -> None:
        def work(slab: Slab) -> None:
            spectrum[slab] *= otf[slab]

        self._each(work, spectrum.shape)

    def multiply_conjugate(self, spectrum: Spectrum, otf: Spectrum) -> None:
        def work(slab: Slab) -> None:
            spectrum[slab] *= otf[slab].conj()

        self._each(work, spectrum.shape)

    def wiener(self, spectrum: Spectrum, otf: Spectrum, penalty: Real) -> None:
        def work(slab: Slab) -> None:
            h, p = otf[slab], _part(penalty, slab)
            power = h.real**2 + h.imag**2 + p
            gain = np.divide(h.conj(), power, out=np.zeros_like(h), where=power > 0)
            spectrum[slab] *= gain

        self._each(work, spectrum.shape)

    def inverse(self, spectrum: Spectrum, otf: Spectrum, epsilon: float) -> None:
        def work(slab: Slab) -> None:
            h = otf[slab] + np.float32(epsilon)
            usable = h.real**2 + h.imag**2 >= np.float32(epsilon / 2) ** 2
            spectrum[slab] *= np.divide(1, h, out=np.zeros_like(h), where=usable)

        self._each(work, spectrum.shape)

    # -- Richardson–Lucy ---------------------------------------------------------------------
    def ratio(self, model: Real, data: Real, background: Real, floor: float) -> None:
        nz, ny, nx = data.shape

        def work(slab: Slab) -> None:
            u = model[slab]
            u += _part(background, slab)
            np.maximum(u, np.float32(floor), out=u)
            np.divide(data[slab], u, out=u)

        self._each(work, data.shape)
        model[nz:] = 0
        model[:nz, ny:] = 0
        model[:nz, :ny, nx:] = 0

    def update(self, correction: Real, estimate: Real, normalization: Real) -> None:
        def work(slab: Slab) -> None:
            c, n = correction[slab], _part(normalization, slab)
            c *= estimate[slab]
            c /= np.maximum(n, np.float32(UPDATE_THRESHOLD))
            c *= n > UPDATE_THRESHOLD
            np.maximum(c, 0, out=c)

        self._each(work, correction.shape)

    def extrapolate(
        self, current: Real, previous: Real, step: float, floor: float, out: Real
    ) -> None:
        def work(slab: Slab) -> None:
            x, p = current[slab], out[slab]
            np.subtract(x, previous[slab], out=p)
            p *= np.float32(step)
            p += x
            np.maximum(p, np.float32(floor) * x, out=p)

        self._each(work, current.shape)

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
        thickness = max(1, _SLAB_VOXELS * nz // estimate.size)

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
            n = _part(normalization, (slice(start, stop),))
            regularized = np.maximum(n - np.float32(weight) * divergence, np.float32(0.1) * n)
            out[start:stop] = regularized * (n > UPDATE_THRESHOLD)

        list(self._pool.map(work, range(0, nz, thickness)))

    def subtract(self, first: Real, second: Real, out: Real) -> None:
        def work(slab: Slab) -> None:
            np.subtract(first[slab], second[slab], out=out[slab])

        self._each(work, out.shape)

    # -- reductions ----------------------------------------------------------------------------
    def sum(self, array: Real) -> float:
        return float(sum(self._each(lambda slab: array[slab].sum(dtype=np.float64), array.shape)))

    def dot(self, first: Real, second: Real) -> float:
        def work(slab: Slab) -> float:
            product = first[slab] * second[slab]
            return float(product.sum(dtype=np.float64))

        return float(sum(self._each(work, first.shape)))

    def divergence(
        self, model: Real, data: Real, background: Real, mask: Real, floor: float
    ) -> float:
        def work(slab: Slab) -> float:
            u = np.maximum(model[slab] + _part(background, slab), np.float32(floor))
            loss = scipy.special.kl_div(data[slab], u)
            loss *= _part(mask, slab)
            return float(loss.sum(dtype=np.float64))

        return float(sum(self._each(work, data.shape)))

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
