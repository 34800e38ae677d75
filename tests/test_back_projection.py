"""Steps through an unmatched back projector, against float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.signal import fftconvolve

from napari_deconv import get_engine
from napari_deconv.forward import Convolution, Observation, centred_at_origin, fast_shape
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.back_projection import (
    unmatched_richardson_lucy,
    wiener_butterworth_kernel,
)
from napari_deconv.solvers.likelihood import Poisson
from napari_deconv.solvers.position import DataMonitor, Position, load_position, save_position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy

WIDTHS = (4.0, 3.0, 2.5)


def gaussian(shape, widths=WIDTHS):
    """Gaussian PSF with these FWHM in voxels, centre n // 2, sum 1."""
    axes = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij")
    squares = sum((a / w) ** 2 for a, w in zip(axes, widths, strict=True))
    kernel = np.exp(-4 * np.log(2) * squares)
    return (kernel / kernel.sum()).astype(np.float32)


@dataclass
class Specimen:
    """A problem in a solver's units, its model, and the back projector for it."""

    model: Convolution
    observation: Observation
    back_projector: Convolution
    psf: np.ndarray

    def start(self):
        return Position(self.model.engine.full(self.model.grid, 0.05))


def specimen(engine):
    """Points and a plane, blurred, with photon noise, in units of 1024 photons."""
    rng = np.random.default_rng(0)
    shape = (12, 20, 21)
    truth = np.zeros(shape)
    truth[tuple(rng.integers(1, n - 1, 12) for n in shape)] = 5000
    truth[6, 4:12, 5:15] += 60
    psf = gaussian((7, 9, 9))
    image = rng.poisson(np.maximum(fftconvolve(truth, psf, "same"), 0) + 10)
    grid = fast_shape([n + m - 1 for n, m in zip(shape, psf.shape, strict=True)])
    kernel = centred_at_origin(psf, grid)
    one, background = engine.full((1, 1, 1), 1.0), engine.full((1, 1, 1), 10 / 1024)
    return Specimen(
        Convolution(engine, kernel, shape),
        Observation(engine.asarray(image / 1024), background, one, 1e-6),
        Convolution(engine, wiener_butterworth_kernel(kernel), shape),
        psf,
    )


def unmatched(problem, position, iterations):
    model, seen = problem.model, problem.observation
    return unmatched_richardson_lucy(
        model, seen, position, iterations, DataMonitor(model, seen),
        back_projector=problem.back_projector, regularization=Unregularized(), likelihood=Poisson(),
    )  # fmt: skip


def heavy_ball(problem, position, iterations):
    model, seen = problem.model, problem.observation
    return richardson_lucy(
        model, seen, position, iterations, DataMonitor(model, seen),
        acceleration=HeavyBall(model.engine), regularization=Unregularized(),
    )  # fmt: skip


def divergence(problem, estimate):
    """I-divergence of an estimate's light, float64."""
    engine, seen = problem.model.engine, problem.observation
    light = engine.full(problem.model.shape, 0.0)
    problem.model.apply(estimate, light)
    y, u = (engine.to_numpy(part).astype(float) for part in (seen.data, light))
    u += engine.to_numpy(seen.background)
    return np.sum(y * np.log(np.where(y > 0, y, 1) / u) - y + u)


# -- the filter ------------------------------------------------------------------------------------


def test_the_kernel_is_the_papers_filter():
    grid = (40, 36, 30)
    kernel = centred_at_origin(gaussian((39, 35, 29)), grid)
    H = np.fft.rfftn(kernel.astype(float))
    widths = [
        2 * np.interp(-0.5, -np.moveaxis(kernel, axis, 0)[:9, 0, 0] / kernel.max(), np.arange(9))
        for axis in range(3)
    ]
    np.testing.assert_allclose(widths, WIDTHS, rtol=0.05)
    limits = [round(n / width) for n, width in zip(grid, widths, strict=True)]
    beta = np.mean([np.abs(np.moveaxis(H, axis, 0)[k]).max() for axis, k in enumerate(limits)])
    assert beta == pytest.approx(np.exp(-(np.pi**2) / (4 * np.log(2))), rel=0.3)
    axes = [np.fft.fftfreq(n) for n in grid[:2]] + [np.fft.rfftfreq(grid[2])]
    k = np.meshgrid(*axes, indexing="ij")
    w = np.sqrt(sum((k * width) ** 2 for k, width in zip(k, widths, strict=True)))
    beta_wiener = beta / (beta**2 + 0.05)
    butterworth = 1 / np.sqrt(1 + ((beta_wiener / beta) ** 2 - 1) * w**20)
    B = np.fft.rfftn(wiener_butterworth_kernel(kernel).astype(float)).conj()
    expected = H.conj() / (np.abs(H) ** 2 + 0.05) * butterworth
    np.testing.assert_allclose(B, expected, atol=1e-4)


