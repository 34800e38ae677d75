"""Blind deconvolution: nearer the truth than it began, and what a PSF is kept to."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.ndimage
from scipy import fft
from scipy.signal import fftconvolve

from napari_deconv import DeconvError, get_engine
from napari_deconv.solvers.acceleration import HeavyBall
from napari_deconv.solvers.blind import OBJECT_STEPS, PsfConstraints, _psf_turn, blind
from napari_deconv.solvers.position import load_position, save_position
from napari_deconv.solvers.regularization import Unregularized
from napari_deconv.solvers.richardson_lucy import richardson_lucy
from solver_cases import case, convolution, gaussian, nrmse, photons

BACKGROUND = 20.0
SHAPE = (16, 40, 40)
BOX = (11, 19, 19)


def bell(scale, box=BOX):
    return gaussian(box, tuple(scale * sigma for sigma in (1.5, 1.8, 1.8)))


def beads(rng):
    truth = np.zeros(SHAPE)
    for _ in range(15):
        truth[tuple(rng.integers(3, n - 3) for n in SHAPE)] = rng.uniform(0.3, 1)
    return truth


def filaments(rng):
    truth = np.zeros(SHAPE)
    for _ in range(10):
        place, way = np.array([rng.uniform(4, n - 4) for n in SHAPE]), rng.normal(size=3)
        for _ in range(60):
            truth[tuple(np.clip(np.rint(place).astype(int), 0, np.array(SHAPE) - 1))] += 1
            way += 0.2 * rng.normal(size=3)
            place = place + 0.7 * way / np.linalg.norm(way)
    return truth


def shells(rng):
    truth, voxels = np.zeros(SHAPE), np.indices(SHAPE)
    for centre, radius in (((7, 14, 14), 9), ((9, 27, 26), 8), ((8, 12, 30), 5)):
        squares = ((v - c) ** 2 for v, c in zip(voxels, centre, strict=True))
        distance = np.sqrt(sum(s * w for s, w in zip(squares, (2.25, 1, 1), strict=True)))
        truth += np.abs(distance - radius) < 1.2
    return truth


def record(engine, make, start, light=3000):
    """A bright photon image through the true PSF, the model of another one, and the truth."""
    truth = scipy.ndimage.gaussian_filter(make(np.random.default_rng(5)), 0.7)
    truth *= light / truth.max()
    image = photons(truth, bell(1.0), BACKGROUND)
    return case(convolution(engine, start, SHAPE), image, BACKGROUND), truth


def object_solver(engine):
    return partial(richardson_lucy, acceleration=HeavyBall(engine), regularization=Unregularized())


def run_blind(problem, start, iterations, position=None, symmetric=True):
    engine, position = problem.model.engine, position or problem.start()
    for _ in problem.run(
        blind, position, iterations, psf=start, symmetric=symmetric,
        object_solver=object_solver(engine),
    ):  # fmt: skip
        pass
    return position, engine.to_numpy(position.memory["psf"])


@pytest.mark.parametrize("make", [beads, filaments, shells])
def test_from_a_psf_a_fifth_too_wide_it_ends_nearer_the_truth(make):
    engine, start = get_engine("cpu"), bell(1.2)
    problem, truth = record(engine, make, start)
    plain = problem.start()
    for _ in problem.run(object_solver(engine), plain, 50):
        pass
    position, psf = run_blind(problem, start, 50)
    before = nrmse(problem.read(plain.estimate), truth), nrmse(start, bell(1.0))
    after = nrmse(problem.read(position.estimate), truth), nrmse(psf, bell(1.0))
    assert after[0] < 0.97 * before[0]
    assert after[1] < 0.8 * before[1]


@pytest.mark.parametrize("make", [beads, filaments, shells])
def test_from_a_psf_a_fifth_too_narrow_it_does_no_harm(make):
    engine, start = get_engine("cpu"), bell(1 / 1.2)
    problem, truth = record(engine, make, start)
    plain = problem.start()
    for _ in problem.run(object_solver(engine), plain, 50):
        pass
    position, psf = run_blind(problem, start, 50)
    before = nrmse(problem.read(plain.estimate), truth), nrmse(start, bell(1.0))
    after = nrmse(problem.read(position.estimate), truth), nrmse(psf, bell(1.0))
    assert after[0] < 1.1 * before[0]


def test_a_turn_of_the_psf_is_the_papers(engine):
    """One turn against float64 on the same grid, with a mask, before the constraints."""
    rng = np.random.default_rng(2)
    shape, box = (5, 12, 10), (3, 5, 5)
    start = bell(1.2, box)
    model = convolution(engine, start, shape)
    image, mask = rng.poisson(50, shape).astype(np.float32), rng.random(shape) > 0.1
    problem = case(model, image, 3.0, mask)
    x = rng.random(model.grid).astype(np.float32)
    position = problem.start()
    position.estimate = engine.asarray(x)
    turned = _psf_turn(model, problem.observation, position, start)
    h = start.astype(float) * x.sum()
    x = x / x.sum(dtype=float)
    spectrum = fft.rfftn(x)
    seen = tuple(slice(n) for n in shape)
    places = np.ix_(*[(np.arange(n) - n // 2) % g for n, g in zip(box, model.grid, strict=True)])

    def correlated(light):
        return fft.irfftn(fft.rfftn(light, model.grid) * spectrum.conj(), model.grid)[places]

    for _ in range(5):
        kernel = np.zeros(model.grid)
        kernel[places] = h
        light = fft.irfftn(fft.rfftn(kernel) * spectrum, model.grid)[seen] + 3 / problem.scale
        ratio = mask * image / problem.scale / light
        h = h * correlated(ratio) / correlated(mask.astype(float))
    assert np.abs(turned - h).max() < 1e-4 * h.max()


def test_the_psf_is_the_same_on_every_engine(engine):
    """It has the sum 1, is not negative, and stays in its box."""
    start = bell(1.2)
    problem, _ = record(engine, beads, start)
    _, psf = run_blind(problem, start, OBJECT_STEPS)
    assert psf.shape == BOX
    assert psf.min() >= 0
    assert psf.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    if engine.device.engine == "opencl":
        expected = run_blind(record(get_engine("cpu"), beads, start)[0], start, OBJECT_STEPS)[1]
        assert np.abs(psf - expected).max() < 1e-3 * expected.max()


def test_thirty_steps_are_ten_and_twenty_more():
    engine, start = get_engine("cpu"), bell(1.2)
    whole, psf = run_blind(record(engine, beads, start)[0], start, 30)
    problem = record(engine, beads, start)[0]
    part, _ = run_blind(problem, start, 10)
    part, _ = run_blind(problem, start, 17, load_position(save_position(part, engine), engine))
    problem = record(engine, beads, start)[0]
    part, again = run_blind(problem, start, 3, load_position(save_position(part, engine), engine))
    assert part.iteration == 30
    np.testing.assert_array_equal(again, psf)
    np.testing.assert_array_equal(part.estimate, whole.estimate)


def test_a_psf_larger_than_a_circular_image_is_refused():
    engine, image = get_engine("cpu"), np.ones((4, 12, 12))
    problem = case(convolution(engine, bell(1), image.shape, "circular"), image, 0)
    with pytest.raises(DeconvError, match=r"\(11, 19, 19\).*crop"):
        run_blind(problem, bell(1), 5)


def test_constraints_leave_a_psf_that_keeps_to_them():
    psf = gaussian((9, 21, 21), (1.2, 2, 2))
    kept = PsfConstraints(psf, symmetric=True).apply(psf)
    assert nrmse(kept, psf) < 0.02


def test_constraints_bring_the_centre_back():
    start = gaussian((9, 21, 21), (1.2, 2, 2))
    moved = scipy.ndimage.shift(start, (0.4, 0.7, -1.3), order=3)
    kept = PsfConstraints(start, symmetric=False).apply(np.maximum(moved, 0))
    core = np.maximum(kept - 0.2 * kept.max(), 0)
    np.testing.assert_allclose(scipy.ndimage.center_of_mass(core), (4, 10, 10), atol=0.1)


def test_constraints_make_rings():
    rng = np.random.default_rng(0)
    start = gaussian((5, 21, 21), (1, 2, 2))
    noisy = (start * rng.uniform(0.5, 1.5, start.shape)).astype(np.float32)
    kept = PsfConstraints(start, symmetric=True).apply(noisy)
    for turned in (kept[:, ::-1], kept[:, :, ::-1], kept.swapaxes(1, 2)):
        np.testing.assert_allclose(kept, turned, atol=1e-7)
    assert nrmse(kept, start) < 0.5 * nrmse(noisy / noisy.sum(), start)


def test_constraints_leave_out_frequencies_no_lens_of_this_width_passes():
    start = gaussian((1, 31, 31), (1, 3, 3))
    noisy = start * np.random.default_rng(0).uniform(0.5, 1.5, start.shape).astype(np.float32)
    kept = PsfConstraints(start, symmetric=False).apply(noisy)
    before, after = (np.abs(fft.fft2(psf[0] / psf.sum(), (62, 62))) for psf in (noisy, kept))
    # the start's OTF falls below 1 % at 0.161 cycles a pixel
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(62), np.fft.fftfreq(62)))
    beyond = frequency > 1.25 * 0.161 + 0.03
    assert np.square(after[beyond]).sum() < 0.2 * np.square(before[beyond]).sum()


def test_a_plane_has_a_psf_as_well():
    engine, start = get_engine("cpu"), bell(1.2, (1, 19, 19))
    true = bell(1.0, (1, 19, 19))
    truth = shells(np.random.default_rng(0))[8:9] * 2000
    image = np.random.default_rng(1).poisson(
        np.maximum(fftconvolve(truth, true, "same"), 0) + BACKGROUND
    )
    problem = case(convolution(engine, start, image.shape), image.astype(np.float32), BACKGROUND)
    _, psf = run_blind(problem, start, 50)
    assert nrmse(psf, true) < 0.8 * nrmse(start, true)
