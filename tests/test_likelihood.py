"""What is projected back, against float64, and where the steps end."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
import scipy.optimize

from napari_deconv import get_engine
from napari_deconv.forward import Convolution, Observation, centred_at_origin
from napari_deconv.solvers.acceleration import Unaccelerated
from napari_deconv.solvers.likelihood import Anscombe, Damped, Poisson
from napari_deconv.solvers.position import DataMonitor, Position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

PHOTON = 0.02
LIKELIHOODS = [Poisson(), Damped(3, PHOTON), Anscombe(0.05, PHOTON)]


@pytest.fixture(params=LIKELIHOODS, ids=lambda likelihood: type(likelihood).__name__)
def likelihood(request):
    return request.param


@pytest.fixture(params=["one number", "array"])
def problem(request):
    """Light, data, background, mask: some light is 0, some data are 0."""
    rng = np.random.default_rng(2)
    light, data = rng.random((2, 5, 7, 9))
    light[0, :2], data[1, :3] = 0, 0
    if request.param == "one number":
        return light, data, np.full((1, 1, 1), 0.04), np.ones((1, 1, 1))
    mask = rng.random(data.shape) > 0.2
    return light, np.where(mask, data, 0), 0.1 * rng.random(data.shape), mask


def ratio(engine, likelihood, light, data, background, mask):
    seen = Observation(*(engine.asarray(part) for part in (data, background, mask)), 1e-3)
    array = engine.asarray(light)
    likelihood.ratio(engine, array, seen)
    return engine.to_numpy(array)


def expected_ratio(likelihood, light, data, background, mask):
    u = np.maximum(light + background, 1e-3)
    if isinstance(likelihood, Poisson):
        return mask * data / u
    if isinstance(likelihood, Anscombe):
        c = PHOTON * (3 / 8 + (0.05 / PHOTON) ** 2)
        return mask * np.sqrt((data + c) / (u + c))
    y, photons = data / PHOTON, u / PHOTON
    deviance = y * np.log(np.where(y > 0, y, 1) / photons) - y + photons
    d = np.minimum(2 / 3**2 * deviance, 1)
    return mask * (1 + d**9 * (10 - 9 * d) * (y - photons) / photons)


def test_ratios(engine, likelihood, problem):
    expected = expected_ratio(likelihood, *problem)
    found = ratio(engine, likelihood, *problem)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)
    assert not found[np.broadcast_to(problem[3], found.shape) == 0].any()


def test_a_right_model_is_left_alone(engine, likelihood):
    light = 0.1 + np.random.default_rng(3).random((5, 7, 9))
    found = ratio(
        engine, likelihood, light, light + 0.04, np.full((1, 1, 1), 0.04), np.ones((1, 1, 1))
    )
    np.testing.assert_allclose(found, 1, rtol=1e-5)


def test_damping_leaves_large_differences_alone_and_stops_small_ones(engine):
    light = np.full((1, 1, 3), 100 * PHOTON)
    data = PHOTON * np.array([[[110.0, 140.0, 60.0]]])  # 1, 4 and −4 standard deviations
    found = ratio(engine, Damped(3, PHOTON), light, data, np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    assert found[0, 0, 0] == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found[0, 0, 1:], [1.4, 0.6], rtol=1e-5)


def plane(seed=0):
    """A plane of 12 × 12 voxels, periodic, with camera noise; in photons."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((1, 12, 12))
    truth[0, 3:6, 4:9], truth[0, 9, 2] = 40, 300
    kernel = np.ones((1, 3, 3), np.float32) / 9
    engine = get_engine("cpu")
    model = Convolution(engine, centred_at_origin(kernel, (1, 12, 12)), (1, 12, 12))
    light = engine.full(truth.shape, 0.0)
    model.apply(engine.asarray(truth), light)
    data = rng.poisson(light + 5) + rng.normal(0, 3, light.shape)
    return model, np.maximum(data, 0).astype(np.float32)


def solve(model, data, likelihood, iterations, start=10.0):
    engine = model.engine
    one = engine.full((1, 1, 1), 1.0)
    seen = Observation(engine.asarray(data), engine.full((1, 1, 1), 5.0), one, 1e-6)
    position = Position(engine.full(model.grid, start))
    steps = richardson_lucy(
        model, seen, position, iterations, DataMonitor(model, seen),
        acceleration=Unaccelerated(engine), regularization=Unregularized(), likelihood=likelihood,
    )  # fmt: skip
    deque(steps, maxlen=0)
    return engine.to_numpy(position.estimate)


def test_anscombe_steps_end_where_the_stabilised_differences_are_least():
    model, data = plane()
    likelihood = Anscombe(3, 1)
    x = solve(model, data, likelihood, 4000).astype(float)
    c = 3 / 8 + 9

    def light(x):
        out = np.zeros(model.shape)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                out += np.roll(x, (dy, dx), (1, 2)) / 9
        return out

    def functional(x):
        difference = 2 * np.sqrt(data + c) - 2 * np.sqrt(light(x.reshape(model.grid)) + 5 + c)
        return 0.5 * (difference**2).sum()

    gradient = scipy.optimize.approx_fprime(x.ravel(), functional, 1e-4).reshape(x.shape)
    bright = x > 1
    assert bright.sum() > 20
    start = scipy.optimize.approx_fprime(np.full(x.size, 10.0), functional, 1e-4)
    scale = np.abs(start).max()
    assert np.abs(gradient[bright]).max() < 5e-3 * scale
    assert gradient[~bright].min() > -5e-3 * scale


def test_damping_does_not_amplify_noise():
    """Poisson steps fit the noise of an even image with differences far larger than it."""
    model, _ = plane()
    data = np.random.default_rng(5).poisson(60, (1, 12, 12)).astype(np.float32)
    plain, damped = (
        solve(model, data, likelihood, 300, 55.0) for likelihood in (Poisson(), Damped(3, 1))
    )
    assert plain.std() > 3 * np.sqrt(60)
    assert damped.std() < np.sqrt(60)
    assert damped.mean() == pytest.approx(55, rel=0.02)