def test_a_plane_has_a_back_projector_too():
    kernel = wiener_butterworth_kernel(centred_at_origin(gaussian((1, 9, 9)), (1, 24, 28)))
    assert kernel.shape == (1, 24, 28)
    assert np.isfinite(kernel).all()
    assert kernel.sum() == pytest.approx(1 / 1.05, rel=1e-4)
    assert kernel[0, 0, 0] == kernel.max()


# -- the steps -------------------------------------------------------------------------------------


def test_a_step_is_the_references(engine):
    problem = specimen(engine)
    model, seen = problem.model, problem.observation
    grid, inside = model.grid, tuple(slice(n) for n in model.shape)
    H = np.fft.rfftn(centred_at_origin(problem.psf, grid).astype(float))
    B = np.fft.rfftn(
        wiener_butterworth_kernel(centred_at_origin(problem.psf, grid)).astype(float)
    ).conj()

    def through(spectrum, light):
        padded = np.zeros(grid)
        padded[inside] = light
        return np.fft.irfftn(np.fft.rfftn(padded) * spectrum, grid, (0, 1, 2))

    n = through(H.conj(), np.ones(model.shape))
    position = problem.start()
    x = np.where(n > 0.01, engine.to_numpy(position.estimate), 0)
    u = np.fft.irfftn(np.fft.rfftn(x) * H, grid, (0, 1, 2))[inside]
    y, b = (engine.to_numpy(part).astype(float) for part in (seen.data, seen.background))
    step = x * (1 + through(B, y / (u + b) - 1) / np.maximum(n, 0.01))
    expected = np.where(n > 0.01, 0.95 * np.maximum(step, 0) + 0.05 * x, 0)
    next(unmatched(problem, position, 1))
    found = engine.to_numpy(position.estimate)
    assert position.iteration == 1
    assert "steps" not in position.memory
    assert np.abs(found - expected).max() < 1e-4 * expected.max()


def test_the_first_steps_are_faster_and_the_last_no_worse():
    engine = get_engine("cpu")
    problem = specimen(engine)
    position, other = problem.start(), problem.start()
    steps = unmatched(problem, position, 30)
    fast = [divergence(problem, position.estimate) for _ in steps]
    slow = [divergence(problem, other.estimate) for _ in heavy_ball(problem, other, 30)]
    assert len(fast) == 30
    assert all(a < 0.97 * b for a, b in zip(fast[1:5], slow[1:5], strict=True))
    assert fast[-1] < 1.01 * slow[-1]


def test_a_step_that_makes_the_fit_worse_is_taken_back():
    """A back projector that only adds light: heavy ball does all of it."""
    engine = get_engine("cpu")
    problem = specimen(engine)
    wrong = np.zeros(problem.model.grid, np.float32)
    wrong[0, 0, 0] = -50
    uphill = Convolution(engine, wrong, problem.model.shape)
    position, alone = problem.start(), problem.start()
    for _ in unmatched(replace(problem, back_projector=uphill), position, 6):
        pass
    for _ in heavy_ball(problem, alone, 6):
        pass
    assert position.iteration == 6
    found, expected = (engine.to_numpy(p.estimate) for p in (position, alone))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * expected.max())


@pytest.mark.parametrize("first", [1, 3, 8])
def test_an_interrupted_run_goes_on(first):
    engine = get_engine("cpu")
    problem = specimen(engine)
    whole, part = problem.start(), problem.start()
    for _ in unmatched(problem, whole, 12):
        pass
    for _ in unmatched(problem, part, first):
        pass
    part = load_position(save_position(part, engine), engine)
    for _ in unmatched(problem, part, 12 - first):
        pass
    np.testing.assert_array_equal(part.estimate, whole.estimate)
    assert part.iteration == whole.iteration == 12
