"""Filters, and filters made of an OTF, on the host: SciPy's and scikit-image's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import scipy.sparse
from skimage.restoration import rolling_ball

from napari_deconv.engines.cpu.slabs import SLAB_VOXELS, Real, Slab, Slabs, Spectrum, part
from napari_deconv.engines.protocol import Line, Lines, Shape

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
        blur = partial(scipy.ndimage.gaussian_filter1d, truncate=4.0)
        return self._along(blur, image, [width or None for width in sigma])

    def minimum(self, image: Real, size: Shape) -> Real:
        return self._along(scipy.ndimage.minimum_filter1d, image, size)

    def maximum(self, image: Real, size: Shape) -> Real:
        return self._along(scipy.ndimage.maximum_filter1d, image, size)

    def _along(
        self, filter1d: Callable[..., Any], image: Real, widths: Sequence[float | None]
    ) -> Real:
        """Filter along one axis after the other, where a width is given."""
        out = image.copy()
        for axis, width in enumerate(widths):
            if width is not None:
                work = partial(_in_place, filter1d, out, axis, width)
                self.map(work, _lines(out.shape, axis))
        return out

    def rolling_ball(self, image: Real, heights: npt.NDArray[Any]) -> Real:
        return np.asarray(rolling_ball(image, kernel=heights.astype(np.float32)), np.float32)

    # -- from grid to grid -----------------------------------------------------------------------
    def crop(self, image: Real, box: tuple[slice, slice, slice]) -> Real:
        return image[box]

    def interpolate(self, image: Real, lines: Lines, out: Real) -> None:
        along_z, along_y, along_x = lines

        def work(slab: Slab) -> None:
            part = _between(image, along_z.cut(slab[0]), 0)
            part = _between(part, along_y.cut(slab[1]), 1)
            out[slab] = _between(part, along_x.cut(slab[2]), 2)

        self.each(work, out.shape)

    # -- radial tables -------------------------------------------------------------------------
    def expand(self, table: npt.NDArray[Any], weights: scipy.sparse.csr_array) -> Real:
        values = (weights @ np.ascontiguousarray(table.T)).T
        return np.ascontiguousarray(values[:, np.newaxis, :], np.float32)


def _lines(shape: Shape, axis: int) -> list[Slab]:
    """Cut a volume into slabs of whole lines along an axis."""
    across = max((a for a in range(3) if a != axis), key=lambda a: (shape[a] > 1, -a))
    step = max(1, SLAB_VOXELS * shape[across] // prod(shape))
    starts = range(0, shape[across], step)
    return [(slice(None),) * across + (slice(start, start + step),) for start in starts]


def _in_place(
    filter1d: Callable[..., Any], volume: Real, axis: int, width: float, slab: Slab
) -> None:
    """Filter lines in place: SciPy copies each one before it writes it."""
    lines = volume[slab]
    filter1d(lines, width, axis, output=lines, mode="reflect")


def _between(values: Real, line: Line, axis: int) -> Real:
    part = line.part.reshape([-1 if a == axis else 1 for a in range(3)])
    below, above = values.take(line.below, axis), values.take(line.above, axis)
    above -= below
    above *= part
    below += above
    return below
