"""Parts of an image that stand for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, isqrt, prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats.qmc import Halton

__all__ = ["SHARES", "Box", "by_light", "part_shape", "parts_of"]

Box = tuple[slice, slice, slice]
Part = TypeVar("Part")

SHARES = (0.25, 0.5, 0.75)
"""Of the light, at which a part is: half of it is in parts brighter than the second one."""

# Voxels of a part, its planes, and how many parts there are at most.
_VOXELS = 2**22
_PLANES = 64
_PARTS = 64

# Of a part, along an axis: for so much there is no other.
_LEFT_OUT = 0.25


def part_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Give the shape of the parts of a volume (z, y, x): square, and its own where that is small.

    Where the volume is smaller along an axis, they are so much larger along the others.
    """
    nz, ny, nx = shape
    if prod(shape) <= _VOXELS:
        return nz, ny, nx
    planes = min(nz, _PLANES)
    height = min(ny, isqrt(_VOXELS // planes))
    width = min(nx, _VOXELS // (planes * height))
    height = min(ny, _VOXELS // (planes * width))
    return min(nz, _VOXELS // (height * width)), height, width


def parts_of(shape: Sequence[int]) -> list[Box]:
    """Cut a volume (z, y, x) into parts of one shape, see `part_shape`.

    They cover it, but for what is less than a quarter of one along an axis, and overlap as they
    must; of more than 64, those are taken that a Halton sequence comes upon.
    """
    sides = part_shape(shape)
    starts = [_starts(n, side) for n, side in zip(shape, sides, strict=True)]
    counts = [len(along) for along in starts]
    places = list(product(*map(range, counts)))
    if len(places) > _PARTS:
        points = Halton(3, scramble=False).random(_PARTS)
        places = list(dict.fromkeys(map(tuple, (points * counts).astype(int).tolist())))
    boxes = []
    for place in places:
        z, y, x = (
            slice(along[i], along[i] + n) for along, i, n in zip(starts, place, sides, strict=True)
        )
        boxes.append((z, y, x))
    return boxes


def _starts(n: int, side: int) -> list[int]:
    count = ceil(n / side - _LEFT_OUT)
    if count <= 1:
        return [(n - side) // 2]
    starts: list[int] = np.linspace(0, n - side, count).astype(int).tolist()
    return starts


def by_light(parts: Sequence[Part], light: npt.NDArray[np.float64]) -> list[Part]:
    """Choose three parts, by where the light is.

    Parameters
    ----------
    parts : sequence
        Of one volume.
    light : ndarray
        Light above the background in each.

    Returns
    -------
    list
        Those at which, from the brightest part down, a quarter, half and three quarters of all
        light have been passed; each once.
    """
    order = np.argsort(light, kind="stable")[::-1]
    passed = np.cumsum(np.maximum(light[order], 0))
    places = np.searchsorted(passed, [share * passed[-1] for share in SHARES])
    return [parts[order[place]] for place in dict.fromkeys(places.tolist())]
