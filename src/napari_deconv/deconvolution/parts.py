"""Parts of an image that stand for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, isqrt, prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.stats.qmc import Halton

__all__ = ["SHARES", "Box", "by_light", "parts_of"]

Box = tuple[slice, slice, slice]
Part = TypeVar("Part")

SHARES = (0.25, 0.5, 0.75)
"""Of the light, at which a part is: half of it is in parts brighter than the second one."""

# Voxels of a part, its planes, and how many parts there are at most.
_VOXELS = 2**22
_PLANES = 64
_PARTS = 64


def parts_of(shape: Sequence[int]) -> list[Box]:
    """Cut a volume (z, y, x) into parts of one shape, in all that is not smaller than one.

    They cover it, and overlap as they must; of more than 64, those are taken that a Halton sequence
    comes upon.
    """
    if prod(shape) <= _VOXELS:
        return [(slice(None),) * 3]
    nz, ny, nx = shape
    # Square, and where the image is smaller along an axis so much larger along the others.
    planes = min(nz, _PLANES)
    height = min(ny, isqrt(_VOXELS // planes))
    width = min(nx, _VOXELS // (planes * height))
    height = min(ny, _VOXELS // (planes * width))
    planes = min(nz, _VOXELS // (height * width))
    sides = (planes, height, width)
    starts = [
        np.linspace(0, n - side, ceil(n / side)).astype(int).tolist()
        for n, side in zip(shape, sides, strict=True)
    ]
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
