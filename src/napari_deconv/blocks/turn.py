"""Whose turn it is in this process, and what a tile leaves for the next one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import Problem, make_model, require_memory
from napari_deconv.engines.protocol import Shape
from napari_deconv.forward import Convolution, DepthVarying

__all__ = ["Models", "forget_models", "one_tile"]


class Models:
    """Forward models of one region, its coarse levels included, and of the next of its shape.

    All regions have the same PSFs: the OTFs, most of what a model takes to make, depend on the
    grids alone.
    """

    def __init__(self) -> None:
        self._region: Shape = ()
        self._made: dict[Shape, Convolution | DepthVarying] = {}

    def begin(self, region: Shape) -> None:
        """Let go of the models of a region of another shape."""
        if region != self._region:
            self._region, self._made = region, {}

    def of(self, level: Problem, options: Options) -> Convolution | DepthVarying:
        """Give the model of the region, or of a coarse level of it.

        Raises
        ------
        DeviceError
            If the device has too little memory.
        """
        shape = level.image.shape
        model = self._made.get(shape)
        if model is None:
            model = self._made[shape] = make_model(level, options.engine, options.arrays)
        else:  # the OTFs are there, room for the other arrays has to be
            require_memory(options.engine, model.grid, options.arrays - 1, f"An image of {shape}")
        return model


_turn = threading.RLock()
_kept: WeakKeyDictionary[object, Models] = WeakKeyDictionary()


@contextmanager
def one_tile(work: object = None) -> Iterator[Models]:
    """Wait until no other tile is worked on in this process.

    A tile takes all cores or the whole device, and the memory that was planned for one: Dask's
    threads read and compute one at a time.

    Parameters
    ----------
    work : object, optional
        What the tile belongs to.

    Yields
    ------
    Models
        Those of the tile before, if it was of the same work and did not fail. Others are forgotten;
        these are with their work.
    """
    with _turn:
        models = Models() if work is None else _kept.pop(work, Models())
        _kept.clear()
        yield models
        _kept.clear()  # of a tile that was computed to be read
        if work is not None:
            _kept[work] = models


def forget_models() -> None:
    """Let go of what was kept for the next tile, unless one is at work: then it does that."""
    if _turn.acquire(blocking=False):
        _kept.clear()
        _turn.release()
