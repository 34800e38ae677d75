"""The camera's gain, from the same places in an image as if it were in memory."""

from __future__ import annotations

import numpy as np
from dask import delayed

from napari_deconv._progress import Callback
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.source import Index, Source
from napari_deconv.blocks.turn import one_tile
from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.photons import count_photons
from napari_deconv.gain import CameraGain, Noise, noise_boxes, noise_in

__all__ = ["count_photons_in"]


def count_photons_in(
    source: Source,
    frame: tuple[int, ...],
    largest: float,
    options: Options,
    callback: Callback | None = None,
) -> CameraGain:
    """Find the gain and the offset of a volume as `count_photons` does.

    Parameters
    ----------
    source : Source
        What is read.
    frame : tuple of int
        The volume's index on the axes in front.
    largest : float
        Its brightest voxel that counts.
    options : Options
        What is to be done.
    callback : callable, optional
        Called with a `Progress` after each place that is read.
    """
    what = delayed((source, largest, options.kind.positive), traverse=False)

    def measure() -> list[Noise]:
        boxes = noise_boxes(source.shape[len(frame) :])
        tasks = [delayed(_noise)(what, (*frame, *box), i) for i, box in enumerate(boxes)]
        found = dict(compute_each(tasks, callback))
        return [found[i] for i in range(len(boxes))]

    return count_photons(measure, options)


def _noise(what: tuple[Source, float, bool], index: Index, number: int) -> tuple[int, Noise]:
    source, largest, positive = what
    with one_tile():
        image, _, mask = source.read(index)
        if positive and image.dtype.kind in "if":
            image = np.maximum(image, 0)
        if mask is not None:  # what is as bright as anything counts as saturated
            image = np.where(mask, image, image.dtype.type(largest))
        return number, noise_in(image, largest)
