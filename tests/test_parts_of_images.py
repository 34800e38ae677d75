"""Parts of an image that stand for all of it."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from napari_deconv.deconvolution.parts import by_light, parts_of


def test_three_parts_are_where_the_light_is():
    parts = list("abcde")
    # The brightest has all of the first three quarters.
    assert by_light(parts, np.array([0.0, 5, 80, 15, -3])) == ["c"]
    assert by_light(parts, np.array([10.0, 20, 30, 40, 50])) == ["e", "d", "c"]
    assert by_light(parts, np.zeros(5))


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((64, 256, 257), (64, 256, 256)),
        ((66, 310, 310), (64, 256, 256)),
        ((250, 1000, 1000), (64, 256, 256)),
        ((16, 3000, 3000), (16, 512, 512)),
        ((1, 2049, 2048), (1, 2048, 2048)),
        ((1, 100, 10**6), (1, 100, 41943)),
        ((1, 10**6, 100), (1, 41943, 100)),
        ((10**5, 20, 30), (6990, 20, 30)),
    ],
)
def test_parts_of_four_million_voxels_nearly_cover_a_volume(shape, sides):
    parts = parts_of(shape)
    assert prod(sides) > 0.98 * 2**22
    for part in parts:
        assert tuple(axis.stop - axis.start for axis in part) == sides
        assert all(0 <= axis.start < axis.stop <= n for axis, n in zip(part, shape, strict=True))
    for axis, n in enumerate(shape):
        seen = np.zeros(n, bool)
        for part in parts:
            seen[part[axis]] = True
        assert seen.sum() >= 0.8 * n
    assert len(parts) == len(set(map(str, parts)))


def test_of_a_huge_volume_64_are_all_over_it():
    parts = parts_of((2048, 16384, 16384))
    assert 60 <= len(parts) <= 64
    for axis, n in enumerate((2048, 16384, 16384)):
        middles = np.array([(part[axis].start + part[axis].stop) / 2 for part in parts]) / n
        assert np.histogram(middles, 4, (0, 1))[0].min() > 10


def test_a_small_one_is_one_part():
    assert parts_of((64, 256, 256)) == [(slice(0, 64), slice(0, 256), slice(0, 256))]
