"""The weight of a direct filter, found as if the image were in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._checks import LARGEST
from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.source import Source
from napari_deconv.blocks.telling import tell
from napari_deconv.blocks.turn import one_tile
from napari_deconv.deconvolution.parts import SHARES, Box, parts_of
from napari_deconv.deconvolution.volume import less
from napari_deconv.deconvolution.weight import find_weight

__all__ = ["find_weights_in"]

Frame = tuple[int, ...]


def find_weights_in(
    source: Source, order: Order, frames: Iterable[Frame], callback: Callback | None = None
) -> dict[Frame, float]:
    """Find the weight of each volume, as `deconvolve` does.

    Parameters
    ----------
    source : Source
        What is read: of a volume of more than four million voxels the middle of up to 64 parts of
        that size, and three of these.
    order : Order
        What is to be done.
    frames : iterable of tuple of int
        The volumes' indices on the axes in front.
    callback : callable, optional
        Called with a `Progress` after each volume, and after each part that is read.

    Returns
    -------
    dict
        The weight of each volume, by its index.
    """
    what = delayed((source, order), traverse=False)
    tasks = [delayed(_find)(what, frame) for frame in frames]
    return dict(compute_each(tasks, callback))


def _find(what: tuple[Source, Order], frame: Frame) -> tuple[Frame, float]:
    source, order = what
    space = source.shape[len(frame) :]
    volume = (1,) * (3 - len(space)) + space
    parts, done, base = len(parts_of(volume)), 0, 0.0
    reads = parts + min(len(SHARES), parts) if parts > 1 else 1

    def read(box: Box) -> npt.NDArray[np.float32]:
        nonlocal done, base
        tell(min(done / reads, 1.0))
        image, background, _ = source.read((*frame, *box[3 - len(space) :]))
        if not done:  # what is common to all, in double precision
            finite = image[np.isfinite(image)]
            base = float(finite.min()) if finite.size else 0.0
        done += 1
        level = background if np.ndim(background) else base
        with np.errstate(over="ignore", invalid="ignore"):
            light = less(image, level)
        light[~(np.abs(light) < LARGEST)] = 0  # refused when all is counted
        return light[np.newaxis] if len(space) == 2 else light

    with one_tile():
        return frame, find_weight(read, volume, order.options)
