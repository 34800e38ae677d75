"""The weight of a direct filter, by what is in the image or in three parts of a large one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_deconv.background import estimate_background
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.parts import Box, by_light, part_shape, parts_of
from napari_deconv.deconvolution.volume import UNKNOWN_OUTSIDE, extend, grid_of, margin_of
from napari_deconv.engines.limits import threads
from napari_deconv.forward import centred_at_origin
from napari_deconv.solvers.weights import (
    AutomaticWeights,
    automatic_weights,
    cross_validated,
    faded_mirror,
    laplacian_penalty,
    wiener_penalty,
)

__all__ = ["find_weight", "find_weights", "grid_of_part", "lay", "penalty_of"]

Float = npt.NDArray[np.float32]
Volume3 = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
Read = Callable[[Box], npt.NDArray[Any]]

_PLANES = 4  # of a part, to see how bright it is


def find_weights(read: Read, shape: Sequence[int], options: Options) -> AutomaticWeights:
    """Find the weight of an image by three rules.

    Of an image of more than four million voxels three parts are looked at, chosen by where the
    light is. Each is taken less its own background, so that the weight is the same whatever number
    is known of it, and whether the image is in memory or read part by part.

    Parameters
    ----------
    read : callable
        Gives a part of the image (z, y, x), less the background where that is not one number.
    shape : sequence of int
        Of the image, (z, y, x).
    options : Options
        The method, its PSF and boundary.
    """
    parts = _Parts(read, shape, options)
    return automatic_weights(list(parts), parts.otf, parts.penalty, parts.grid, parts.shape)


def find_weight(read: Read, shape: Sequence[int], options: Options) -> float:
    """Find the weight that `find_weights` finds by cross-validation, with one part in memory."""
    parts = _Parts(read, shape, options)
    return cross_validated(parts, parts.otf, parts.penalty, parts.grid)


def lay(light: Float, psf_shape: tuple[int, ...], boundary: str) -> Volume3:
    """Lay light, without background, on the grid that it is filtered on."""
    grid = grid_of(light.shape, psf_shape, boundary)
    if boundary in UNKNOWN_OUTSIDE:
        laid: Volume3 = faded_mirror(light, grid, margin_of(psf_shape, boundary))
        return laid
    return light if boundary == "circular" else extend(light, grid, boundary)


def penalty_of(options: Options, grid: tuple[int, int, int]) -> Float:
    """Compute what the method's weight weighs, on the half spectrum of a grid."""
    if options.method == "tikhonov":
        return laplacian_penalty(grid, options.spacing)
    return wiener_penalty(grid)


def grid_of_part(shape: Sequence[int], options: Options) -> tuple[int, int, int]:
    """Give the grid (z, y, x) that a part of an image is laid on."""
    nz, ny, nx = grid_of(_shape(shape, options), options.psfs[0].shape, options.boundary)
    return nz, ny, nx


def _shape(shape: Sequence[int], options: Options) -> tuple[int, ...]:
    """Give the shape of the parts: where something is known of what lies outside, all is one."""
    return part_shape(shape) if options.boundary in UNKNOWN_OUTSIDE else tuple(shape)


class _Parts:
    """Spectra of the parts of an image, one after the other, and what they have in common."""

    def __init__(self, read: Read, shape: Sequence[int], options: Options) -> None:
        psf = options.psfs[0]
        self._read, self._size = read, psf.shape
        self._boundary = options.boundary
        self.shape = _shape(shape, options)
        self._boxes: list[Box] = [(slice(None),) * 3]
        if self.shape != tuple(shape):
            self._boxes = _where_light_is(read, parts_of(shape))
        self.grid = grid_of_part(shape, options)
        self.otf = scipy.fft.rfftn(centred_at_origin(psf, self.grid), workers=threads())
        self.penalty = penalty_of(options, self.grid)

    def __iter__(self) -> Iterator[npt.NDArray[np.complexfloating]]:
        for box in self._boxes:
            light = np.asarray(self._read(box), np.float32)
            light = light - np.float32(estimate_background(light, engine="cpu"))
            light = lay(light, self._size, self._boundary)
            spectrum = scipy.fft.rfftn(light, workers=threads())
            del light
            yield spectrum
            del spectrum


def _where_light_is(read: Read, boxes: list[Box]) -> list[Box]:
    """Choose parts by how much brighter some planes of each are than those of the darkest."""
    if len(boxes) == 1:
        return boxes
    means = np.array([read(_middle(box)).mean(dtype=np.float64) for box in boxes])
    return by_light(boxes, means - means.min())


def _middle(box: Box) -> Box:
    """Give the planes in the middle of a part: many files are read plane by plane."""
    z, y, x = box
    start = (z.start + z.stop - _PLANES) // 2
    return slice(max(start, z.start), min(start + _PLANES, z.stop)), y, x
