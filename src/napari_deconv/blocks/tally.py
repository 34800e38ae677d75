"""What is counted in one tile while the image is read for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.grid import Tile
from napari_deconv.solvers.weights import weighted_sum

__all__ = ["Counts", "Tally", "count_margins", "count_tile"]


@dataclass(frozen=True)
class Counts:
    """Voxels that count, and their extremes; those of parts are added up.

    Attributes
    ----------
    voxels : int
        How many there are.
    bad, negative : int
        How many are NaN or infinite, and below 0.
    least, largest : float
        Extremes of what is finite.
    darkest : float
        Least value of a background that is given as an array.
    bad_level : int
        Its voxels that are no light.
    """

    voxels: int
    bad: int
    negative: int
    least: float
    largest: float
    darkest: float
    bad_level: int

    @classmethod
    def total(cls, parts: Sequence[Counts]) -> Counts:
        """Add up what was counted in parts."""
        return cls(
            voxels=sum(part.voxels for part in parts),
            bad=sum(part.bad for part in parts),
            negative=sum(part.negative for part in parts),
            least=min(part.least for part in parts),
            largest=max(part.largest for part in parts),
            darkest=min(part.darkest for part in parts),
            bad_level=sum(part.bad_level for part in parts),
        )


@dataclass(frozen=True)
class Tally:
    """What is counted in one tile.

    Attributes
    ----------
    counts : Counts
        Of its voxels.
    seen : float
        How many voxels the next two are sums of.
    light, level : float
        Sums of the image, and of a background that is given as an array.
    sample : ndarray of float32
        Of a background that is to be found; else empty.
    content : bytes
        A number of all voxels.
    """

    counts: Counts
    seen: float
    light: float
    level: float
    sample: npt.NDArray[np.float32]
    content: bytes


def count_tile(
    image: npt.NDArray[Any],
    background: Any,
    mask: npt.NDArray[np.bool_] | None,
    tile: Tile,
    sampling: Sampling,
    least: float,
) -> Tally:
    """Count what is in a tile.

    Parameters
    ----------
    image : ndarray
        What `sampling` reads for the tile, 0 where masked.
    background : float, ndarray of the image's shape, or None
        None where it is found from the image.
    mask : ndarray of bool or None
        Of the image's shape: which voxels count.
    tile : Tile
        The tile.
    sampling : Sampling
        Of the volume.
    least : float
        What a voxel counts as where it is less: 0, or the camera's offset; −∞ where light may be
        negative.
    """
    inside = tile.inside(sampling.region(tile))
    content = _content(image, background, mask, inside=inside)
    counted = image[inside] if mask is None else image[inside][mask[inside]]
    bad, lowest, largest = _extremes(counted)
    negative = int(np.count_nonzero(counted < 0)) if lowest < 0 else 0
    light = 0.0 if bad else _light(counted, least)
    level, darkest, bad_level = 0.0, np.inf, 0
    if isinstance(background, np.ndarray):
        given = background[inside]
        bad_level, darkest, _ = _extremes(given)
        bad_level += int(np.count_nonzero(given < 0))
        given = given if mask is None else given[mask[inside]]
        level = _light(given, least)
    elif background is not None:
        level, darkest = max(background, least) * counted.size, background
    sample: npt.NDArray[np.float32] = np.empty(0, np.float32)
    if background is None and not bad:
        image = np.maximum(image, 0) if least >= 0 and image.dtype.kind in "if" else image
        sample = sampling.take(image, mask, tile)
    counts = Counts(counted.size, bad, negative, lowest, largest, darkest, bad_level)
    return Tally(counts, counted.size, light, level, sample, content)


def count_margins(
    tally: Tally,
    image: npt.NDArray[Any],
    background: Any,
    inside: tuple[slice, ...],
    counts: Sequence[npt.NDArray[np.float64]],
) -> Tally:
    """Add up the light in a tile as often as a filter sees it, which mirrors it in its margins.

    Parameters
    ----------
    tally : Tally
        What was counted in the tile.
    image, background, inside
        What was read for it, and where the tile is in that.
    counts : sequence of ndarray
        How often each voxel of the tile is seen, along each axis.
    """
    seen = prod(float(line.sum()) for line in counts)
    level = 0.0
    if isinstance(background, np.ndarray):
        level = weighted_sum(background[inside], counts)
    elif background is not None:
        level = background * seen
    return replace(tally, seen=seen, light=weighted_sum(image[inside], counts), level=level)


def _light(values: npt.NDArray[Any], least: float) -> float:
    """Add up values, as `least` where they are less."""
    dark = values[values < least]
    missing = dark.size * least - float(dark.sum(dtype=np.float64)) if dark.size else 0.0
    return float(values.sum(dtype=np.float64)) + missing


def _content(*arrays: Any, inside: tuple[slice, ...]) -> bytes:
    """Make a number of what lies in a tile: a quick one, to tell an image that was changed."""
    number = 0
    for array in arrays:
        if np.ndim(array):
            number = crc32(f"{array.dtype} {array[inside].shape}".encode(), number)
            for plane in array[inside]:
                number = crc32(np.ascontiguousarray(plane).data, number)
    return number.to_bytes(4, "little")


def _extremes(values: npt.NDArray[Any]) -> tuple[int, float, float]:
    """Count what is NaN or infinite; if nothing is, find the least and the largest value."""
    if not values.size:
        return 0, np.inf, -np.inf
    least, largest = float(values.min()), float(values.max())
    if np.isfinite((least, largest)).all():
        return 0, least, largest
    return values.size - int(np.count_nonzero(np.isfinite(values))), np.inf, -np.inf
