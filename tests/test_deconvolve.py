"""The front door: what it keeps, what it accepts, and what it says."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.signal import fftconvolve

from napari_deconv import Deconvolution, DeconvWarning, Psf, deconvolve
from napari_deconv.deconvolution import BOUNDARIES
from napari_deconv.sample_data import bars_confocal
from points_in_a_box import IMAGE, PSF, gaussian, specimen

# -- what it keeps ------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 11), (10, 11)], ids=str)
def test_a_point_psf_is_the_identity(shape, boundary):
    image = np.random.default_rng(1).poisson(100, shape)
    for psf_shape in [(3, 4, 5)[-len(shape) :], (9, 12, 13)[-len(shape) :]]:
        delta = np.zeros(psf_shape)
        delta[tuple(n // 2 for n in psf_shape)] = 7
        result = deconvolve(
            image, delta, background=0, iterations=3, boundary=boundary, engine="cpu"
        )
        np.testing.assert_allclose(result.image, image, rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9)], ids=str)
def test_a_point_psf_is_the_identity_on_a_device(shape):
    image = np.random.default_rng(1).poisson(100, shape)
    delta = np.zeros((3,) * len(shape))
    delta[(1,) * len(shape)] = 1
    result = deconvolve(image, delta, background=0, iterations=3, engine="opencl")
    np.testing.assert_allclose(result.image, image, rtol=1e-5)


def test_a_point_psf_through_the_direct_filters(engine):
    image = np.random.default_rng(1).poisson(100, (8, 9, 10))
    delta = np.zeros((3, 3, 3))
    delta[1, 1, 1] = 1
    options = {"background": 0, "boundary": "circular", "engine": engine}
    wiener = deconvolve(image, delta, method="wiener", regularization_weight=0.25, **options)
    expected = image.mean() + (image - image.mean()) / 1.25
    np.testing.assert_allclose(wiener.image, expected, rtol=1e-5)
    inverse = deconvolve(image, delta, method="inverse", regularization_weight=0.25, **options)
    np.testing.assert_allclose(inverse.image, image / 1.25, rtol=1e-5)


def test_direct_filters_are_their_formulas(engine):
    """Against numpy.fft in float64, no margins."""
    image, psf = IMAGE.astype(float), PSF / PSF.sum()
    kernel = np.zeros(image.shape)
    kernel[:5, :7, :7] = psf
    H = np.fft.fftn(np.roll(kernel, (-2, -3, -3), (0, 1, 2)))
    Y = np.fft.fftn(image - 10)
    K = np.full(H.shape, 0.03)
    K[0, 0, 0] = 0
    expected = {
        "wiener": np.fft.ifftn(Y * H.conj() / (np.abs(H) ** 2 + K)).real,
        "inverse": np.fft.ifftn(np.where(np.abs(H + 0.03) >= 0.015, Y / (H + 0.03), 0)).real,
    }
    for method, reference in expected.items():
        result = deconvolve(
            IMAGE, PSF, method=method, regularization_weight=0.03, background=10,
            boundary="circular", engine=engine,
        )  # fmt: skip
        assert np.abs(result.image - reference).max() < 2e-5 * np.abs(reference).max()
        assert (result.iterations, list(result.history["iteration"])) == (1, [])


@pytest.mark.parametrize("method", ["wiener", "inverse"])
def test_direct_filters_bring_an_image_closer_to_the_object(engine, method):
    truth = gaussian((11, 24, 24), 1.5) * 1000
    # wide enough that its OTF is positive: the inverse filter is a toy
    psf = gaussian((9, 11, 11))
    image = fftconvolve(np.pad(truth, 10), psf / psf.sum(), "same")[10:-10, 10:-10, 10:-10]
    result = deconvolve(image, psf, method=method, background=0, engine=engine).image
    assert np.linalg.norm(result - truth) < 0.4 * np.linalg.norm(image - truth)


@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "inverse"])
def test_the_sum_of_light_is_kept(engine, method):
    image = np.zeros((12, 20, 20))
    image[4:8, 7:13, 7:13] = np.random.default_rng(0).poisson(300, (4, 6, 6))
    # what direct filters put outside the image is lost unless it is periodic
    boundary = "padded" if method == "richardson_lucy" else "circular"
    result = deconvolve(
        image, PSF, method=method, background=0, iterations=20, boundary=boundary, engine=engine
    )
    loss = 1 / 1.01 if method == "inverse" else 1
    assert result.image.sum(dtype=float) == pytest.approx(image.sum() * loss, rel=1e-3)


@pytest.mark.parametrize("shape", [(9, 16, 15), (8, 15, 16), (17, 18)], ids=str)
@pytest.mark.parametrize("psf_shape", [(5, 7, 7), (4, 6, 6)], ids=str)
def test_a_point_stays_at_its_voxel(engine, shape, psf_shape):
    psf = gaussian(psf_shape[-len(shape) :])
    if psf.shape[-1] % 2 == 0:
        # symmetric around n // 2, so that what is left of the blur has no side
        for axis in range(psf.ndim):
            np.moveaxis(psf, axis, 0)[0] = 0
    truth = np.zeros(shape)
    voxel = tuple(n // 2 - 1 for n in shape)
    truth[voxel] = 5000
    widths = [(n - 1 - n // 2, n // 2) for n in psf.shape]
    image = fftconvolve(np.pad(truth, widths), psf / psf.sum(), "valid").clip(0)
    wiener = deconvolve(image, psf, method="wiener", background=0, engine=engine).image
    assert np.unravel_index(wiener.argmax(), shape) == voxel
    values = deconvolve(image, psf, background=0, iterations=15, engine=engine).image
    assert np.unravel_index(values.argmax(), shape) == voxel
    for axis, place in enumerate(voxel):
        weights = values.sum(axis=tuple(a for a in range(len(shape)) if a != axis))
        centroid = np.average(np.arange(shape[axis]), weights=weights)
        assert centroid == pytest.approx(place, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(-2, 2), st.integers(-3, 3), st.integers(-3, 3)))
def test_a_shifted_object_shifts_the_result(shift):
    big = np.zeros((13, 22, 22))
    big[5:8, 8:14, 8:14] = np.random.default_rng(3).poisson(200, (3, 6, 6))
    image = fftconvolve(big, PSF / PSF.sum(), "same").clip(0)
    moved = np.roll(image, shift, (0, 1, 2))
    options = {"background": 0, "iterations": 8, "boundary": "circular", "engine": "cpu"}
    result = deconvolve(image, PSF, **options).image
    expected = np.roll(result, shift, (0, 1, 2))
    difference = deconvolve(moved, PSF, **options).image - expected
    assert np.abs(difference).max() < 1e-4 * expected.max()


def test_a_shifted_object_shifts_the_result_in_the_padded_model(engine):
    big = np.zeros((17, 34, 34))
    big[7:10, 14:20, 14:20] = np.random.default_rng(3).poisson(200, (3, 6, 6))
    image = fftconvolve(big, PSF / PSF.sum(), "same").clip(0)
    options = {"background": 0, "iterations": 8, "engine": engine}
    result = deconvolve(image, PSF, **options).image
    moved = deconvolve(np.roll(image, (1, -2, 3), (0, 1, 2)), PSF, **options).image
    difference = moved - np.roll(result, (1, -2, 3), (0, 1, 2))
    assert np.abs(difference).max() < 1e-3 * result.max()


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-9, 1e9))
def test_the_unit_of_the_image_does_not_matter(scale):
    options = {"background": "auto", "iterations": 5, "engine": "cpu"}
    expected = deconvolve(IMAGE.astype(float), PSF, **options).image
    result = deconvolve(IMAGE * scale, PSF, **options).image / scale
    assert np.abs(result - expected).max() < 1e-4 * expected.max()


def test_light_from_outside_does_not_pile_up_at_the_border(engine):
    """A bright object just outside: the padded model puts its light there, the circular one not."""
    truth = np.full((1, 40, 40), 5.0)
    truth[0, 5:35, 3] = 3000
    psf = gaussian((1, 13, 13), 2.5)
    image = fftconvolve(truth, psf / psf.sum(), "same")[:, :, 5:]
    inside = truth[:, :, 5:]
    options = {"background": 0, "iterations": 30, "engine": engine}
    error = {
        boundary: np.abs(deconvolve(image, psf, boundary=boundary, **options).image - inside).mean()
        for boundary in ("padded", "half_padded", "circular", "reflect")
    }
    for padded in ("padded", "half_padded"):
        assert error[padded] < 0.3 * error["circular"]
        assert error[padded] < 0.3 * error["reflect"]


# -- what it accepts ---------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    image=hnp.arrays(
        dtype=st.sampled_from(["u1", "u2", "i2", "i4", "f2", "f4", "f8", "?"]),
        shape=st.one_of(
            st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(5, 8)),
            st.tuples(st.integers(1, 7), st.integers(1, 8)),
        ),
        elements={"min_value": 0, "max_value": 100},
    ),
    method=st.sampled_from(["richardson_lucy", "wiener", "inverse"]),
    boundary=st.sampled_from(BOUNDARIES),
    odd=st.booleans(),
)
def test_any_dtype_and_shape_gives_finite_float32_and_is_left_alone(image, method, boundary, odd):
    kept = image.copy()
    psf = gaussian((3, 5, 5) if odd else (2, 4, 6))
    psf = psf if image.ndim == 3 else psf[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)
        result = deconvolve(
            image, psf, method=method, boundary=boundary, iterations=6, engine="cpu"
        )
    assert result.image.dtype == np.float32
    assert result.image.shape == image.shape
    assert np.all(np.isfinite(result.image))
    if method == "richardson_lucy":
        assert result.image.min() >= 0
    np.testing.assert_array_equal(image, kept)


def test_axes_in_front_are_looped_over(engine):
    stack = np.stack([specimen((6, 9, 10), seed) for seed in range(6)]).reshape(2, 3, 6, 9, 10)
    seen = []
    result = deconvolve(stack, PSF, iterations=6, engine=engine, callback=seen.append)
    assert result.image.shape == stack.shape
    assert result.history["divergence"].shape == (2, 3, 2)
    assert result.background.shape == (2, 3)
    assert [(s.iteration, s.iterations) for s in seen] == [(i, 36) for i in range(1, 37)]
    one = deconvolve(stack[1, 2], PSF, iterations=6, engine=engine)
    np.testing.assert_array_equal(result.image[1, 2], one.image)
    assert one.background == result.background[1, 2]
    more = deconvolve(stack, PSF, iterations=4, initial=result, engine=engine)
    ten = deconvolve(stack[1, 2], PSF, iterations=10, engine=engine)
    np.testing.assert_array_equal(more.image[1, 2], ten.image)


def test_a_plane_psf_takes_a_stack_plane_by_plane(engine):
    stack = specimen((3, 12, 13))
    psf = gaussian((5, 5))
    result = deconvolve(stack, psf, iterations=5, engine=engine)
    plane = deconvolve(stack[1], psf, iterations=5, engine=engine)
    np.testing.assert_array_equal(result.image[1], plane.image)


def test_a_psf_larger_than_the_image(engine):
    image = specimen((4, 7, 8))
    wide = np.pad(gaussian((5, 7, 7)), 6)
    options = {"iterations": 10, "background": 5, "engine": engine}
    expected = deconvolve(image, gaussian((5, 7, 7)), **options).image
    result = deconvolve(image, wide, **options).image
    assert np.abs(result - expected).max() < 1e-3 * expected.max()


def test_a_psf_of_other_voxels_is_resampled_and_it_is_said():
    fine = Psf(gaussian((15, 21, 21), 3.0), (0.1, 0.05, 0.05))
    with pytest.warns(
        DeconvWarning, match=r"0\.1 × 0\.05 × 0\.05 µm.*0\.2 × 0\.1 × 0\.1 µm.*resampled"
    ):
        result = deconvolve(IMAGE, fine, spacing=(0.2, 0.1, 0.1), iterations=5, engine="cpu")
    assert isinstance(result.psf, Psf)
    assert result.psf.spacing == (0.2, 0.1, 0.1)
    # voxels twice as large blur a Gaussian of 1.5 of them a little more
    coarse = gaussian((7, 11, 11), np.sqrt(1.5**2 + (1 - 0.25) / 12))
    expected = deconvolve(IMAGE, coarse, iterations=5, engine="cpu").image
    assert np.abs(result.image - expected).max() < 0.02 * expected.max()


def test_rounded_voxel_sizes_are_the_same():
    psf = Psf(PSF, (0.2, 0.1, 0.1))
    result = deconvolve(IMAGE, psf, spacing=(0.2003, 0.0999, 0.1), iterations=2, engine="cpu")
    assert result.psf.shape == PSF.shape


def test_an_off_centre_psf_is_centred_and_it_is_said(engine):
    shifted = np.pad(PSF, ((0, 4), (2, 0), (0, 3)))
    options = {"iterations": 10, "engine": engine}
    expected = deconvolve(IMAGE, PSF, **options).image
    with pytest.warns(DeconvWarning, match=r"\(-2, 1, -2\) voxels off its centre"):
        centred = deconvolve(IMAGE, shifted, **options).image
    assert np.abs(centred - expected).max() < 1e-3 * expected.max()
    kept = deconvolve(IMAGE, shifted, centre_psf=False, **options).image
    # the PSF says that light arrives at (−2, +1, −2), so the object must have been elsewhere
    moved = np.roll(kept, (-2, 1, -2), (0, 1, 2))[3:-3, 4:-4, 4:-4]
    assert np.corrcoef(moved.ravel(), expected[3:-3, 4:-4, 4:-4].ravel())[0, 1] > 0.95
    assert np.corrcoef(kept.ravel(), expected.ravel())[0, 1] < 0.5


def test_negative_psf_values_are_clipped_and_it_is_said():
    spoiled = PSF.copy()
    spoiled[0, 0, 0] = -0.5
    clean = PSF.copy()
    clean[0, 0, 0] = 0
    with pytest.warns(DeconvWarning, match="negative values"):
        result = deconvolve(IMAGE, spoiled, iterations=3, engine="cpu").image
    expected = deconvolve(IMAGE, clean, iterations=3, engine="cpu").image
    np.testing.assert_array_equal(result, expected)


def test_negative_voxels_count_as_zero_and_it_is_said():
    image = IMAGE - 12.0
    with pytest.warns(DeconvWarning, match=r"\d+ of 2016 voxels are below 0"):
        result = deconvolve(image, PSF, background=0, iterations=5, engine="cpu").image
    expected = deconvolve(image.clip(0), PSF, background=0, iterations=5, engine="cpu").image
    np.testing.assert_array_equal(result, expected)
    deconvolve(image, PSF, method="wiener", background=0, engine="cpu")


@pytest.mark.parametrize("value", [0, 7])
@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "inverse"])
def test_a_constant_image_is_said_and_gives_no_structure(value, method):
    with pytest.warns(DeconvWarning, match="constant"):
        result = deconvolve(np.full((5, 6, 7), value), PSF, method=method, engine="cpu").image
    np.testing.assert_allclose(result, 0, atol=0.05)


def test_the_automatic_background_is_reported():
    result = deconvolve(specimen((12, 40, 40), background=100), PSF, iterations=2, engine="cpu")
    assert result.background == pytest.approx(97, abs=4)


def test_starting_from_an_estimate(engine):
    options = {"background": 10, "acceleration": None, "engine": engine}
    ten = deconvolve(IMAGE, PSF, iterations=10, **options)
    start = deconvolve(IMAGE, PSF, iterations=1, initial=ten.image, **options)
    eleven = deconvolve(IMAGE, PSF, iterations=11, **options)
    assert start.iterations == 1
    # only what lies outside the image starts flat again
    inner = np.s_[3:-3, 4:-4, 4:-4]
    assert np.abs(start.image - eleven.image)[inner].max() < 0.05 * eleven.image.max()
    other = deconvolve(
        IMAGE, PSF, iterations=5, initial=ten, background=10, acceleration="biggs", engine=engine
    )
    assert other.iterations == 5


def test_a_rule_that_has_not_ended_it_is_not_said_to_have():
    result = deconvolve(IMAGE, PSF, iterations=3, stop="quality", engine="cpu")
    assert (result.iterations, result.stop_reason) == (3, "3 iterations done, the most allowed")


def test_the_result_is_an_array_with_a_recipe():
    result = deconvolve(IMAGE, PSF, iterations=3, engine="cpu")
    assert isinstance(result, Deconvolution)
    np.testing.assert_array_equal(np.asarray(result), result.image)
    assert result.stop_reason == "3 iterations done"
    recipe = json.loads(json.dumps(result.recipe))
    assert recipe["operation"] == "deconvolve"
    assert recipe["engine"] == "cpu"
    options = recipe["parameters"]
    again = deconvolve(IMAGE, PSF, **options, engine=recipe["engine"])
    np.testing.assert_array_equal(again.image, result.image)


@pytest.mark.slow
def test_engines_end_at_the_same_iteration_with_the_same_image():
    """With what the widget is set to when it is first opened."""
    sample = bars_confocal()
    cpu, opencl = (
        deconvolve(
            sample.image, sample.psf, spacing=sample.spacing, iterations=40, stop="consensus",
            levels="auto", engine=engine,
        )
        for engine in ("cpu", "opencl")
    )  # fmt: skip
    assert cpu.iterations == opencl.iterations < 40
    assert np.abs(cpu.image - opencl.image).max() < 1e-3 * cpu.image.max()
