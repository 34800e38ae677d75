"""Kinds of image layers, each made of the same stack of beads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import zarr
from hand import SPACING, blob

SHAPE = (19, 36, 40)
NAME = "cells"


def _stack():
    image = np.full(SHAPE, 20.0)
    for y in (7, 28):
        for x in (7.3, 32):
            image += 180 * blob(SHAPE, (9.2, y, x))
    return np.random.default_rng(3).poisson(image).astype(np.uint16)


STACK = _stack()
SERIES = np.stack([STACK, STACK[:, ::-1], STACK[..., ::-1]])
BINARY = STACK > 60


@dataclass
class Kind:
    """A kind of layer.

    Attributes
    ----------
    data : callable
        Makes the data.
    taken : ndarray
        What of them the widgets have to work on.
    options : dict
        Of the layer.
    spacing : tuple of float
        Voxel size of what is taken, in µm.
    factors : tuple of float
        Voxels of the layer along one of those.
    resolution : str
        What is chosen, of a layer with several.
    typed : str
        The voxel size that the user has to type.
    unit : str
        What the user prefers for layers without one.
    """

    data: Callable[[], Any]
    taken: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)
    spacing: tuple[float, ...] = SPACING
    factors: tuple[float, ...] = (1, 1, 1)
    resolution: str = "full"
    typed: str = ""
    unit: str = "µm"

    @property
    def space(self):
        """Count the axes of space."""
        return len(self.spacing)

    @property
    def is_series(self):
        """Tell whether there are other axes."""
        return self.taken.ndim > self.space

    def add(self, viewer):
        """Add the layer."""
        units = (*["pixel"] * 5, *["µm"] * self.space)[-self.taken.ndim :]
        scale = (*[1] * 5, *SPACING[-self.space :])[-self.taken.ndim :]
        made = {"name": NAME, "scale": scale, "units": units, "rgb": False} | self.options
        return viewer.add_image(self.data(), **made)


def _of(array, **given):
    return Kind(lambda: array, array, **{"factors": (1,) * array.ndim} | given)


def _in_zarr():
    stored = zarr.create_array({}, shape=SHAPE, chunks=(5, 36, 40), dtype=STACK.dtype)
    stored[...] = STACK
    return stored


def _pyramid():
    return [STACK, STACK[:, ::2, ::2], STACK[:, ::4, ::4]]


def lazy(readers):
    """Make the stack of planes that are read one by one; `readers` collects the threads."""

    def read(block):
        readers.append(threading.current_thread())
        return block

    planes = da.from_array(STACK, chunks=(1, *SHAPE[1:]))
    return planes.map_blocks(read, dtype=STACK.dtype, meta=np.empty((0, 0, 0), STACK.dtype))


_turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
_affine = np.diag([1.0, 2.0, -1.0, 1.0]) + np.eye(4, k=3) * 7
_affine[1, 2] = 0.3
_second = {"units": ("second", "µm", "µm"), "scale": (2.5, *SPACING[1:])}
_coarse = (SPACING[0], 2 * SPACING[1], 2 * SPACING[2])

DATA = {
    "plane": _of(STACK[9], spacing=SPACING[1:]),
    "t, y, x": _of(STACK, spacing=SPACING[1:], options=_second),
    "c, z, y, x": _of(SERIES, options={"axis_labels": tuple("czyx")}),
    "t, c, z, y, x": _of(
        np.stack([SERIES[:2], SERIES[1:]]), options={"axis_labels": tuple("tczyx")}
    ),
    "pyramid, full": Kind(_pyramid, STACK, {"multiscale": True}),
    "pyramid, as shown": Kind(
        _pyramid, STACK[:, ::2, ::2], {"multiscale": True}, _coarse, (1, 2, 2), "shown"
    ),
    "Dask": Kind(lambda: da.from_array(STACK, chunks=(5, 18, 40)), STACK),
    "Zarr": Kind(_in_zarr, STACK),
}
TYPES = {
    name: _of(STACK.astype(name)) for name in ("uint8", "int16", "float16", "float32", "float64")
} | {"bool": _of(BINARY)}
PLACES = {
    "rotated": _of(STACK, options={"rotate": _turn, "translate": (1, 2, 3)}),
    "sheared": _of(STACK, options={"shear": (0.1, 0, 0.3)}),
    "affine": _of(STACK, options={"affine": _affine}),
    "mirrored": _of(STACK, options={"scale": (0.25, -0.1, 0.1)}),
    "nm": _of(STACK, options={"units": ("nm",) * 3, "scale": (250, 100, 100)}),
    "mm": _of(STACK, options={"units": ("mm",) * 3, "scale": (25e-5, 1e-4, 1e-4)}),
    "µm and nm": _of(STACK, options={"units": ("µm", "nm", "nm"), "scale": (0.25, 100, 100)}),
    "pixels": _of(
        STACK, options={"units": ("pixel",) * 3, "scale": (1, 1, 1)}, typed="0.25 × 0.1 × 0.1"
    ),
    "nm preferred": _of(
        STACK, options={"units": ("pixel",) * 3, "scale": (250, 100, 100)}, unit="nm"
    ),
    "hidden": _of(STACK, options={"visible": False}),
}
KINDS = DATA | TYPES | PLACES
