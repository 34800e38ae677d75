"""The forward model: exact placement, exact adjoint, every boundary."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import DeconvError, convolve
from napari_deconv.deconvolution.volume import grid_of
from napari_deconv.engines import get_engine
from napari_deconv.forward import Convolution, centred_at_origin, fast_shape

# image and PSF: odd and even, 2-D and 3-D, PSF smaller and larger than the image
CASES = [
    ((12, 16), (5, 7)),
    ((11, 15), (4, 6)),
    ((7, 9), (12, 11)),
    ((6, 10, 12), (3, 5, 7)),
    ((5, 9, 11), (4, 6, 2)),
    ((4, 8, 7), (9, 10, 3)),
]

PADDING = {"reflect": "symmetric", "circular": "wrap", "zero": "constant"}


def direct(image, psf, boundary):
    """Σ_k psf[k]·image[i + n // 2 − k] summed up in float64, the surroundings padded."""
    widths = [(n - 1 - n // 2, n // 2) for n in psf.shape]
    padded = np.pad(image, widths, mode=PADDING[boundary])
    return scipy.signal.convolve(padded, psf, mode="valid", method="direct")


@pytest.fixture(params=CASES, ids=str)
def case(request):
    rng = np.random.default_rng(5)
    image, psf = rng.random(request.param[0]), rng.random(request.param[1])
    return image, psf / psf.sum()


@pytest.mark.parametrize("boundary", PADDING)
def test_convolve_is_the_direct_sum(engine, case, boundary):
    image, psf = case
    expected = direct(image, psf, boundary)
    result = convolve(image, psf, boundary=boundary, engine=engine)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 * expected.max())


def test_a_point_becomes_the_psf_around_its_voxel(engine):
    psf = np.random.default_rng(1).random((3, 4, 5)).astype(np.float32)
    image = np.zeros((9, 10, 12))
    image[4, 5, 6] = 1
    expected = np.zeros(image.shape)
    expected[3:6, 3:7, 4:9] = psf / psf.sum()
    result = convolve(image, psf, boundary="zero", engine=engine)
    np.testing.assert_allclose(result, expected, atol=1e-7)


@pytest.mark.parametrize("boundary", ["reflect", "circular"])
def test_convolve_keeps_the_mean_of_a_flat_image(engine, boundary):
    flat = np.full((5, 8, 9), 37, np.uint8)
    result = convolve(flat, np.ones((3, 4, 5)), boundary=boundary, engine=engine)
    np.testing.assert_allclose(result, 37, rtol=2e-6)


def test_convolve_loops_over_leading_axes(engine):
    rng = np.random.default_rng(2)
    stack, psf = rng.random((2, 3, 6, 7)), rng.random((3, 3))
    result = convolve(stack, psf, engine=engine)
    for index in np.ndindex(2, 3):
        np.testing.assert_array_equal(result[index], convolve(stack[index], psf, engine=engine))


def test_convolve_has_no_unknown_surroundings():
    with pytest.raises(DeconvError, match="'reflect', 'circular', 'zero'"):
        convolve(np.ones((4, 4)), np.ones((3, 3)), boundary="padded")


@pytest.mark.parametrize("shapes", CASES, ids=str)
def test_the_adjoint_is_exact(engine, shapes):
    """⟨Hx, y⟩ = ⟨x, Hᵀy⟩ with x on the grid, y where the data are."""
    rng = np.random.default_rng(7)
    image, psf = ((1,) * (3 - len(shape)) + shape for shape in shapes)
    grid = fast_shape([n + m - 1 for n, m in zip(image, psf, strict=True)])
    kernel = rng.random(psf).astype(np.float32)
    model = Convolution(engine, centred_at_origin(kernel, grid), image)
    x, y = rng.normal(size=grid).astype(np.float32), rng.normal(size=image).astype(np.float32)
    light, back = engine.full(image, 0), engine.full(grid, 0)
    model.apply(engine.asarray(x), light)
    forward = (engine.to_numpy(light).astype(float) * y).sum()
    model.adjoint(engine.asarray(y), back)
    backward = (engine.to_numpy(back).astype(float) * x).sum()
    scale = np.linalg.norm(x) * np.linalg.norm(y) * kernel.sum()
    assert abs(forward - backward) < 1e-6 * scale


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
)
def test_with_half_padding_the_images_light_does_not_come_back_into_it(shape, psf_shape):
    rng = np.random.default_rng(3)
    object_, psf = rng.random(shape), rng.random(psf_shape).astype(np.float32)
    grid = grid_of(shape, psf_shape, "half_padded")
    engine = get_engine("cpu")
    model, light = Convolution(engine, centred_at_origin(psf, grid), shape), engine.full(shape, 0)
    model.apply(engine.asarray(object_, grid), light)
    expected = direct(object_, psf.astype(float), "zero")
    np.testing.assert_allclose(light, expected, atol=3e-6 * expected.max())


@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=3),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
)
def test_a_kernel_is_laid_with_its_centre_at_the_origin(kernel_shape, grid):
    kernel = np.random.default_rng(0).random(kernel_shape).astype(np.float32)
    laid = centred_at_origin(kernel, grid)
    expected = np.zeros(grid)
    for index in np.ndindex(*kernel_shape):
        place = tuple((i - n // 2) % g for i, n, g in zip(index, kernel_shape, grid, strict=True))
        expected[place] += kernel[index]
    np.testing.assert_allclose(laid, expected, rtol=1e-5)


@given(st.integers(1, 2000))
def test_fast_sizes(size):
    (fast,) = fast_shape([size])
    rest = fast
    for prime in (2, 3, 5, 7):
        while rest % prime == 0:
            rest //= prime
    assert rest == 1
    assert fast >= size
    assert fast % 2 == 0 or size == 1
    assert fast <= 1.2 * size + 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["u1", "u2", "i4", "f4", "f8", "?"]), st.booleans())
def test_convolving_any_dtype(seed, dtype, plane):
    rng = np.random.default_rng(seed)
    shape = (9, 8) if plane else (4, 6, 5)
    image = (rng.random(shape) * 200).astype(dtype)
    kept = image.copy()
    psf = rng.random((3, 2) if plane else (2, 3, 3))
    result = convolve(image, psf, engine="cpu")
    expected = direct(image.astype(float), psf / psf.sum(), "reflect")
    np.testing.assert_allclose(result, expected, atol=3e-6 * max(expected.max(), 1))
    np.testing.assert_array_equal(image, kept)
