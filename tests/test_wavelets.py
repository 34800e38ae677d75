"""Undecimated Haar wavelets and bounded steps against plain float64 references, on both engines."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.engines import get_engine
from napari_deconv.solvers.fista import HaarShrinkage

SHAPES = [(1, 8, 10), (1, 7, 9), (6, 8, 10), (5, 7, 9), (12, 40, 33)]


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def assert_close(actual, expected, relative=2e-6):
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


def haar_matrix(n):
    """Orthonormal: n/2 sums of neighbours, then their n/2 differences."""
    matrix = np.zeros((n, n))
    for k in range(n // 2):
        matrix[k, 2 * k : 2 * k + 2] = np.array([1, 1]) / np.sqrt(2)
        matrix[n // 2 + k, 2 * k : 2 * k + 2] = np.array([1, -1]) / np.sqrt(2)
    return matrix


def along_axes(x, transpose=False):
    """One level of the decimated transform of all axes longer than 1, or its inverse."""
    for axis, n in enumerate(x.shape):
        if n > 1:
            matrix = haar_matrix(n).T if transpose else haar_matrix(n)
            x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


def decimated_shrinkage(x, threshold, levels):
    """Transform, soft threshold all but the coarsest averages, transform back."""
    bands = along_axes(x)
    half = tuple(slice(n if n == 1 else n // 2) for n in x.shape)
    averages = bands[half].copy()
    bands = np.sign(bands) * np.maximum(np.abs(bands) - threshold, 0)
    bands[half] = decimated_shrinkage(averages, threshold, levels - 1) if levels > 1 else averages
    return along_axes(bands, transpose=True)


def cycle_spun_shrinkage(x, threshold, levels):
    """Mean over all shifts (Coifman & Donoho 1995)."""
    shifts = list(product(*(range(1 if n == 1 else 2**levels) for n in x.shape)))
    back = [
        np.roll(decimated_shrinkage(np.roll(x, s, (0, 1, 2)), threshold, levels),
                [-k for k in s], (0, 1, 2))
        for s in shifts
    ]  # fmt: skip
    return np.mean(back, axis=0)


def shrunk(engine, image, threshold):
    out = engine.full(image.shape, np.nan)
    array = engine.asarray(image)
    HaarShrinkage(engine, image.shape).change(array, threshold, out)
    engine.combine(array, 1, out, 1, out)
    return engine.to_numpy(out)


@pytest.mark.parametrize("shape", [(1, 16, 24), (8, 16, 8), (16, 16, 40)], ids=str)
def test_shrinkage_is_the_mean_of_all_shifts_of_the_orthonormal_one(engine, rng, shape):
    image = rng.normal(size=shape)
    assert_close(shrunk(engine, image, 0.4), cycle_spun_shrinkage(image, 0.4, 3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shrinkage_by_nothing_changes_nothing(engine, rng, shape):
    image = rng.normal(size=shape)
    np.testing.assert_array_equal(shrunk(engine, image, 0.0), image.astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shrinkage_keeps_the_sum_and_what_is_flat(engine, rng, shape):
    image = rng.normal(size=shape)
    assert shrunk(engine, image, 0.7).sum(dtype=float) == pytest.approx(
        image.sum(), abs=1e-5 * np.abs(image).sum()
    )
    np.testing.assert_array_equal(shrunk(engine, np.full(shape, 3.0), 0.7), np.full(shape, 3.0))


def blocks(x, steps):
    """All blocks of a periodic array: (2, 2, 2, z, y, x)."""
    return np.array([
        [[np.roll(x, (-a * steps[0], -b * steps[1], -c * steps[2]), (0, 1, 2)) for c in (0, 1)]
         for b in (0, 1)]
        for a in (0, 1)
    ])  # fmt: skip


def walsh(x):
    """Sums and differences along the first three axes."""
    for axis in range(3):
        first, second = x.take(0, axis), x.take(1, axis)
        x = np.stack([first + second, first - second], axis)
    return x


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("steps", [(0, 1, 1), (1, 1, 1), (2, 2, 2), (0, 4, 4), (4, 4, 0)], ids=str)
@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_one_level_on_any_size(engine, rng, shape, steps, single):
    steps = tuple(s if s < n else 0 for s, n in zip(steps, shape, strict=True))
    image = rng.normal(size=shape)
    coarse = np.full((1, 1, 1), 0.3) if single else rng.normal(size=shape)
    out = engine.full(shape, np.nan)
    engine.haar_average(engine.asarray(image), steps, out)
    assert_close(engine.to_numpy(out), blocks(image, steps).mean((0, 1, 2)))
    engine.haar_change(engine.asarray(image), steps, 0.2, engine.asarray(coarse), out)
    bands = -np.clip(walsh(blocks(image, steps)) / 8, -0.2, 0.2)
    bands[0, 0, 0] = coarse
    parts = walsh(bands)
    back = [np.roll(parts[e], [k * s for k, s in zip(e, steps, strict=True)], (0, 1, 2))
            for e in product((0, 1), repeat=3)]  # fmt: skip
    assert_close(engine.to_numpy(out), np.mean(back, axis=0))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12)),
    st.floats(0, 2),
)
def test_shrinkage_never_moves_two_images_apart(seed, shape, threshold):
    """As for every proximal operator: |S(a) − S(b)|² ≤ (a − b)·(S(a) − S(b))."""
    engine = get_engine("cpu")
    a, b = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    between = shrunk(engine, a, threshold).astype(float) - shrunk(engine, b, threshold)
    assert np.sum(between**2) <= np.sum((a - b) * between) + 1e-5 * a.size


def test_noise_goes_and_an_edge_stays(engine, rng):
    truth = np.zeros((1, 40, 33))
    truth[:, 12:] = 1
    noisy = truth + 0.1 * rng.normal(size=truth.shape)
    image = shrunk(engine, noisy, 0.3)
    assert np.std(image - truth) < 0.5 * np.std(noisy - truth)
    assert image[:, 12:14].mean() - image[:, 10:12].mean() > 0.8


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lowest", [0.0, -np.inf])
def test_descend(engine, rng, shape, lowest):
    correction, guess, normalization = (
        rng.normal(size=shape),
        rng.normal(size=shape),
        rng.random(shape),
    )
    normalization.flat[:3] = 0
    array = engine.asarray(correction)
    engine.descend(array, engine.asarray(guess), 0.7, engine.asarray(normalization), lowest)
    expected = np.where(normalization > 0.01, np.maximum(guess + 0.7 * correction, lowest), 0)
    assert_close(engine.to_numpy(array), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_restrict(engine, rng, shape, single):
    uphill, estimate = rng.normal(size=shape), np.maximum(rng.normal(size=shape), 0)
    normalization = np.full((1, 1, 1), 0.5) if single else rng.random(shape)
    array = engine.asarray(uphill)
    engine.restrict(array, engine.asarray(estimate), engine.asarray(normalization))
    free = ((estimate > 0) | (uphill < 0)) & (normalization > 0.01)
    np.testing.assert_array_equal(engine.to_numpy(array), np.where(free, uphill, 0).astype("f4"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_laplacian(engine, rng, shape):
    image, spacing = rng.normal(size=shape), (2.5, 1.0, 1.2)
    out = engine.full(shape, np.nan)
    engine.laplacian(engine.asarray(image), spacing, out)
    expected = sum(
        (np.roll(image, 1, a) + np.roll(image, -1, a) - 2 * image) / spacing[a] ** 2
        for a in range(3)
    )
    assert_close(engine.to_numpy(out), expected)
