"""Richardson–Lucy against a float64 reference that works on padded arrays without an FFT grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from napari_deconv import DeconvError, deconvolve, iterate, sample_data
from napari_deconv.forward import centred_at_origin

# Few shapes, because each one costs an FFT plan: odd and even, 2-D and 3-D, PSF beyond the image.
CASES = [((21, 18), (5, 6)), ((7, 12, 9), (4, 5, 9)), ((6, 11, 10), (7, 4, 3))]


def reference(image, psf, background, iterations, acceleration=None, mask=None, stabilizer=None):
    """Float64; x covers every voxel whose light reaches the image.

    With a `stabilizer` c the ratio y/u is √((y + c)/(u + c)).
    """
    y, h = image.astype(float), psf / psf.sum()
    flipped = h[(slice(None, None, -1),) * h.ndim]
    m = np.ones(y.shape) if mask is None else mask.astype(float)
    y = np.where(m > 0, y, 0)

    def forward(x):
        return fftconvolve(x, h, "valid")

    def adjoint(r):
        return fftconvolve(r, flipped, "full")

    n = adjoint(m)
    x = np.full(n.shape, max((y - background)[m > 0].mean(), 1e-3))
    x = np.where(n > 0.01, x, 0)
    p, changes = x, []
    for k in range(1, iterations + 1):
        u = forward(p) + background
        ratio = m * (y / u if stabilizer is None else np.sqrt((y + stabilizer) / (u + stabilizer)))
        new = np.where(n > 0.01, p * adjoint(ratio) / np.maximum(n, 0.01), 0)
        changes.append(new - p)
        alpha, floor = 0.0, 0.0
        if acceleration == "heavy_ball":
            alpha, floor = (k - 1) / (k + 2), 0.5
        elif acceleration == "biggs" and k > 1:
            alpha = np.clip((changes[-1] * changes[-2]).sum() / (changes[-2] ** 2).sum(), 0, 1)
        p, x = np.maximum(new + alpha * (new - x), floor * new), new
    start = [size - 1 - size // 2 for size in h.shape]
    return x[tuple(slice(s, s + size) for s, size in zip(start, y.shape, strict=True))]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    rng = np.random.default_rng(11)
    shape, psf_shape = request.param
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in psf_shape], indexing="ij")
    psf = np.exp(-sum(g**2 for g in grids) / 3) + 0.02
    truth = np.zeros(shape)
    truth[tuple(rng.integers(1, n - 1, 6) for n in shape)] = 3000
    blurred = fftconvolve(truth, psf / psf.sum(), "same")
    return rng.poisson(np.maximum(blurred, 0) + 20).astype(np.uint16), psf


@pytest.mark.parametrize("acceleration", [None, "heavy_ball", "biggs"])
def test_twenty_iterations_are_the_references(engine, case, acceleration):
    image, psf = case
    result = deconvolve(
        image, psf, iterations=20, background=15, acceleration=acceleration, engine=engine,
        centre_psf=False,
    )  # fmt: skip
    expected = reference(image, psf, 15, 20, acceleration)
    assert result.image.dtype == np.float32
    assert result.image.shape == image.shape
    assert np.abs(result.image - expected).max() < 1e-3 * expected.max()


def test_one_plain_iteration_to_single_precision(engine, case):
    image, psf = case
    result = deconvolve(
        image, psf, iterations=1, background=15, acceleration=None, engine=engine, centre_psf=False
    )
    expected = reference(image, psf, 15, 1)
    assert np.abs(result.image - expected).max() < 1e-5 * expected.max()


def test_masked_voxels_do_not_count(engine, case):
    image, psf = case
    mask = np.random.default_rng(3).random(image.shape) > 0.1
    spoiled = np.where(mask, image, np.nan)
    result = deconvolve(
        spoiled, psf, iterations=10, background=15, mask=mask, engine=engine, centre_psf=False
    )
    expected = reference(image, psf, 15, 10, "heavy_ball", mask)
    assert np.abs(result.image - expected).max() < 1e-3 * expected.max()


def test_a_background_image_is_part_of_the_model(engine, case):
    image, psf = case
    slope = np.linspace(5, 19, image.shape[-1]) * np.ones(image.shape)
    options = {"iterations": 10, "engine": engine, "centre_psf": False}
    result = deconvolve(image, psf, background=slope, **options)
    expected = reference(image, psf, slope, 10, "heavy_ball")
    assert np.abs(result.image - expected).max() < 1e-3 * expected.max()


def test_steps_with_read_noise_are_the_references(engine):
    """Though the I-divergence rises on the way: the offset is wrong, and it is not minimised."""
    sample = sample_data.bars_confocal((16, 96, 96), engine="cpu")
    result = deconvolve(
        sample.image, sample.psf, iterations=25, background=1.8, offset=1.0, gain=1.0,
        read_noise=1.0, engine=engine,
    )  # fmt: skip
    light = np.maximum(sample.image - 1.0, 0)
    expected = reference(light, np.asarray(sample.psf), 0.8, 25, "heavy_ball", stabilizer=3 / 8 + 1)
    assert np.abs(result.image - expected).max() < 1e-3 * expected.max()
    assert np.diff(result.history["divergence"]).max() > 0


@pytest.mark.parametrize("acceleration", [None, "heavy_ball", "biggs"])
def test_thirty_and_thirty_more_are_sixty(case, acceleration):
    image, psf = case
    engine = "cpu"
    options = {"background": 15, "acceleration": acceleration, "engine": engine}
    options |= {"centre_psf": False}
    sixty = deconvolve(image, psf, iterations=60, **options)
    thirty = deconvolve(image, psf, iterations=30, **options)
    more = deconvolve(image, psf, iterations=30, initial=thirty, **options)
    np.testing.assert_array_equal(more.image, sixty.image)
    assert more.iterations == sixty.iterations == 60
    assert more.stop_reason == "60 iterations done"
    assert thirty.iterations == 30
    np.testing.assert_array_equal(
        np.append(thirty.history["divergence"], more.history["divergence"]),
        sixty.history["divergence"],
    )


def test_a_result_goes_on_on_another_engine(case):
    image, psf = case
    options = {"background": 15, "iterations": 10, "centre_psf": False}
    twenty = deconvolve(image, psf, **options | {"iterations": 20}, engine="cpu").image
    ten = deconvolve(image, psf, **options, engine="cpu")
    more = deconvolve(image, psf, **options, initial=ten, engine="opencl").image
    assert np.abs(more - twenty).max() < 1e-3 * twenty.max()


@pytest.mark.parametrize("acceleration", [None, "heavy_ball"])
def test_iterations_never_make_the_fit_worse(case, acceleration):
    image, psf = case
    result = deconvolve(
        image, psf, iterations=60, background=15, acceleration=acceleration, engine="cpu",
        centre_psf=False,
    )  # fmt: skip
    divergence = result.history["divergence"]
    np.testing.assert_array_equal(result.history["iteration"], np.arange(0, 60, 5))
    assert np.all(np.diff(divergence) < 1e-4 * divergence[0])
    assert divergence[-1] < 0.5 * divergence[0]


def test_the_divergence_is_in_the_images_units(engine):
    image = np.random.default_rng(6).poisson(700, (9, 8))
    result = deconvolve(image, np.ones((3, 3)), iterations=1, background=15, engine=engine)
    # before the first iteration the estimate is flat, so the model is the mean
    y, u = image.astype(float), image.mean()
    expected = np.sum(y * np.log(y / u) - y + u)
    np.testing.assert_allclose(result.history["divergence"], [expected], rtol=1e-4)
    np.testing.assert_array_equal(result.history["iteration"], [0])


def test_heavy_ball_saves_more_than_half_of_the_iterations(case):
    image, psf = case
    options = {"background": 15, "engine": "cpu", "centre_psf": False}
    fast = deconvolve(image, psf, iterations=41, **options)
    slow = deconvolve(image, psf, iterations=101, acceleration=None, **options)
    at_40 = fast.history["divergence"][-1]
    assert at_40 < slow.history["divergence"][-1]


def test_with_read_noise_the_fit_never_gets_worse():
    sample = sample_data.bars_confocal((16, 48, 48), engine="cpu")
    result = deconvolve(
        sample.image, sample.psf, iterations=60, background=1.8, offset=1.0, gain=1.0,
        read_noise=1.0, boundary="circular", engine="cpu", keep_every=5,
    )  # fmt: skip
    y, c = np.maximum(sample.image - 1.0, 0), 3 / 8 + 1
    psf = np.asarray(sample.psf, float)
    otf = np.fft.fftn(centred_at_origin(psf / psf.sum(), y.shape))
    misfit = []
    for estimate in result.intermediate.values():
        u = np.fft.ifftn(otf * np.fft.fftn(estimate)).real + 0.8
        misfit.append(2 * np.sum((np.sqrt(y + c) - np.sqrt(np.maximum(u, 0) + c)) ** 2))
    assert np.all(np.diff(misfit) < 0)


def test_iterate_gives_every_step_and_ends_where_deconvolve_does(engine, case):
    image, psf = case
    options = {"iterations": 7, "background": 15, "engine": engine, "centre_psf": False}
    states = []
    images = []
    for state in iterate(image, psf, **options):
        states.append(state)
        images.append(state.image)
    assert [state.iteration for state in states] == list(range(1, 8))
    assert {state.iterations for state in states} == {7}
    assert states[0].divergence > states[-1].divergence > 0
    np.testing.assert_array_equal(images[-1], deconvolve(image, psf, **options).image)
    three = deconvolve(image, psf, **options | {"iterations": 3}).image
    np.testing.assert_array_equal(images[2], three)


def test_iterate_takes_one_volume():
    with pytest.raises(DeconvError, match="one volume"):
        next(iterate(np.random.default_rng(0).random((2, 3, 8, 8)), np.ones((3, 3, 3))))


def test_an_exception_from_the_callback_ends_the_run(case):
    image, psf = case
    seen = []

    def stop_at_three(state):
        seen.append(state.iteration)
        if state.iteration == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deconvolve(image, psf, engine="cpu", centre_psf=False, callback=stop_at_three)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("acceleration", [None, "heavy_ball", "biggs"])
def test_a_run_goes_on_on_a_device_as_if_never_interrupted(acceleration):
    rng = np.random.default_rng(2)
    image, psf = rng.poisson(50, (7, 12, 9)), np.ones((3, 3, 3))
    options = {"background": 15, "acceleration": acceleration, "engine": "opencl"}
    whole = deconvolve(image, psf, iterations=9, **options)
    part = deconvolve(image, psf, iterations=4, **options)
    more = deconvolve(image, psf, iterations=5, initial=part, **options)
    np.testing.assert_array_equal(more.image, whole.image)
