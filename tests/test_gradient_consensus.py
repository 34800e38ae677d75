"""Gradient consensus: its steps against float64, where it ends, and what it does to noise."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from scipy import fft

from napari_deconv import get_engine
from napari_deconv.solvers.acceleration import Unaccelerated
from napari_deconv.solvers.gradient_consensus import gradient_consensus
from napari_deconv.solvers.position import load_position, save_position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy
from solver_cases import blobs, case, convolution, gaussian, nrmse, photons

BACKGROUND = 4.0
PSF = gaussian((9, 15, 15), (1.5, 2, 2))


def recorded(engine, shape, light, mask=None):
    """A photon image with `light` photons in the specimen's brightest voxel."""
    image = photons(blobs(shape) * light, PSF, BACKGROUND)
    return case(convolution(engine, PSF, shape), image, BACKGROUND, mask)


def steps(problem, position, iterations, seed=1):
    photon = 1 / problem.scale
    return problem.run(gradient_consensus, position, iterations, photon=photon, seed=seed)


def plain_steps(problem, position, iterations):
    acceleration = Unaccelerated(problem.model.engine)
    return problem.run(
        richardson_lucy, position, iterations, acceleration=acceleration,
        regularization=Unregularized(),
    )  # fmt: skip


def test_the_two_operations(engine):
    rng = np.random.default_rng(4)
    first, second, x, n = rng.random((4, 5, 7, 9)).astype(np.float32)
    n[n < 0.2] = 0.005
    agreement = (rng.random(x.shape) - 0.5).astype(np.float32)
    arrays = [engine.asarray(a) for a in (first, second, x, n, agreement)]
    out = engine.full(x.shape, np.nan)
    engine.agreement(arrays[0], arrays[1], arrays[3], out)
    f, s, w = (a.astype(float) for a in (first, second, n))
    expected = np.where(w > 0.01, (f - w) * (s - w) / w, 0)
    np.testing.assert_allclose(engine.to_numpy(out), expected, atol=2e-6 * abs(expected).max())
    engine.update_where_agreed(*arrays)
    expected = np.where(w > 0.01, np.where(agreement < 0, x, x * (f + s) / (2 * w)), 0)
    np.testing.assert_allclose(engine.to_numpy(arrays[0]), expected, rtol=2e-6)


def test_the_cameras_offset_is_in_both_halves(engine):
    """100 grey values without light, 2 a photon; some voxels below the offset."""
    counts = np.random.default_rng(1).poisson(3, (5, 20, 20))
    data = 100.0 + 2 * counts - 3 * (counts == 0)
    halves = [engine.full(data.shape, 0) for _ in range(2)]
    engine.split_photons(engine.asarray(data), 2.0, 100.0, 3, *halves)
    first, second = (engine.to_numpy(half) for half in halves)
    np.testing.assert_array_equal((first + second) / 2, data)
    assert np.all(first[counts == 0] == 97)
    assert np.all((first[counts > 0] - 100) % 4 == 0)
    assert first.max() <= 100 + 4 * counts.max()


@pytest.mark.parametrize("count", [0, 1, 9, 63, 64, 1000])
def test_halves_are_binomial(engine, count):
    """Mean n/2, variance n/4, no correlation between neighbours, seeds or engines' slabs."""
    shape, photon = (40, 41, 43), 0.03125
    data = engine.asarray(np.full(shape, count * photon))
    halves = [engine.full(shape, np.nan) for _ in range(4)]
    engine.split_photons(data, photon, 0.0, 5, *halves[:2])
    engine.split_photons(data, photon, 0.0, 6, *halves[2:])
    first, second, again, _ = (engine.to_numpy(half) / (2 * photon) for half in halves)
    np.testing.assert_array_equal(first + second, count)
    np.testing.assert_array_equal(first, np.rint(first))
    assert first.min() >= 0
    assert second.min() >= 0
    assert abs(first.mean() - count / 2) <= 4 * np.sqrt(count / 4 / first.size)
    assert abs(first.var() - count / 4) <= 4 * count / 4 * np.sqrt(2 / first.size)
    if count:
        z = (first - count / 2) / np.sqrt(count / 4)
        others = [(again - count / 2) / np.sqrt(count / 4)] + [np.roll(z, 1, a) for a in range(3)]
        for other in others:
            assert abs((z * other).mean()) < 4 / np.sqrt(z.size)


def test_few_photons_split_as_the_binomial_law_says(engine):
    shape, count = (40, 41, 43), 5
    data, halves = engine.full(shape, count), [engine.full(shape, 0) for _ in range(2)]
    engine.split_photons(data, 1.0, 0.0, 3, *halves)
    drawn = engine.to_numpy(halves[0]).ravel() / 2
    frequency = np.bincount(drawn.astype(int), minlength=count + 1) / drawn.size
    expected = np.array([1, 5, 10, 10, 5, 1]) / 32
    assert np.abs(frequency - expected).max() < 4 * np.sqrt(0.25 / drawn.size)


