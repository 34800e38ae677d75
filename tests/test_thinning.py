"""One image made into two by chance that goes by the place of a voxel."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deconv.solvers import thinning
from napari_deconv.solvers.thinning import split_photons


@settings(max_examples=50, deadline=None)
@given(
    image=arrays(np.float32, (3, 4, 5), elements=st.floats(0, 6e4, width=32)),
    fraction=st.floats(0.05, 0.95),
    gain=st.floats(0.1, 50),
    offset=st.floats(0, 500),
)
def test_split_images_add_up_to_the_image(image, fraction, gain, offset):
    first, second = split_photons(image, fraction, gain=gain, offset=offset)
    assert first.dtype == second.dtype == np.float32
    assert first.shape == second.shape == image.shape
    together = (1 - fraction) * first.astype(float) + fraction * second
    np.testing.assert_allclose(together, image, rtol=1e-6, atol=1e-3)
    bright = image >= offset
    least = offset - 1e-3
    assert np.all(first[bright] >= least)
    assert np.all(second[bright] >= least)
    np.testing.assert_array_equal(first[~bright], second[~bright])


@pytest.mark.parametrize(("photons", "fraction"), [(0.7, 0.5), (12.0, 0.05), (900.0, 0.05)])
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (2.5, 100.0)])
def test_split_photons_are_poisson_and_independent(photons, fraction, gain, offset):
    count = np.random.default_rng(0).poisson(photons, (4, 200, 200))
    parts = split_photons(gain * count + offset, fraction, gain=gain, offset=offset)
    for part, share in zip(parts, (1 - fraction, fraction), strict=True):
        drawn = (part.astype(float) - offset) / gain * share
        # 160 000 samples: the mean to 4 of its standard errors, the variance to 3 %.
        standard_error = np.sqrt(share * photons / count.size)
        assert drawn.mean() == pytest.approx(share * photons, abs=4 * standard_error)
        assert drawn.var() == pytest.approx(share * photons, rel=0.03)
    correlation = np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1]
    assert abs(correlation) < 4 / np.sqrt(count.size)


def test_parts_of_photons_are_kept():
    image = np.full((400, 400), 0.4)
    first, second = split_photons(image, 0.3)
    assert set(np.unique(first)) == {np.float32(0), np.float32(0.4 / 0.7)}
    assert second.mean() == pytest.approx(0.4, rel=0.02)


def test_same_seed_same_split():
    image = np.random.default_rng(0).poisson(20, (20, 20)).astype(np.float32)
    before = image.copy()
    first, _ = split_photons(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(first, split_photons(image)[0])
    assert np.any(first != split_photons(image, seed=1)[0])


@settings(max_examples=50, deadline=None)
@given(data=st.data(), space=st.tuples(*[st.integers(1, 9)] * 3), at_once=st.integers(1, 30))
def test_a_part_is_split_as_the_whole_is(data, space, at_once):
    rng = np.random.default_rng(0)
    image = rng.poisson(rng.choice([0.5, 8, 900], space)).astype(np.float32) + 0.3
    starts = data.draw(st.tuples(*[st.integers(0, n - 1) for n in space]))
    stops = data.draw(
        st.tuples(*[st.integers(a + 1, n) for a, n in zip(starts, space, strict=True)])
    )
    part = tuple(map(slice, starts, stops))
    options = {"gain": 1.7, "offset": 0.2}
    whole = split_photons(image, 0.4, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thinning, "_AT_ONCE", at_once)
        parts = split_photons(image[part], 0.4, **options, start=starts)
    for cut, each in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(cut, each[part])


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 7, 2**33), np.array([5, 2**31, 9])], ids=str)
def test_each_row_has_the_chances_of_its_place(start):
    z, y, x = (int(each) for each in start)
    first, _ = split_photons(np.ones((2, 3, 11)), 0.5, start=start, seed=4)
    for plane, row in np.ndindex(2, 3):
        counter = [x // 2, y + row, z + plane, 0]
        chances = np.random.Generator(np.random.Philox(key=4, counter=counter)).random((12, 2))
        begin = x % 2
        np.testing.assert_array_equal(first[plane, row] > 0, chances[begin : begin + 11, 0] <= 0.5)


def test_a_plane_is_split_as_a_volume_of_one():
    plane = np.random.default_rng(0).poisson(20, (30, 40))
    volumes = split_photons(plane[np.newaxis])
    for alone, volume in zip(split_photons(plane), volumes, strict=True):
        np.testing.assert_array_equal(alone, volume[0])


@pytest.mark.parametrize("shape", [(1500, 1000), (15, 400, 250), (3, 1, 500_000)], ids=str)
def test_it_takes_little_memory_besides_the_two_images(shape):
    image = np.random.default_rng(0).integers(0, 900, shape, np.uint16)
    split_photons(image[..., :10])  # makes the table
    tracemalloc.start()
    try:
        split_photons(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * image.size + 60e6


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("distance", [1, 2, 3, 4, 64])
def test_chance_in_one_voxel_says_nothing_about_another(axis, distance):
    """Nor in the same voxel with another seed: the parts of photons draw from one of their own."""
    drawn = split_photons(np.full((80, 80, 80), 50.0))[1]
    moved = np.roll(drawn, distance, axis)
    other = split_photons(np.full((80, 80, 80), 50.0), seed=1)[1]
    for each in (moved, other):
        assert abs(np.corrcoef(drawn.ravel(), each.ravel())[0, 1]) < 4 / np.sqrt(drawn.size)


@pytest.mark.parametrize("photons", [1, 3, 40, 199, 200, 201, 1000, 30_000])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.85])
def test_what_is_drawn_is_binomial(photons, fraction):
    """Kolmogorov's distance of 90 000 draws; the approximation for many differs by a photon."""
    drawn = split_photons(np.full((300, 300), float(photons)), fraction)[1] * fraction
    numbers = np.arange(photons + 1)
    found = np.searchsorted(np.sort(np.rint(drawn.ravel())), numbers, "right") / drawn.size
    expected = scipy.stats.binom.cdf(numbers, photons, fraction)
    assert np.abs(found - expected).max() < 1.95 / np.sqrt(drawn.size)  # 0.1 %


def test_the_darkest_and_the_brightest_voxels_are_split():
    """A generator may draw 0 and nearly 1; a camera's photons are many or none."""
    image = np.array([[0.0, 1e-30, 1.0, 201.0, 4e9, 3e38]])
    first, second = split_photons(image, 0.5)
    assert np.isfinite([first, second]).all()
    assert ((first >= 0) & (second >= 0)).all()
    np.testing.assert_allclose((first.astype(float) + second) / 2, image, rtol=1e-6)
