"""The weight of a direct filter, found as if the image were in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.order import Order
from napari_deconv.blocks.source import ONE_TILE, Source
from napari_deconv.blocks.telling import tell
from napari_deconv.deconvolution.parts import Box
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
        What is read: of a volume of more than four million voxels up to 64 parts of that size.
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

    def read(box: Box) -> npt.NDArray[np.float32]:
        tell(0.0)
        image, background, _ = source.read((*frame, *box[3 - len(space) :]))
        light: npt.NDArray[np.float32] = image.astype(np.float32)
        if background is not None and np.ndim(background):
            light = light - np.asarray(background, np.float32)
        # What is not finite is refused when all is counted.
        light = np.where(np.isfinite(light), light, 0)
        return light[np.newaxis] if len(space) == 2 else light

    with ONE_TILE:
        return frame, find_weight(read, (1,) * (3 - len(space)) + space, order.options)
