"""Real Fourier transforms with SciPy, axis by axis, only where there is something to transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.fft

from napari_deconv.engines.cpu.slabs import Real, Slabs, Spectrum
from napari_deconv.engines.limits import threads
from napari_deconv.engines.protocol import Shape

__all__ = ["CpuFft"]

# Frequencies that stay in the cache while they are worked on.
_CACHED = 1 << 16


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
        self._workers = threads() if grid[0] == 1 else 1

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
        def columns(planes: Spectrum, rows: slice) -> Spectrum:
            part = self._forward(planes)
            part *= otf[:, rows]
            return _backward(part)

        self._filter(image, columns, out)

    def correlate(self, image: Real, otf: Spectrum, out: Real) -> None:
        def columns(planes: Spectrum, rows: slice) -> Spectrum:
            part = self._forward(planes)
            part *= otf[:, rows].conj()
            return _backward(part)

        self._filter(image, columns, out)

    # Weights that depend on z alone commute with the transforms along x and y, which are therefore
    # done once for all strata.
    def convolve_strata(
        self, image: Real, otfs: Sequence[Spectrum], weights: Real, out: Real
    ) -> None:
        def columns(planes: Spectrum, rows: slice) -> Spectrum:
            total = np.zeros((self.grid[0], *planes.shape[1:]), np.complex64)
            for otf, weight in zip(otfs, weights[0], strict=True):
                part = self._forward(planes * weight[: len(planes), None, None])
                part *= otf[:, rows]
                total += part
            return _backward(total)

        self._filter(image, columns, out)

    def correlate_strata(
        self, image: Real, otfs: Sequence[Spectrum], weights: Real, out: Real
    ) -> None:
        def columns(planes: Spectrum, rows: slice) -> Spectrum:
            light = self._forward(planes)
            total = np.zeros_like(light)
            for otf, weight in zip(otfs, weights[0], strict=True):
                part = _backward(light * otf[:, rows].conj())
                part *= weight[:, None, None]
                total += part
            return total

        self._filter(image, columns, out)

    def _filter(
        self, image: Real, columns: Callable[[Spectrum, slice], Spectrum], out: Real
    ) -> None:
        """Transform x and y, let `columns` filter all z of a few rows, transform back."""
        spectrum = self._spectrum
        self._planes(image, spectrum)

        def work(rows: slice) -> None:
            spectrum[: len(out), rows] = columns(spectrum[: len(image), rows], rows)[: len(out)]

        self._slabs.map(work, self._rows())
        self._planes_back(spectrum, out)

    def _forward(self, planes: Spectrum) -> Spectrum:
        part: Spectrum = scipy.fft.fft(planes, self.grid[0], axis=0)
        return part

    def _rows(self) -> list[slice]:
        """Cut y so that the columns along z of a few rows stay in the cache."""
        nz, ny, nx = self._spectrum.shape
        count = max(1, _CACHED // (nz * nx))
        return [slice(y, y + count) for y in range(0, ny, count)]

    def _depths(self, count: int) -> list[slice]:
        """Cut the first planes so that a few of them stay in the cache."""
        _, ny, nx = self._spectrum.shape
        together = max(1, _CACHED // (ny * nx))
        return [slice(z, min(z + together, count)) for z in range(0, count, together)]

    def _planes(self, image: Real, spectrum: Spectrum) -> None:
        """Transform x and y of the planes of an image that is 0 outside its own shape."""
        nx, rows, workers = self.grid[-1], image.shape[1], self._workers

        def planes(z: slice) -> None:
            part = spectrum[z]
            part[:, :rows] = scipy.fft.rfft(image[z], nx, workers=workers)
            part[:, rows:] = 0
            _in_place(scipy.fft.fft, part, workers)

        self._slabs.map(planes, self._depths(len(image)))

    def _planes_back(self, spectrum: Spectrum, out: Real) -> None:
        """Transform y and x back, for the voxels of `out` only."""
        nx, workers = self.grid[-1], self._workers
        _, rows, columns = out.shape

        def planes(z: slice) -> None:
            part = spectrum[z]
            _in_place(scipy.fft.ifft, part, workers)
            out[z] = scipy.fft.irfft(part[:, :rows], nx, workers=workers)[..., :columns]

        self._slabs.map(planes, self._depths(len(out)))


def _backward(part: Spectrum) -> Spectrum:
    planes: Spectrum = scipy.fft.ifft(part, axis=0, overwrite_x=True)
    return planes


def _in_place(transform: Callable[..., Any], planes: Spectrum, workers: int) -> None:
    done = transform(planes, axis=1, overwrite_x=True, workers=workers)
    if not np.may_share_memory(done, planes):
        planes[...] = done