def test_what_is_no_whole_photon_goes_to_one_side(engine):
    data = np.random.default_rng(1).random((5, 20, 20)).astype(np.float32) * 200
    halves = [engine.full(data.shape, 0) for _ in range(2)]
    engine.split_photons(engine.asarray(data), 1.0, 0.0, 3, *halves)
    first, second = (engine.to_numpy(half).astype(float) / 2 for half in halves)
    np.testing.assert_allclose(first + second, data, rtol=1e-6)
    whole = [np.abs(half - np.rint(half)) < 1e-4 for half in (first, second)]
    assert np.all(whole[0] | whole[1])
    assert 0.4 < whole[0].mean() < 0.6


def test_steps_are_the_papers(engine):
    """Against the formulas in float64 on the same grid, with a mask."""
    shape = (6, 20, 18)
    mask = np.random.default_rng(8).random(shape) > 0.05
    problem = recorded(engine, shape, 60, mask)
    position, first = problem.start(), engine.to_numpy(problem.start().estimate)
    for _ in steps(problem, position, 4):
        pass
    estimate = engine.to_numpy(position.estimate)
    expected = reference(problem, mask, first, [split(problem, seed) for seed in range(1, 5)])
    assert np.abs(estimate - expected).max() < 1e-4 * expected.max()


def split(problem, seed):
    """The halves that the engine makes of the data."""
    engine, data = problem.model.engine, problem.observation.data
    halves = [engine.full(problem.image.shape, np.nan) for _ in range(2)]
    engine.split_photons(data, 1 / problem.scale, 0.0, seed, *halves)
    return [engine.to_numpy(half) / 2 for half in halves]


def reference(problem, mask, x, splits):
    grid, scale, y = problem.model.grid, problem.scale, problem.image
    centre = np.zeros(grid)
    centre[tuple(slice(n) for n in PSF.shape)] = PSF
    otf = fft.rfftn(np.roll(centre, [-(n // 2) for n in PSF.shape], (0, 1, 2)))
    seen = tuple(slice(n) for n in y.shape)

    def forward(x):
        return fft.irfftn(fft.rfftn(x) * otf, grid)[seen]

    def adjoint(r):
        return fft.irfftn(fft.rfftn(r, grid) * otf.conj(), grid)

    n = adjoint(mask.astype(float))
    x, divisor = np.where(n > 0.01, x, 0).astype(float), np.maximum(n, 0.01)
    for s1, s2 in splits:
        u = forward(x) + BACKGROUND / scale
        r1, r2 = (adjoint(mask * s / (0.5 * u)) / divisor for s in (s1, s2))
        product = np.where(n > 0.01, n * (r1 - 1) * (r2 - 1), 0)
        agreed = adjoint(forward(product)) >= 0
        x = np.where(n > 0.01, np.where(agreed, x * (r1 + r2) / 2, x), 0)
    return x


@pytest.fixture(scope="module", params=[300.0, 30.0], ids=["bright", "ten times dimmer"])
def curves(request):
    """NRMSE and noise in the dark after each iteration, plain and with consensus."""
    engine, shape = get_engine("cpu"), (16, 48, 48)
    problem, truth = recorded(engine, shape, request.param), blobs(shape) * request.param
    dark = scipy.ndimage.minimum_filter(truth < 1e-4 * truth.max(), 3)
    result = {}
    for name, run in (("plain", plain_steps), ("consensus", steps)):
        position = problem.start()
        images = (problem.read(p.estimate) for p in run(problem, position, 300))
        result[name] = np.array([(nrmse(image, truth), image[dark].std()) for image in images]).T
    return result


def test_it_stops_by_itself_near_the_best_of_plain_iterations(curves):
    (plain, _), (consensus, _) = curves["plain"], curves["consensus"]
    assert 10 < consensus.size < 300
    assert consensus[-1] < 1.2 * plain.min()


def test_the_dark_is_quieter_than_with_plain_iterations(curves):
    (_, plain), (_, consensus) = curves["plain"], curves["consensus"]
    last = consensus.size - 1
    assert consensus[last] < plain[last]


def test_thirty_steps_are_ten_and_twenty_more():
    engine = get_engine("cpu")
    problem = recorded(engine, (6, 20, 18), 3000)
    whole, part = problem.start(), problem.start()
    list(steps(problem, whole, 30))
    list(steps(problem, part, 10))
    part = load_position(save_position(part, engine), engine)
    list(steps(problem, part, 20))
    assert whole.iteration == part.iteration == 30
    np.testing.assert_array_equal(part.estimate, whole.estimate)


def test_the_seed_makes_the_split():
    problem = recorded(get_engine("cpu"), (6, 20, 18), 30)
    estimates = []
    for seed in (1, 1, 2):
        position = problem.start()
        list(steps(problem, position, 5, seed))
        estimates.append(position.estimate)
    np.testing.assert_array_equal(estimates[0], estimates[1])
    assert np.abs(estimates[0] - estimates[2]).max() > 0


def test_it_ends_on_noise_alone():
    image = np.random.default_rng(0).poisson(20, (8, 24, 24)).astype(np.float32)
    problem = case(convolution(get_engine("cpu"), PSF, image.shape), image, BACKGROUND)
    position = problem.start()
    assert len(list(steps(problem, position, 300))) < 100
