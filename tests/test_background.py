"""Backgrounds against naive references in double precision."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_deconv.background import (
    METHODS,
    estimate_background,
    rolling_ball_in,
    subtract_background,
)
from napari_deconv.errors import DeconvError

SHAPES = [(13, 18), (20, 11), (5, 12, 17), (8, 10, 9)]
SPACING = {2: (0.1, 0.2), 3: (0.3, 0.1, 0.2)}


def noise(shape, dtype=np.float32, seed=0):
    image = np.random.default_rng(seed).gamma(2.0, 20.0, shape)
    return image.astype(dtype)


def assert_close(result, expected):
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max(), rtol=0)


def naive_gaussian(image, sigma):
    """Blur with an explicit normalised kernel, truncated at 4 σ, on a mirrored image."""
    result = np.asarray(image, np.float64)
    for axis, width in enumerate(np.broadcast_to(sigma, image.ndim)):
        reach = int(4 * width + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        padding = [(reach, reach) if i == axis else (0, 0) for i in range(image.ndim)]
        padded = np.pad(result, padding, mode="symmetric")
        result = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), "valid")
    return result


def naive_rolling_ball(image, radii):
    """Lower the ball from above each voxel until it touches a voxel within the image."""
    background = np.empty(image.shape)
    reach = [range(-int(r), int(r) + 1) for r in radii]
    ball = {
        o: radii[-1] * np.sqrt(1 - d)
        for o in itertools.product(*reach)
        if (d := sum((a / r) ** 2 for a, r in zip(o, radii, strict=True) if a)) <= 1
    }
    for place in np.ndindex(image.shape):
        touched = [
            float(image[other]) + radii[-1] - height
            for offset, height in ball.items()
            if all(0 <= a + b < n for a, b, n in zip(place, offset, image.shape, strict=True))
            and (other := tuple(a + b for a, b in zip(place, offset, strict=True)))
        ]
        background[place] = min(touched)
    return background


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
def test_mean_is_the_published_recipe(shape, dtype):
    image = noise(shape, dtype)
    expected = image - 1.25 * image.mean()
    expected[expected <= 0] = 0.1
    result = subtract_background(image)
    assert_close(result, expected)
    assert result.min() == np.float32(0.1)


def test_mean_takes_factor_and_floor():
    image = np.array([[0.0, 2.0], [4.0, 10.0]])
    result = subtract_background(image, "mean", factor=1.0, floor=3.0)
    np.testing.assert_array_equal(result, [[3, 3], [3, 6]])
    assert estimate_background(image, "mean", factor=0.5) == 2.0


@pytest.mark.parametrize("shape", SHAPES)
def test_constant_keeps_negative_differences(shape):
    image = noise(shape, np.uint8)
    result = subtract_background(image, "constant", value=50)
    assert_close(result, image.astype(np.float64) - 50)
    assert result.min() < 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("percentile", [None, 0.0, 37.5, 100.0])
def test_percentile_of_the_blurred_image(shape, percentile, engine):
    image = noise(shape)
    blurred = naive_gaussian(image, 2.0)
    expected = np.percentile(blurred, 1.0 if percentile is None else percentile)
    result = estimate_background(image, "percentile", percentile=percentile, engine=engine)
    assert result == pytest.approx(expected, abs=1e-5 * blurred.max())
    assert_close(
        subtract_background(image, "percentile", percentile=percentile, engine=engine),
        image - expected,
    )


def test_percentile_reads_the_level_below_beads():
    rng = np.random.default_rng(0)
    truth = np.full((24, 96, 96), 100.0)
    for z, y, x in rng.uniform([4, 8, 8], [20, 88, 88], (12, 3)):
        zz, yy, xx = np.ogrid[:24, :96, :96]
        radius = ((zz - z) / 1.3) ** 2 + ((yy - y) / 1.3) ** 2 + ((xx - x) / 1.3) ** 2
        truth += 2000 * np.exp(-radius / 2)
    level = estimate_background(rng.poisson(truth).astype(np.uint16))
    assert 97 < level < 102


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_spacing", [False, True])
def test_gaussian_against_an_explicit_kernel(shape, with_spacing, engine):
    image = noise(shape)
    spacing = SPACING[len(shape)] if with_spacing else None
    radius = 0.45 if with_spacing else 3.0
    sigma = radius / np.array(spacing or 1.0)
    background = estimate_background(
        image, "gaussian", radius=radius, spacing=spacing, engine=engine
    )
    expected = naive_gaussian(image, sigma)
    assert_close(background, expected)
    assert_close(
        subtract_background(image, "gaussian", radius=radius, spacing=spacing, engine=engine),
        image - expected,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_spacing", [False, True])
def test_top_hat_is_an_opening_with_a_box(shape, with_spacing, engine):
    image = noise(shape)
    if with_spacing:
        options = {"radius": 0.4, "spacing": SPACING[len(shape)]}
        size = {2: (9, 5), 3: (3, 9, 5)}[len(shape)]
    else:
        options = {"radius": 2}
        size = (5,) * len(shape)
    expected = scipy.ndimage.white_tophat(image.astype(np.float64), size=size)
    assert_close(subtract_background(image, "top_hat", engine=engine, **options), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_spacing", [False, True])
def test_rolling_ball_against_naive_loops(shape, with_spacing, engine):
    image = noise(shape)
    if with_spacing:
        options = {"radius": 0.62, "spacing": SPACING[len(shape)]}
        radii = 0.62 / np.array(SPACING[len(shape)])
    else:
        options = {"radius": 3.0}
        radii = np.full(len(shape), 3.0)
    expected = naive_rolling_ball(image, radii)
    assert_close(estimate_background(image, "rolling_ball", engine=engine, **options), expected)


@pytest.mark.parametrize("wanted", [slice(0, 1), slice(2, 4), slice(6, 7), slice(None)])
def test_some_planes_of_a_rolling_ball_are_those_of_all(wanted, engine):
    image, around = noise((7, 12, 14)), {"radius": 1.1, "spacing": (0.4, 0.3, 0.3)}
    expected = estimate_background(image, "rolling_ball", engine=engine, **around)[wanted]
    seen = []
    some = rolling_ball_in(image, wanted, **around, engine=engine, callback=seen.append)
    np.testing.assert_array_equal(some, expected)
    assert len(seen) == 7
    plane = {"radius": 1.1, "spacing": (0.3, 0.3)}
    expected = estimate_background(image[0], "rolling_ball", engine=engine, **plane)
    some = rolling_ball_in(image[0], slice(None), **plane, engine=engine)
    np.testing.assert_array_equal(some, expected[np.newaxis])


@pytest.mark.parametrize("method", ["rolling_ball", "top_hat", "gaussian"])
def test_default_radius_is_ten_voxels_along_x_and_as_long_elsewhere(method):
    image = noise((6, 24, 30))
    spacing = (0.5, 0.2, 0.1)
    given = estimate_background(image, method, radius=1.0, spacing=spacing, engine="cpu")
    default = estimate_background(image, method, spacing=spacing, engine="cpu")
    np.testing.assert_array_equal(default, given)


@pytest.mark.parametrize("method", METHODS)
def test_engines_agree(method):
    image = noise((7, 21, 26), np.uint16)
    options = {"radius": 3.5, "value": 12.0, "percentile": 20.0}
    cpu, opencl = (
        subtract_background(image, method, engine=engine, **options) for engine in ("cpu", "opencl")
    )
    assert_close(opencl, cpu)


@pytest.mark.parametrize("method", METHODS)
def test_leading_axes_are_looped(method):
    image = noise((2, 3, 4, 12, 13), np.uint16)
    options = {"radius": 2.0, "value": 12.0, "engine": "cpu"}
    result = subtract_background(image, method, **options)
    estimate = estimate_background(image, method, **options)
    assert np.broadcast_shapes(np.shape(estimate), image.shape) == image.shape
    for lead in np.ndindex(2, 3):
        expected = subtract_background(image[lead], method, **options)
        np.testing.assert_allclose(result[lead], expected, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_image_is_not_modified(method):
    image = noise((4, 12, 13))
    before = image.copy()
    result = subtract_background(image, method, radius=2.0, value=1.0, engine="cpu")
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(result, image)


@pytest.mark.parametrize(("dtype", "offset"), [(np.int64, 2**40), (np.int32, 2**30), (float, 1e9)])
@pytest.mark.parametrize("method", METHODS)
def test_small_differences_on_a_large_offset_are_kept(method, dtype, offset, engine):
    image = noise((5, 14, 15), np.uint8)
    high = image.astype(dtype) + offset
    options = {"radius": 3.0, "engine": engine}
    result = subtract_background(high, method, factor=1.0, value=offset, **options)
    expected = subtract_background(image, method, factor=1.0, value=0, **options)
    # float64 itself has steps of 2e-7 at 1e9 and 2e-4 at 2**40
    np.testing.assert_allclose(result, expected, atol=3e-4)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_does_not_use_is_ignored(method):
    image = noise((9, 10))
    used = {
        "mean": {"factor", "floor"}, "constant": {"value"}, "percentile": {"percentile"},
    }.get(method, {"radius", "spacing"})  # fmt: skip
    wrong = {"factor": -1, "floor": np.nan, "value": np.nan, "percentile": -1, "radius": 0}
    wrong = {name: value for name, value in (wrong | {"spacing": -1}).items() if name not in used}
    options = {"value": 3.0} if method == "constant" else {}
    np.testing.assert_array_equal(
        subtract_background(image, method, engine="cpu", **options, **wrong),
        subtract_background(image, method, engine="cpu", **options),
    )


@pytest.mark.parametrize("method", ["rolling_ball", "top_hat"])
def test_a_radius_much_larger_than_the_stack_is_thick(method, engine):
    image = noise((2, 4, 9))
    options = {"radius": 8.0, "spacing": (0.5, 1.0, 1.0)}
    result = estimate_background(image, method, engine=engine, **options)
    if method == "rolling_ball":
        expected = naive_rolling_ball(image, (16, 8, 8))
    else:
        expected = scipy.ndimage.grey_opening(image.astype(float), size=(33, 17, 17))
    assert_close(result, expected)


small = arrays(np.uint8, st.tuples(st.integers(1, 3), st.integers(5, 9), st.integers(5, 9)))
filters = st.sampled_from(["percentile", "rolling_ball", "top_hat", "gaussian"])


@settings(deadline=None, max_examples=40)
@given(image=small, method=filters, offset=st.integers(-1000, 1000))
def test_an_offset_goes_into_the_background(image, method, offset):
    options = {"radius": 2.0, "engine": "cpu"}
    plain = subtract_background(image, method, **options)
    shifted = subtract_background(image.astype(np.int32) + offset, method, **options)
    np.testing.assert_allclose(shifted, plain, atol=1e-3)


@settings(deadline=None, max_examples=40)
@given(image=small, method=st.sampled_from(METHODS))
def test_the_dtype_does_not_matter(image, method):
    options = {"radius": 2.0, "value": 3.0, "engine": "cpu"}
    expected = subtract_background(image, method, **options)
    for dtype in (np.int16, np.uint32, np.float32, np.float64):
        result = subtract_background(image.astype(dtype), method, **options)
        np.testing.assert_array_equal(result, expected)


@settings(deadline=None, max_examples=25)
@given(
    patch=arrays(np.uint8, (3, 4, 4)),
    shift=st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6)),
    method=st.sampled_from(["rolling_ball", "top_hat", "gaussian"]),
)
def test_a_shifted_object_shifts_the_background(patch, shift, method):
    def background(z, y, x):
        image = np.zeros((16, 25, 25), np.float32)
        image[z : z + 3, y : y + 4, x : x + 4] = patch
        return estimate_background(image, method, radius=1.0, engine="cpu")

    expected = scipy.ndimage.shift(background(5, 7, 7), shift, order=0)
    inner = (slice(1, -1),) * 3
    moved = background(*(a + b for a, b in zip((5, 7, 7), shift, strict=True)))
    np.testing.assert_allclose(moved[inner], expected[inner], atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(image=small)
def test_openings_and_balls_stay_below_the_image(image):
    for method in ("rolling_ball", "top_hat"):
        assert subtract_background(image, method, radius=2.0, engine="cpu").min() >= 0


def test_progress_counts_the_planes_of_a_rolling_ball():
    seen = []
    image = noise((2, 5, 8, 8))
    subtract_background(image, "rolling_ball", radius=2.0, engine="cpu", callback=seen.append)
    assert [(p.iteration, p.iterations) for p in seen] == [(i, 10) for i in range(1, 11)]
    seen.clear()
    subtract_background(image, "gaussian", radius=2.0, engine="cpu", callback=seen.append)
    assert [(p.iteration, p.iterations) for p in seen] == [(1, 2), (2, 2)]


def test_the_callback_can_end_a_rolling_ball():
    class Cancelled(Exception):
        pass

    planes = []

    def cancel(progress):
        planes.append(progress.iteration)
        if progress.iteration == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        estimate_background(noise((6, 9, 9)), "rolling_ball", engine="cpu", callback=cancel)
    assert planes == [1, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "median"}, "method='median'.*choose one of"),
        ({"method": "constant"}, "give it with value="),
        ({"method": "constant", "value": float("nan")}, "value=nan"),
        ({"method": "mean", "factor": "much"}, "factor='much'"),
        ({"method": "mean", "floor": float("inf")}, "floor=inf"),
        ({"method": "mean", "floor": float("nan")}, "floor=nan"),
        ({"method": "mean", "floor": -0.1}, "floor=-0.1"),
        ({"method": "mean", "factor": float("nan")}, "factor=nan"),
        ({"method": "mean", "factor": -1}, "factor=-1"),
        ({"method": "constant", "value": 1e300}, "value=1e[+]300"),
        ({"method": "percentile", "percentile": 101}, "percentile=101.*from 0 to 100"),
        ({"method": "top_hat", "radius": 0}, "radius=0.*less than a pixel"),
        ({"method": "gaussian", "radius": 0.05, "spacing": 0.1}, "radius=0.05 µm"),
        ({"method": "gaussian", "radius": 1e4}, "radius=10000.0 voxels is larger than the image"),
        ({"method": "top_hat", "radius": 1e4}, "radius=10000.0 voxels is larger than the image"),
        ({"method": "rolling_ball", "radius": 1e4}, "larger than the image, 8 voxels"),
        ({"method": "top_hat", "radius": 5, "spacing": 0.1}, "larger than the image, 0.8 µm"),
        ({"method": "rolling_ball", "radius": float("nan")}, "radius=nan"),
        ({"method": "gaussian", "spacing": (1, -1)}, "spacing"),
        ({"method": "gaussian", "spacing": (1, 1, 1)}, "expected 2 numbers"),
    ],
)
def test_wrong_parameters_are_explained(options, words):
    with pytest.raises(DeconvError, match=words):
        subtract_background(noise((8, 8)), **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(5), "shape"),
        (np.zeros((0, 4)), "empty"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((20, 20, 3)), "RGB"),
    ],
)
def test_unusable_images_are_explained(method, image, words):
    with pytest.raises(DeconvError, match=words):
        subtract_background(image, method, value=1.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_image_is_all_background(method, engine):
    result = subtract_background(
        np.full((3, 9, 9), 7, np.uint8), method, radius=2.0, value=7.0, engine=engine
    )
    expected = 0.1 if method == "mean" else 0.0
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["percentile", "mean", "top_hat", "rolling_ball"])
@pytest.mark.parametrize("shape", [(3, 24, 20), (2, 3, 24, 20)])
def test_planes_are_treated_by_themselves(method, shape):
    series = np.random.default_rng(0).poisson(50, shape).astype(np.float32)
    series += 100 * np.arange(3)[:, None, None]
    options = {"radius": 0.4, "spacing": (0.1, 0.1), "engine": "cpu"}
    subtracted = subtract_background(series, method, planes=True, **options)
    estimated = estimate_background(series, method, planes=True, **options)
    assert subtracted.shape == np.broadcast_shapes(estimated.shape, shape) == shape
    for place in np.ndindex(shape[:-2]):
        plane = subtract_background(series[place], method, **options)
        np.testing.assert_array_equal(subtracted[place], plane)
        plane = estimate_background(series[place], method, **options)
        np.testing.assert_allclose(np.squeeze(estimated[place]), plane, rtol=1e-6)
