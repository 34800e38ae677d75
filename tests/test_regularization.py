"""Regularised divisors against finite differences of the functionals they belong to."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from scipy.signal import fftconvolve

from napari_deconv.forward import Convolution, Observation, centred_at_origin
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.position import DataMonitor, Position, load_position, save_position
from napari_deconv.solvers.regularization import (
    AdaptiveTotalVariation,
    TotalVariation,
    Unregularized,
    make_regularization,
    relative_steps,
)
from napari_deconv.solvers.richardson_lucy import richardson_lucy

SPACING = (3.0, 1.5, 1.0)
FLATNESS = 0.04
SHAPES = [(1, 8, 10), (5, 7, 9), (12, 40, 33)]


def slopes(x):
    return [(np.roll(x, -1, axis) - x) / step for axis, step in enumerate(SPACING)]


def total_variation(x, before):
    flat = FLATNESS * before
    return np.sqrt(sum(slope**2 for slope in slopes(x)) + flat**2 + 1e-12).sum()


def tikhonov(x, before):
    return sum((slope**2).sum() for slope in slopes(x))


def roughness(x, before):
    return sum(
        (slope**2 / ((x + np.roll(x, -1, axis)) / 2 + 1e-3)).sum()
        for axis, slope in enumerate(slopes(x))
    )


FUNCTIONALS = [total_variation, tikhonov, roughness]


@pytest.fixture(params=FUNCTIONALS, ids=lambda f: f.__name__)
def functional(request):
    return request.param


def penalized(engine, functional, estimate, correction, normalization, weight):
    """C′ and N′."""
    shape = np.shape(estimate)
    x, c, n = (engine.asarray(part) for part in (estimate, correction, normalization))
    out = engine.full(shape, np.nan)
    if functional is total_variation:
        engine.total_variation(x, SPACING, weight, FLATNESS, n, out)
    else:
        getattr(engine, functional.__name__)(x, SPACING, weight, c, n, out)
    return engine.to_numpy(c), engine.to_numpy(out)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_step_is_against_the_gradient(engine, functional, shape):
    """What the divisor gains over the correction is λ·∂R, by central differences."""
    rng = np.random.default_rng(5)
    x = rng.random(shape).astype(np.float32)
    x.flat[rng.integers(0, x.size, 8)] = 0
    correction, normalization = 0.5 + rng.random((2, *shape))
    weight = 4e-3
    c, n = penalized(engine, functional, x, correction, normalization, weight)
    found = (n - normalization) - (c - correction)
    if functional is total_variation:
        found /= normalization  # whose weight is λN
    h = 1e-6
    for place in rng.integers(0, x.size, 12):
        step = np.zeros(shape)
        step.flat[place] = h
        x64 = x.astype(float)
        slope = (functional(x64 + step, x64) - functional(x64 - step, x64)) / (2 * h)
        assert found.flat[place] == pytest.approx(weight * slope, rel=1e-3, abs=2e-6)


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_no_weight_turns_the_step_around(engine, functional, shape):
    rng = np.random.default_rng(6)
    x, correction, normalization = rng.random((3, *shape))
    normalization[0, :2] = 0.009
    c, n = penalized(engine, functional, x, correction, normalization, 50.0)
    seen = normalization > 0.01
    assert not n[~seen].any()
    assert np.all(n[seen] >= 0.0999 * normalization[seen])
    assert c[seen].min() >= 0


def test_one_number_is_a_normalization_too(engine, functional):
    x = np.random.default_rng(7).random((5, 7, 9))
    many = penalized(engine, functional, x, x, np.full(x.shape, 0.7), 0.01)
    one = penalized(engine, functional, x, x, np.full((1, 1, 1), 0.7), 0.01)
    np.testing.assert_allclose(one, many, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_mirror_image_is_as_rough(engine, axis):
    x = np.random.default_rng(8).random((5, 7, 9))
    x[2, 3, 4] = 20
    one = np.ones((1, 1, 1))
    straight, mirrored = (
        penalized(engine, roughness, image, np.ones(x.shape), one, 0.01)
        for image in (x, np.flip(x, axis))
    )
    for found, expected in zip(mirrored, straight, strict=True):
        np.testing.assert_allclose(np.flip(found, axis), expected, rtol=1e-5)


def test_curvature_bounds(engine):
    """κ, by which the divisor grows."""
    x = np.random.default_rng(9).random((5, 7, 9))
    one, inverse_squares = np.ones((1, 1, 1)), [1 / step**2 for step in SPACING]
    _, n = penalized(engine, tikhonov, x, x, one, 0.01)
    np.testing.assert_allclose(n, 1 + 0.01 * 8 * sum(inverse_squares) * x, rtol=1e-5)
    bound = sum(
        4 * weight * x / ((x + np.roll(x, shift, axis)) / 2 + 1e-3)
        for axis, weight in enumerate(inverse_squares)
        for shift in (-1, 1)
    )
    _, n = penalized(engine, roughness, x, x, one, 0.01)
    np.testing.assert_allclose(n, 1 + 0.01 * bound, rtol=1e-5)


# -- as the solver takes them --------------------------------------------------------------------


KINDS = ["tv", "tikhonov", "roughness"]


def observed(engine, data):
    one, zero = engine.full((1, 1, 1), 1.0), engine.full((1, 1, 1), 0.0)
    return Observation(engine.asarray(data), zero, one, 1e-6)


def factor(engine, kind, image, weight, spacing=(1, 1, 1)):
    """What a step multiplies the image with where the data are its own light."""
    regularization = make_regularization(kind, weight, spacing, engine, float(image.mean()))
    regularization.start(image.shape, observed(engine, image), {})
    one, c = engine.full(image.shape, 1.0), engine.full(image.shape, 1.0)
    n = regularization.divisor(engine.asarray(image), c, one)
    return engine.to_numpy(c) / engine.to_numpy(n)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bright_voxel_is_pulled_down_and_its_neighbours_up(engine, kind):
    image = np.full((1, 9, 9), 0.1)
    image[0, 4, 4] = 1
    factors = factor(engine, kind, image, 0.01)
    assert factors[0, 4, 4] < 0.98
    for neighbour in [(4, 3), (4, 5), (3, 4), (5, 4)]:
        assert factors[0][neighbour] > 1
    assert factors[0, 0, 0] == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_ratios_of_the_spacing_count(engine, kind):
    image = np.random.default_rng(8).random((6, 7, 8))
    in_um, in_nm, cubic = (
        factor(engine, kind, image, 0.01, spacing)
        for spacing in [(0.3, 0.1, 0.1), (300, 100, 100), (0.1, 0.1, 0.1)]
    )
    np.testing.assert_allclose(in_um, in_nm, rtol=1e-5)
    assert np.abs(in_um - cubic).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_thickness_of_a_plane_does_not_count(engine, kind):
    image = np.random.default_rng(9).random((1, 7, 8))
    thin, thick = (factor(engine, kind, image, 0.01, (z, 5, 5)) for z in (1, 80))
    np.testing.assert_allclose(thin, thick, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_brightness_of_the_image_does_not_count(engine, kind):
    image = 0.5 + np.random.default_rng(10).random((1, 7, 8))
    bright, dim = (factor(engine, kind, image * part, 0.01) for part in (1, 0.5))
    np.testing.assert_allclose(bright, dim, rtol=1e-3)


def test_relative_steps():
    assert relative_steps((0.3, 0.1, 0.2), (4, 4, 4)) == pytest.approx((3, 1, 2))
    assert relative_steps((1, 5, 10), (1, 4, 4)) == (np.inf, 1, 2)


def test_the_automatic_weight_is_the_least_squares_one(engine):
    rng = np.random.default_rng(11)
    x, correction, normalization = rng.random((3, 6, 7, 8))
    before = 0.01  # λ, of which ε is the tenfold
    length = np.sqrt(sum(s**2 for s in slopes(x)) + (10 * before * x) ** 2)
    d = sum(
        (u - np.roll(u, 1, axis)) / step
        for axis, (u, step) in enumerate(
            zip((slope / length for slope in slopes(x)), SPACING, strict=True)
        )
    )
    correction = normalization - 0.02 * d + 0.01 * correction
    weight = (d * (normalization - correction)).sum() / (d**2).sum()
    assert 0.01 < weight < 0.04
    adaptive = AdaptiveTotalVariation(engine, SPACING)
    adaptive.start(x.shape, observed(engine, x), {"weight": before})
    x, c, n = (engine.asarray(part) for part in (x, correction, normalization))
    adaptive.adapt(x, c, n)
    assert adaptive.memory()["weight"] == pytest.approx(weight, rel=1e-4)
    fixed = TotalVariation(engine, adaptive.memory()["weight"], SPACING)
    fixed.start(x.shape, observed(engine, engine.to_numpy(x)), {})
    np.testing.assert_array_equal(
        engine.to_numpy(adaptive.divisor(x, c, n)), engine.to_numpy(fixed.divisor(x, c, n))
    )
    engine.combine(n, 2.0, c, -1.0, c)  # the residual turned round
    adaptive.adapt(x, c, n)
    assert adaptive.memory() == {"weight": 0.0}


@pytest.fixture
def edge(engine):
    """Two noisy levels in a plane, and how to solve it."""
    rng = np.random.default_rng(4)
    truth = np.full((1, 48, 48), 20.0)
    truth[:, :, 24:] = 200
    x = np.arange(7) - 3
    psf = np.exp(-(x[:, None] ** 2 + x**2) / 3)[None].astype(np.float32)
    psf /= psf.sum()
    blurred = fftconvolve(np.pad(truth, ((0, 0), (3, 3), (3, 3)), "edge"), psf, "valid")
    image = rng.poisson(blurred) / 256
    model = Convolution(engine, centred_at_origin(psf, (1, 54, 54)), truth.shape)
    seen = observed(engine, image)

    def start():
        return Position(engine.full(model.grid, float(image.mean())))

    def solve(regularization, iterations=40, position=None):
        position = position or start()
        steps = richardson_lucy(
            model, seen, position, iterations, DataMonitor(model, seen),
            acceleration=HeavyBall(engine), regularization=regularization,
        )  # fmt: skip
        deque(steps, maxlen=0)
        return 256 * engine.to_numpy(position.estimate, truth.shape)

    return truth, start, solve


@pytest.mark.parametrize(
    ("kind", "weight"), [("tv", 0.02), ("tikhonov", 0.05), ("roughness", 0.05)]
)
def test_noise_is_lowered_and_levels_are_kept(engine, edge, kind, weight):
    truth, _, solve = edge
    plain = solve(Unregularized())
    smooth = solve(make_regularization(kind, weight, (1, 1, 1), engine, 0.4))
    for region in (np.s_[:, 6:-6, 6:18], np.s_[:, 6:-6, 30:-6]):
        assert smooth[region].std() < 0.5 * plain[region].std()
        assert smooth[region].mean() == pytest.approx(truth[region].mean(), rel=0.05)


@pytest.mark.parametrize(("kind", "weight"), [("tv", 0.05), ("tikhonov", 1.0), ("roughness", 1.0)])
def test_large_weights_do_not_make_steps_swing(edge, kind, weight, engine):
    """One more step changes next to nothing; one step late, the estimate would oscillate."""
    _, _, solve = edge
    now, after = (
        solve(make_regularization(kind, weight, (1, 1, 1), engine, 0.4), n) for n in (39, 40)
    )
    assert np.abs(after - now).max() < 0.02 * after.max()


def test_the_automatic_weight_follows_the_noise(edge, engine):
    truth, _, solve = edge
    smooth = solve(make_regularization("tv", None, (1, 1, 1), engine, 0.4))
    plain = solve(Unregularized())
    inside = np.s_[:, 6:-6, 6:-6]
    error, plain_error = (np.linalg.norm((x - truth)[inside]) for x in (smooth, plain))
    assert error < 0.5 * plain_error


def test_an_automatic_weight_goes_on_where_it_stood(edge, engine):
    _, start, solve = edge

    def automatic():
        return make_regularization("tv", None, (1, 1, 1), engine, 0.4)

    whole = solve(automatic(), 12)
    position = start()
    solve(automatic(), 7, position)
    position = load_position(save_position(position, engine), engine)
    np.testing.assert_array_equal(solve(automatic(), 5, position), whole)
