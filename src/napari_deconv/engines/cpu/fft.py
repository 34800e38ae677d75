"""Real Fourier transforms with SciPy, axis by axis, only where there is something to transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slabs, Spectrum
from napari_deconv.engines.protocol import Shape

__all__ = ["CpuFft"]


class CpuFft:
    """Transforms on one grid, with one spectrum to work in.

    A convolution goes over the spectrum three times: x and y of one plane while it is in the cache;
    z, the product with the OTF, and z back for a few rows at once; y and x back. Planes and rows
    that are 0 are not transformed, nor are those that nobody reads: where the image is a part of
    the grid, half of the 1-D transforms of one direction need not run.
    """

    def __init__(self, grid: Shape, slabs: Slabs) -> None:
        self.grid = grid
        self._slabs = slabs
        self._spectrum = self._empty()
        # A single plane leaves nothing to share out among the threads but its lines.
        self._workers = slabs.workers if grid[0] == 1 else 1

    def _empty(self) -> Spectrum:
        return np.zeros((*self.grid[:-1], self.grid[-1] // 2 + 1), np.complex64)

    def spectrum(self, image: Real) -> Spectrum:
        out = self._empty()
        self._planes(image, out)

        def columns(rows: slice) -> None:
            out[:, rows] = scipy.fft.fft(out[: len(image), rows], self.grid[0], axis=0)

        self._slabs.map(columns, self._rows())
        return out

    def convolve(self, image: Real, otf: Spectrum, out: Real) -> None:
        def times(spectrum: Spectrum, rows: slice) -> None:
            spectrum *= otf[:, rows]

        self._filter(image, times, out)

    def correlate(self, image: Real, otf: Spectrum, out: Real) -> None:
        def times_conjugate(spectrum: Spectrum, rows: slice) -> None:
            spectrum *= otf[:, rows].conj()

        self._filter(image, times_conjugate, out)

    def _filter(self, image: Real, product: Callable[[Spectrum, slice], None], out: Real) -> None:
        spectrum = self._spectrum
        self._planes(image, spectrum)

        def columns(rows: slice) -> None:
            part = scipy.fft.fft(spectrum[: len(image), rows], self.grid[0], axis=0)
            product(part, rows)
            part = scipy.fft.ifft(part, axis=0, overwrite_x=True)
            spectrum[: len(out), rows] = part[: len(out)]

        self._slabs.map(columns, self._rows())
        self._planes_back(spectrum, out)

    def _rows(self) -> list[slice]:
        """Cut y so that the columns along z of a few rows stay in the cache."""
        nz, ny, nx = self._spectrum.shape
        count = max(1, SLAB_VOXELS // 2 // (nz * nx))
        return [slice(y, y + count) for y in range(0, ny, count)]

    def _planes(self, image: Real, spectrum: Spectrum) -> None:
        """Transform x and y of the planes of an image that is 0 outside its own shape."""
        nx, rows, workers = self.grid[-1], image.shape[1], self._workers

        def plane(z: int) -> None:
            spectrum[z, :rows] = scipy.fft.rfft(image[z], nx, workers=workers)
            spectrum[z, rows:] = 0
            _in_place(scipy.fft.fft, spectrum[z], workers)

        self._slabs.map(plane, range(len(image)))

    def _planes_back(self, spectrum: Spectrum, out: Real) -> None:
        """Transform y and x back, for the voxels of `out` only."""
        nx, workers = self.grid[-1], self._workers
        _, rows, columns = out.shape

        def plane(z: int) -> None:
            _in_place(scipy.fft.ifft, spectrum[z], workers)
            lines = scipy.fft.irfft(spectrum[z, :rows], nx, workers=workers)
            out[z] = lines[:, :columns]

        self._slabs.map(plane, range(len(out)))


def _in_place(transform: Callable[..., Any], plane: Spectrum, workers: int) -> None:
    done = transform(plane, axis=0, overwrite_x=True, workers=workers)
    if not np.may_share_memory(done, plane):
        plane[...] = done
