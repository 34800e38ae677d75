"""Least-squares solvers against dense float64 matrices and SciPy's minimisers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import scipy.optimize

from napari_deconv import DeconvError, get_engine
from napari_deconv.forward import (
    Convolution,
    DepthVarying,
    Observation,
    centred_at_origin,
)
from napari_deconv.solvers.conjugate_gradients import ictm
from napari_deconv.solvers.fista import fista, nnls
from napari_deconv.solvers.landweber import landweber, step_size
from napari_deconv.solvers.normalization import make_normalization
from napari_deconv.solvers.position import DataMonitor, Position, load_position, save_position
from test_wavelets import cycle_spun_shrinkage

BACKGROUND = 0.3
SPACING = (2.0, 1.0, 1.0)

SOLVERS = {
    "landweber": landweber,
    "nnls": nnls,
    "fista": partial(fista, weight=3e-3),
    "ictm": partial(ictm, weight=1e-3, spacing=SPACING, tolerance=0.0),
}


@dataclass
class Case:
    """A model and its data, and both as float64 matrices."""

    model: Convolution
    observation: Observation
    matrix: np.ndarray  # M·H, (image voxels, grid voxels)
    light: np.ndarray  # M·(y − b)
    seen: np.ndarray

    def run(self, solver, iterations, position=None):
        """Yield the estimate (float64, flat) after each step."""
        position = position or self.start()
        monitor = DataMonitor(self.model, self.observation)
        for _ in solver(self.model, self.observation, position, iterations, monitor):
            yield self.read(position)

    def start(self):
        return Position(self.model.engine.full(self.model.grid, 1.0))

    def read(self, position):
        return self.model.engine.to_numpy(position.estimate).ravel().astype(float)

    def misfit(self, x):
        return 0.5 * np.sum((self.light - self.matrix @ x) ** 2)


def make_case(engine, shape, grid, *, width=0.6, masked=False, scale=1.0):
    """Points under a Gaussian of `width` voxels, with noise; odd PSFs, any grid."""
    rng = np.random.default_rng(5)
    psf_shape = tuple(1 if n == 1 else 3 for n in grid)
    distances = np.meshgrid(*[np.arange(n) - n // 2 for n in psf_shape], indexing="ij")
    psf = np.exp(-sum(d**2 for d in distances) / (2 * width**2))
    kernel = centred_at_origin((psf / psf.sum()).astype(np.float32), grid)
    inside = tuple(slice(n) for n in shape)
    columns = [
        np.roll(kernel.astype(float), np.unravel_index(i, grid), (0, 1, 2))[inside].ravel()
        for i in range(np.prod(grid))
    ]
    matrix = np.stack(columns, axis=1)
    truth = np.zeros(grid)
    truth[tuple(rng.integers(0, n, 12) for n in grid)] = 1.5
    data = (matrix @ truth.ravel()).reshape(shape) + BACKGROUND
    data = np.maximum(data + 0.05 * rng.normal(size=shape), 0)
    mask = (rng.random(shape) > 0.15) * 1.0 if masked else np.ones((1, 1, 1))
    data *= scale * mask
    offset = scale * BACKGROUND
    observation = Observation(
        engine.asarray(data), engine.full((1, 1, 1), offset), engine.asarray(mask), 1e-6
    )
    weights = np.broadcast_to(mask, shape).ravel()
    matrix *= weights[:, None]
    light = weights * (data.astype(np.float32).ravel() - offset)
    model = Convolution(engine, kernel, shape)
    return Case(model, observation, matrix, light, matrix.sum(0) > 0.01)


# margins and a mask; a plane; a periodic grid of odd sizes
GRIDS = [
    ((4, 6, 5), (6, 8, 8), True),
    ((1, 9, 11), (1, 12, 14), False),
    ((3, 7, 5), (3, 7, 5), False),
]


RUNS = [("cpu", *GRIDS[0]), ("cpu", *GRIDS[1]), ("cpu", *GRIDS[2]), ("opencl", *GRIDS[0])]


@pytest.fixture(params=RUNS, ids=lambda run: f"{run[0]}: {run[1]} on {run[2]}")
def case(request):
    name, shape, grid, masked = request.param
    return make_case(get_engine(name), shape, grid, masked=masked)


@pytest.fixture(params=SOLVERS)
def solver(request):
    return SOLVERS[request.param]


def last(estimates):
    *_, estimate = estimates
    return estimate


def assert_close(x, expected, relative):
    assert np.abs(x - expected).max() < relative * np.abs(expected).max()


# -- Landweber -------------------------------------------------------------------------------------


def test_a_point_for_a_psf_gives_the_data_back_in_one_step(engine):
    shape = (3, 7, 5)
    kernel = np.zeros(shape, np.float32)
    kernel[0, 0, 0] = 1
    model = Convolution(engine, kernel, shape)
    data = np.random.default_rng(1).random(shape)
    one = engine.full((1, 1, 1), 1.0)
    seen = Observation(engine.asarray(data), engine.full((1, 1, 1), 0.4), one, 1e-6)
    position = Position(engine.full(shape, 3.0))
    list(landweber(model, seen, position, 1, DataMonitor(model, seen)))
    assert position.step == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(engine.to_numpy(position.estimate), data - 0.4, atol=2e-6)


def test_twenty_landweber_steps_are_the_references(case):
    gamma = 1 / (case.matrix.sum(1).max() * case.matrix.sum(0).max())
    x = np.where(case.seen, 1.0, 0)
    for _ in range(20):
        x = np.where(case.seen, x + gamma * case.matrix.T @ (case.light - case.matrix @ x), 0)
    assert_close(last(case.run(landweber, 20)), x, 1e-5)


def test_landweber_solves_what_can_be_solved(engine):
    case = make_case(engine, (3, 7, 5), (3, 7, 5), width=0.4)
    assert_close(last(case.run(landweber, 300)), np.linalg.solve(case.matrix, case.light), 1e-4)


def test_the_step_is_below_the_bound_but_not_by_far(case):
    normalization = make_normalization(case.model, case.observation)
    gamma = step_size(case.model, normalization)
    assert 0.6 < gamma * np.linalg.norm(case.matrix, 2) ** 2 <= 1 + 1e-5


def test_light_is_kept_from_the_first_step_on(engine):
    case = make_case(engine, (3, 7, 5), (3, 7, 5))
    for x in case.run(landweber, 3):
        assert x.sum() == pytest.approx(case.light.sum(), rel=1e-5)


# -- NNLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_nnls_finds_the_minimum(grid):
    shape, full, masked = grid
    case = make_case(get_engine("cpu"), shape, full, masked=masked)
    expected = np.zeros(len(case.seen))
    expected[case.seen], _ = scipy.optimize.nnls(case.matrix[:, case.seen], case.light)
    x = last(case.run(nnls, 3000))
    assert x.min() >= 0
    assert case.misfit(x) == pytest.approx(case.misfit(expected), rel=1e-5)


def test_nnls_goes_down_and_faster_than_without_momentum(case):
    misfits = [case.misfit(x) for x in case.run(nnls, 100)]
    assert np.diff(misfits).max() < 1e-5 * misfits[-1]
    gamma = 1 / (case.matrix.sum(1).max() * case.matrix.sum(0).max())
    x = np.where(case.seen, 1.0, 0)
    for _ in range(100):
        down = x + gamma * case.matrix.T @ (case.light - case.matrix @ x)
        x = np.where(case.seen, np.maximum(down, 0), 0)
    assert misfits[40] < case.misfit(x)


@pytest.mark.parametrize("solve", [nnls, partial(fista, weight=0.02)])
def test_momentum_of_fista_starts_anew_when_it_leads_uphill(solve):
    """From an estimate of 1 and a point far on the other side of the minimum.

    That of NNLS does not: tiles would do so at another step than the whole image.
    """
    case = make_case(get_engine("cpu"), *GRIDS[2][:2])
    steps = []
    for thrown in (case.start().estimate, case.model.engine.full(case.model.grid, -9.0)):
        position = case.start()
        position.memory = {"guess": thrown, "momentum": 50.0}
        last(case.run(solve, 1, position))
        steps.append(position.step)
    on = pytest.approx(49 / 50.5, rel=1e-3)
    assert steps == [on, on if solve is nnls else 0.0]


# -- FISTA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(1, 16, 24), (8, 8, 16)], ids=str)
def test_fista_is_the_reference_and_ends_where_plain_steps_do(engine, grid):
    case, weight = make_case(engine, grid, grid), 0.02
    gamma, gradient = 1.0, lambda x: case.matrix.T @ (case.light - case.matrix @ x)
    threshold = gamma * weight * np.abs(case.matrix.T @ case.light).max()

    def step(x):
        down = (x + gamma * gradient(x)).reshape(grid)
        return np.maximum(cycle_spun_shrinkage(down, threshold, 3), 0).ravel()

    x, p, t = np.ones(np.prod(grid)), np.ones(np.prod(grid)), 1.0
    for _ in range(4):
        new, later = step(p), 0.5 + np.sqrt(0.25 + t**2)
        p, x, t = new + (t - 1) / later * (new - x), new, later
    estimates = list(case.run(partial(fista, weight=weight), 60))
    assert_close(estimates[3], x, 1e-5)
    assert_close(step(estimates[-1]), estimates[-1], 2e-3)


def test_fista_has_less_noise_than_nnls_and_fits_less(case):
    smooth, rough = (
        last(case.run(s, 60)).reshape(case.model.grid) for s in (partial(fista, weight=0.02), nnls)
    )
    assert smooth.min() >= 0
    assert sum(np.abs(np.diff(smooth, axis=a)).sum() for a in range(3)) < 0.9 * sum(
        np.abs(np.diff(rough, axis=a)).sum() for a in range(3)
    )
    assert case.misfit(smooth.ravel()) > case.misfit(rough.ravel())


# -- ICTM ------------------------------------------------------------------------------------------


def tikhonov_miller(case, weight):
    """Φ and its gradient, float64."""
    grid = case.model.grid
    identity = np.eye(np.prod(grid)).reshape(-1, *grid)
    laplacian = sum(
        (np.roll(identity, 1, a + 1) + np.roll(identity, -1, a + 1) - 2 * identity) / step**2
        for a, step in enumerate(SPACING)
    ).reshape(len(identity), -1)
    square = weight * laplacian @ laplacian
    return (
        lambda x: case.misfit(x) + 0.5 * x @ square @ x,
        lambda x: case.matrix.T @ (case.matrix @ x - case.light) + square @ x,
    )


@pytest.mark.parametrize("weight", [1e-4, 1e-2])
def test_ictm_goes_down_to_the_minimum_and_stops_there(case, weight):
    value, gradient = tikhonov_miller(case, weight)
    bounds = [(0, None) if seen else (0, 0) for seen in case.seen]
    found = scipy.optimize.minimize(
        value, np.ones(len(bounds)), jac=gradient, bounds=bounds, method="L-BFGS-B",
        options={"maxiter": 10000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    solve = partial(ictm, weight=weight, spacing=SPACING)
    estimates = list(case.run(solve, 200))
    values = np.array([value(x) for x in estimates])
    assert np.all(np.diff(values) < 1e-6 * values[-1])
    assert values[-1] == pytest.approx(found.fun, rel=2e-5)
    assert_close(estimates[-1], found.x, 1e-2)
    assert len(estimates) < 100


def test_ictm_at_its_minimum_has_little_to_do(engine):
    case = make_case(engine, *GRIDS[1][:2])
    solve = partial(ictm, weight=1e-2, spacing=SPACING)
    position = case.start()
    estimate = last(case.run(solve, 200, position))
    more = list(case.run(solve, 200, position))
    assert len(more) <= 3
    assert_close(more[-1], estimate, 1e-3)


def test_ictm_of_nothing_is_nothing(engine):
    case = make_case(engine, *GRIDS[2][:2])
    dark = engine.full(case.model.shape, 0.0)
    zero, one = engine.full((1, 1, 1), 0.0), engine.full((1, 1, 1), 1.0)
    case.observation = Observation(dark, zero, one, 1e-6)
    estimates = list(case.run(partial(ictm, weight=1e-2, spacing=SPACING), 50))
    assert len(estimates) < 50
    assert np.abs(estimates[-1]).max() < 1e-3


def test_only_ratios_of_voxel_sizes_count():
    case = make_case(get_engine("cpu"), *GRIDS[0][:2])
    thin, same, cube = (
        last(case.run(partial(ictm, weight=1e-2, spacing=s), 10))
        for s in [(0.2, 0.1, 0.1), (20, 10, 10), (1, 1, 1)]
    )
    np.testing.assert_allclose(thin, same, atol=1e-5)
    assert np.abs(thin - cube).max() > 1e-2


# -- all -------------------------------------------------------------------------------------------


def test_what_is_hardly_seen_stays_dark(case, solver):
    for x in case.run(solver, 3):
        assert not x[~case.seen].any()


def test_masked_values_do_not_matter(engine, solver):
    case = make_case(engine, *GRIDS[0][:2], masked=True)
    expected = last(case.run(solver, 10))
    seen = case.observation
    spoiled = engine.to_numpy(seen.data) + 100 * (engine.to_numpy(seen.mask) == 0)
    case.observation = Observation(engine.asarray(spoiled), seen.background, seen.mask, seen.floor)
    np.testing.assert_allclose(last(case.run(solver, 10)), expected, atol=1e-6)


def test_a_background_image_is_part_of_the_model(engine, solver):
    case = make_case(engine, *GRIDS[1][:2])
    expected = last(case.run(solver, 10))
    seen = case.observation
    slope = np.linspace(0, 1, 11) * np.ones(case.model.shape)
    case.observation = Observation(
        engine.asarray(engine.to_numpy(seen.data) + slope),
        engine.asarray(slope + BACKGROUND), seen.mask, seen.floor,
    )  # fmt: skip
    np.testing.assert_allclose(last(case.run(solver, 10)), expected, atol=2e-5)


def test_brighter_data_give_a_brighter_estimate(solver):
    dim, bright = (make_case(get_engine("cpu"), *GRIDS[0][:2], scale=scale) for scale in (1.0, 1.7))
    first, second = dim.start(), bright.start()
    bright.model.engine.combine(second.estimate, 1.7, second.estimate, 0, second.estimate)
    x, brighter = last(dim.run(solver, 20, first)), last(bright.run(solver, 20, second))
    assert_close(brighter, 1.7 * x, 2e-4)


@pytest.mark.parametrize("parts", [(30, 30), (4, 5)], ids=str)
def test_parts_are_the_whole(solver, parts):
    """Through what is kept of a run on the host."""
    engine = get_engine("cpu" if parts[0] == 30 else "opencl")
    case = make_case(engine, *GRIDS[0][:2], masked=True)
    whole = last(case.run(solver, sum(parts)))
    position = case.start()
    last(case.run(solver, parts[0], position))
    position = load_position(save_position(position, engine), engine)
    np.testing.assert_array_equal(last(case.run(solver, parts[1], position)), whole)
    assert position.iteration == sum(parts)


def test_every_fifth_step_is_measured(solver):
    case = make_case(get_engine("cpu"), *GRIDS[0][:2])
    position = case.start()
    estimates = case.run(solver, 6, position)
    first = next(estimates)
    light = case.matrix @ np.where(case.seen, 1.0, 0)
    assert position.flux == pytest.approx(light.sum(), rel=1e-5)
    assert position.change == pytest.approx(np.abs(first - case.seen).max(), rel=1e-4)
    divergence = position.divergence
    for _ in range(4):
        next(estimates)
    assert position.divergence == divergence
    next(estimates)
    assert position.divergence < divergence


def test_an_image_that_sees_nothing_is_refused(engine, solver):
    kernel = np.full((1, 16, 16), 1 / 256, np.float32)
    model = Convolution(engine, kernel, (1, 1, 2))
    one = engine.full((1, 1, 1), 1.0)
    seen = Observation(engine.full((1, 1, 2), 1.0), one, one, 1e-6)
    position = Position(engine.full((1, 16, 16), 1.0))
    with pytest.raises(DeconvError, match="1 % of its light"):
        next(solver(model, seen, position, 1, DataMonitor(model, seen)))


def test_a_depth_varying_model_is_solved_as_well(solver):
    """All that a solver knows of a model is apply and adjoint."""
    engine, grid = get_engine("cpu"), (6, 8, 8)
    depths = [make_case(engine, grid, grid, width=w) for w in (0.5, 0.9)]
    kernels = [d.matrix[0].reshape(grid).astype(np.float32) for d in depths]
    weights = np.linspace(0, 1, grid[0])
    model = DepthVarying(engine, kernels, np.array([1 - weights, weights], np.float32), grid)
    case = depths[0]
    identity, light = np.eye(np.prod(grid)), engine.full(grid, 0.0)
    case.model, case.matrix = model, np.zeros((np.prod(grid), np.prod(grid)))
    for i, point in enumerate(identity):
        model.apply(engine.asarray(point.reshape(grid)), light)
        case.matrix[:, i] = engine.to_numpy(light).ravel()
    flat = np.ones(np.prod(grid))
    assert case.misfit(last(case.run(solver, 30))) < 0.05 * case.misfit(flat)
    gamma = step_size(model, make_normalization(model, case.observation))
    assert 0.6 < gamma * np.linalg.norm(case.matrix, 2) ** 2 <= 1 + 1e-5
