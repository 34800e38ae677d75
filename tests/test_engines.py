"""Every engine operation against a plain float64 reference, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.engines import get_engine, list_devices
from napari_deconv.engines.cpu import CpuEngine
from napari_deconv.engines.opencl import OpenclEngine
from napari_deconv.engines.opencl.device import _failure
from napari_deconv.errors import DeviceError

SHAPES = [(1, 8, 10), (1, 7, 9), (6, 8, 10), (5, 7, 9), (12, 40, 33)]


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def positive(rng, shape):
    return (rng.random(shape) + 0.1).astype(np.float32)


def assert_close(actual, expected, relative=2e-6):
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


def test_arrays_go_there_and_back(engine, rng, shape):
    image = rng.integers(0, 4000, shape).astype(np.uint16)
    padded = tuple(size + 3 for size in shape)
    array = engine.asarray(image, padded)
    there = engine.to_numpy(array)
    assert there.shape == padded
    assert there.sum(dtype=float) == image.sum()
    np.testing.assert_array_equal(engine.to_numpy(array, shape), image)
    np.testing.assert_array_equal(engine.to_numpy(engine.full(shape, 2.5)), np.full(shape, 2.5))


def test_a_copy_is_independent(engine, rng, shape):
    image = positive(rng, shape)
    array = engine.asarray(image)
    copy = engine.copy(array)
    engine.combine(array, 1, copy, -1, array)
    np.testing.assert_array_equal(engine.to_numpy(copy), image)
    assert not engine.to_numpy(array).any()


def test_asarray_does_not_share_the_callers_memory(engine, rng):
    image = positive(rng, (2, 4, 4))
    kept = image.copy()
    array = engine.asarray(image)
    engine.combine(array, 1, array, -1, array)
    np.testing.assert_array_equal(image, kept)


def filtered(engine, image, otf, shape, how="convolve"):
    """The image through a filter, read back."""
    out = engine.full(shape, np.nan)
    getattr(engine.fft(shape), how)(engine.asarray(image), otf, out)
    return engine.to_numpy(out)


AXES = (0, 1, 2)


def test_convolution_and_correlation(engine, rng, shape):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)
    fft = engine.fft(shape)
    array, otf = engine.asarray(image), fft.spectrum(engine.asarray(kernel))
    out = engine.full(shape, np.nan)
    fft.convolve(array, otf, out)
    assert_close(engine.to_numpy(out), np.fft.irfftn(S * H, shape, AXES), 5e-6)
    fft.correlate(array, otf, out)
    assert_close(engine.to_numpy(out), np.fft.irfftn(S * H.conj(), shape, AXES), 5e-6)
    assert_close(engine.to_numpy(array), image.astype(np.float32), 0)
    fft.convolve(array, otf, array)
    assert_close(engine.to_numpy(array), np.fft.irfftn(S * H, shape, AXES), 5e-6)


def test_an_image_within_the_grid_is_zero_elsewhere(engine, rng, shape):
    """From a part of the grid to all of it and back: nothing left over from earlier transforms."""
    grid = tuple(size if size == 1 else size + 3 for size in shape)
    whole, part, kernel = rng.normal(size=grid), rng.normal(size=shape), rng.normal(size=grid)
    inside = tuple(slice(size) for size in shape)
    padded = np.zeros(grid)
    padded[inside] = part
    H = np.fft.rfftn(kernel)
    fft = engine.fft(grid)
    otf = fft.spectrum(engine.asarray(kernel))
    large, small = engine.full(grid, np.nan), engine.full(shape, np.nan)
    fft.convolve(engine.asarray(whole), otf, small)
    expected = np.fft.irfftn(np.fft.rfftn(whole) * H, grid, AXES)
    assert_close(engine.to_numpy(small), expected[inside], 5e-6)
    fft.correlate(engine.asarray(part), otf, large)
    expected = np.fft.irfftn(np.fft.rfftn(padded) * H.conj(), grid, AXES)
    assert_close(engine.to_numpy(large), expected, 5e-6)
    fft.convolve(engine.asarray(part), fft.spectrum(engine.asarray(part)), large)
    assert_close(engine.to_numpy(large), np.fft.irfftn(np.fft.rfftn(padded) ** 2, grid, AXES), 5e-6)


@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_wiener(engine, rng, shape, single):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)
    penalty = np.full((1, 1, 1), 3.0) if single else np.abs(np.fft.rfftn(rng.random(shape)))
    otf = engine.fft(shape).spectrum(engine.asarray(kernel))
    engine.wiener(otf, engine.asarray(penalty))
    expected = np.fft.irfftn(S * H.conj() / (np.abs(H) ** 2 + penalty), shape, AXES)
    assert_close(filtered(engine, image, otf, shape), expected, 5e-6)


def test_wiener_of_nothing_is_nothing(engine, shape):
    otf = engine.fft(shape).spectrum(engine.full(shape, 0.0))
    engine.wiener(otf, engine.full((1, 1, 1), 0))
    assert not filtered(engine, np.ones(shape), otf, shape).any()


def test_inverse(engine, rng, shape):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)
    epsilon = 0.9
    otf = engine.fft(shape).spectrum(engine.asarray(kernel))
    engine.inverse(otf, epsilon)
    gain = np.where(np.abs(H + epsilon) >= epsilon / 2, 1 / (H + epsilon), 0)
    expected = np.fft.irfftn(S * gain, shape, AXES)
    assert_close(filtered(engine, image, otf, shape), expected, 5e-6)


@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_ratio_residual_and_divergence(engine, rng, shape, single):
    light, data = positive(rng, shape), positive(rng, shape)
    light[0, :2] = 0
    data[0, 1] = 0
    background = np.full((1, 1, 1), 0.05) if single else rng.random(shape) * 0.1
    mask = np.ones((1, 1, 1)) if single else rng.random(shape) > 0.3
    data = np.where(mask, data, 0)
    u = np.maximum(light.astype(float) + background, 0.08)
    log_ratio = np.log(np.where(data > 0, data, 1) / u)
    y, b, m = (engine.asarray(a) for a in (data, background, mask))
    divergence = engine.divergence(engine.asarray(light), y, b, m, 0.08)
    assert divergence == pytest.approx(np.sum(mask * (data * log_ratio - data + u)), rel=2e-6)

    array = engine.asarray(light)
    engine.ratio(array, y, b, 0.08)
    assert_close(engine.to_numpy(array), data / u)

    array = engine.asarray(light)
    engine.residual(array, y, b, m)
    assert_close(engine.to_numpy(array), mask * (data - light - background))


def test_divergence_close_to_the_data_keeps_its_digits(engine, rng, shape):
    data = positive(rng, shape)
    model = (data * (1 + 1e-3 * rng.normal(size=shape))).astype(np.float32)
    y, u = data.astype(float), model.astype(float)
    expected = np.sum(y * np.log(y / u) - y + u)
    one, zero = engine.full((1, 1, 1), 1), engine.full((1, 1, 1), 0)
    arrays = engine.asarray(model), engine.asarray(data)
    assert engine.divergence(*arrays, zero, one, 1e-6) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_update(engine, rng, shape, single):
    correction, estimate = positive(rng, shape), positive(rng, shape)
    normalization = np.full((1, 1, 1), 0.7) if single else rng.random(shape)
    normalization.flat[0] = 0.7 if single else 0.0
    array = engine.asarray(correction)
    engine.update(array, engine.asarray(estimate), engine.asarray(normalization))
    n = np.maximum(normalization, 0.01)
    expected = np.where(normalization > 0.01, estimate * correction / n, 0)
    assert_close(engine.to_numpy(array), expected)


def test_update_with_momentum_is_update_and_extrapolate(engine, rng, shape):
    correction, guess, previous = (positive(rng, shape) for _ in range(3))
    divisor = rng.random(shape)
    fused, p, apart, out = (engine.asarray(a) for a in (correction, guess, correction, guess))
    engine.update_with_momentum(
        fused, p, engine.asarray(divisor), engine.asarray(previous), 0.7, 0.5
    )
    engine.update(apart, engine.asarray(guess), engine.asarray(divisor))
    engine.extrapolate(apart, engine.asarray(previous), 0.7, 0.5, out)
    assert_close(engine.to_numpy(fused), engine.to_numpy(apart), 1e-6)
    assert_close(engine.to_numpy(p), engine.to_numpy(out), 1e-6)


def test_combine_and_clip(engine, rng, shape):
    first, second = rng.normal(size=shape), rng.normal(size=shape)
    array = engine.asarray(first)
    engine.combine(array, 2.5, engine.asarray(second), -0.5, array)
    assert_close(engine.to_numpy(array), 2.5 * first - 0.5 * second)
    engine.clip(array)
    assert_close(engine.to_numpy(array), np.maximum(2.5 * first - 0.5 * second, 0))


def test_extrapolate_keeps_zero_and_stays_positive(engine, rng, shape):
    current, previous = positive(rng, shape), positive(rng, shape) * 3
    current[0, 0] = 0
    out = engine.full(shape, np.nan)
    engine.extrapolate(engine.asarray(current), engine.asarray(previous), 0.8, 0.01, out)
    x, before = current.astype(float), previous.astype(float)
    assert_close(engine.to_numpy(out), np.maximum(x + 0.8 * (x - before), 0.01 * x))
    assert not engine.to_numpy(out)[0, 0].any()


@pytest.mark.parametrize("flatness", [0.0, 0.3])
def test_total_variation(engine, rng, shape, flatness):
    estimate, normalization = positive(rng, shape), rng.random(shape)
    dz, dy, dx = 3.0, 1.5, 1.0
    x = estimate.astype(float)
    gradient = [(np.roll(x, -1, axis) - x) / d for axis, d in enumerate((dz, dy, dx))]
    length = np.sqrt(sum(g**2 for g in gradient) + (flatness * x) ** 2 + 1e-12)
    unit = [g / length for g in gradient]
    div = sum(
        (u - np.roll(u, 1, axis)) / d
        for axis, (u, d) in enumerate(zip(unit, (dz, dy, dx), strict=True))
    )
    n = normalization
    expected = np.where(n > 0.01, n * np.maximum(1 - 0.1 * div, 0.1), 0)
    out = engine.full(shape, np.nan)
    engine.total_variation(
        engine.asarray(estimate), (dz, dy, dx), 0.1, flatness, engine.asarray(normalization), out
    )
    assert_close(engine.to_numpy(out), expected, 1e-5)


@pytest.mark.parametrize("starts", [(0, 0, 0), (1, 2, 3), (0, 4, 0)])
def test_a_box_is_cropped(engine, rng, shape, starts):
    box = tuple(slice(a % n, n - a // 2) for a, n in zip(starts, shape, strict=True))
    array = positive(rng, shape)
    found = engine.crop(engine.asarray(array), box)
    np.testing.assert_array_equal(engine.to_numpy(found), array[box])
    # What is cropped can be measured.
    assert engine.sum(found) == pytest.approx(array[box].sum(dtype=float), rel=1e-6)
    one = engine.full((1, 1, 1), 1.0)
    assert engine.divergence(found, found, engine.full((1, 1, 1), 0.0), one, 1e-6) == 0


def test_sums(engine, rng, shape):
    first, second = rng.normal(size=shape) + 1, rng.normal(size=shape)
    arrays = engine.asarray(first), engine.asarray(second)
    first, second = first.astype(np.float32).astype(float), second.astype(np.float32).astype(float)
    assert engine.sum(arrays[0]) == pytest.approx(first.sum(), rel=2e-6)
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    assert engine.dot(*arrays) == pytest.approx((first * second).sum(), abs=1e-6 * scale)


def test_largest_change(engine, rng, shape):
    first, second = positive(rng, shape), positive(rng, shape)
    first[-1, -1, -1] = second[-1, -1, -1] - 7
    change = engine.largest_change(engine.asarray(first), engine.asarray(second))
    assert change == pytest.approx(7, rel=1e-6)


def test_large_sums_do_not_drift(engine):
    values = np.full((64, 256, 256), 0.1, np.float32)
    assert engine.sum(engine.asarray(values)) == pytest.approx(values.sum(dtype=float), rel=1e-6)


@pytest.mark.parametrize("kind", ["CPU", "GPU"])
@pytest.mark.parametrize("n", [1, 8191, 8192, 8193, 100001])
def test_every_voxel_is_shared_out_once(rng, kind, n):
    """OpenCL's work items take stretches of their own on a CPU, and turns on a GPU."""
    engine = OpenclEngine(get_engine("opencl").device)
    engine.device = replace(engine.device, kind=kind)
    first, second = positive(rng, (1, 1, n)), positive(rng, (1, 1, n))
    x, y = engine.asarray(first), engine.asarray(second)
    one, none = engine.full((1, 1, 1), 1.0), engine.full((1, 1, 1), 0.0)
    u, v = first.astype(float), second.astype(float)
    assert engine.sum(x) == pytest.approx(u.sum(), rel=1e-6)
    assert engine.dot(x, y) == pytest.approx((u * v).sum(), rel=1e-6)
    assert engine.largest_change(x, y) == pytest.approx(np.abs(u - v).max(), rel=1e-6)
    divergence = (v * np.log(v / u) - v + u).sum()
    assert engine.divergence(x, y, none, one, 1e-6) == pytest.approx(divergence, rel=1e-5)


@pytest.mark.parametrize("sigma", [(0.0, 2.0, 1.3), (1.1, 0.7, 6.0)])
def test_gaussian(engine, rng, shape, sigma):
    image = positive(rng, shape)
    expected = scipy.ndimage.gaussian_filter(image.astype(float), sigma, mode="reflect")
    assert_close(engine.to_numpy(engine.gaussian(engine.asarray(image), sigma)), expected)


@pytest.mark.parametrize("size", [(1, 3, 5), (5, 1, 3), (3, 19, 21)])
def test_box_extremes(engine, rng, shape, size):
    image = rng.normal(size=shape).astype(np.float32)
    array = engine.asarray(image)
    padded = np.pad(image, [(n // 2, n // 2) for n in size], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)
    axes = (-3, -2, -1)
    np.testing.assert_array_equal(engine.to_numpy(engine.minimum(array, size)), windows.min(axes))
    np.testing.assert_array_equal(engine.to_numpy(engine.maximum(array, size)), windows.max(axes))


def test_rolling_ball(engine, rng, shape):
    image = positive(rng, shape) * 10
    z, y, x = np.ogrid[-1:2, -3:4, -3:4]
    squared = 1 - (z / 1.5) ** 2 - (y / 3) ** 2 - (x / 3) ** 2
    heights = np.where(squared >= 0, 3 * np.sqrt(np.maximum(squared, 0)), np.inf)
    padded = np.pad(image.astype(float), ((1, 1), (3, 3), (3, 3)), constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, heights.shape)
    expected = (windows + np.where(np.isinf(heights), np.inf, 3 - heights)).min((-3, -2, -1))
    assert_close(engine.to_numpy(engine.rolling_ball(engine.asarray(image), heights)), expected)


def test_expand(engine, rng):
    table = rng.normal(size=(5, 12))
    weights = scipy.sparse.random(30, 12, 0.3, "csr", rng=rng)
    values = engine.to_numpy(engine.expand(table, scipy.sparse.csr_array(weights)))
    assert values.shape == (5, 1, 30)
    assert_close(values[:, 0], table @ weights.toarray().T)


@settings(max_examples=4, deadline=None)
@given(
    st.tuples(*[st.integers(1, 14)] * 3).filter(lambda s: s[1] > 1 and s[2] > 1), st.integers(0, 99)
)
def test_engines_transform_any_shape_alike(shape, seed):
    image = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    for spec in ("cpu", "opencl"):
        engine = get_engine(spec)
        otf = engine.fft(shape).spectrum(engine.asarray(image))
        expected = np.fft.irfftn(np.fft.rfftn(image.astype(float)) ** 2, shape, (0, 1, 2))
        assert_close(filtered(engine, image, otf, shape), expected, 1e-5)


def test_devices_are_found_by_name():
    devices = list_devices()
    assert devices[-1].engine == "cpu"
    opencl = [device for device in devices if device.engine == "opencl"]
    assert opencl, "no OpenCL runtime: install one (Debian: pocl-opencl-icd)"
    for device in devices:
        assert device.memory > 1e8
        assert 0 < device.buffer_limit <= device.memory
        assert get_engine(device.key).device == device
        assert get_engine(device.key) is get_engine(device.key)
    assert get_engine(f"opencl:{opencl[0].name[2:12].upper()}").device == opencl[0]


def test_auto_takes_a_gpu_or_else_the_cpu():
    device = get_engine("auto").device
    gpus = [found for found in list_devices() if found.kind == "GPU"]
    assert device == gpus[0] if gpus else device.engine == "cpu"


@pytest.mark.parametrize("spec", ["opencl:no such card", "cuda", "", "CPU"])
def test_unknown_devices_say_what_there_is(spec):
    with pytest.raises(DeviceError, match=r"found: '|choose 'auto', 'cpu'"):
        get_engine(spec)


def test_the_users_own_device_selection_is_left_alone():
    import pyclesperanto as cle

    before = cle.get_device().name
    list_devices()
    assert cle.get_device().name == before


def test_too_large_a_problem_is_refused_beforehand(engine):
    with pytest.raises(DeviceError, match=r"Deconvolving needs 1000000\.0 GB"):
        engine.require(10**15, 1, "Deconvolving")


def test_too_large_a_buffer_is_refused_beforehand():
    with pytest.raises(DeviceError, match=r"arrays of .* engine='cpu'"):
        get_engine("opencl").require(2**20, 2**34, "Deconvolving")


def test_a_failed_allocation_is_explained():
    with pytest.raises(DeviceError, match=r"ran out of memory .* engine='cpu'"):
        get_engine("opencl").full((4000, 2000, 2000), 0.0)


def test_a_build_error_is_explained(monkeypatch, capfd):
    monkeypatch.setattr(
        "napari_deconv.engines.opencl.device._source", lambda file: "__kernel void fill("
    )
    with pytest.raises(DeviceError, match=r"failed: .* engine='cpu'"):
        get_engine("opencl").full((1, 2, 2), 0.0)


def test_a_lost_device_is_explained():
    device = get_engine("opencl").device
    assert "engine='cpu'" in str(_failure(device, "OpenCL error: CL_DEVICE_NOT_AVAILABLE (-2)"))


def test_cpu_memory_is_checked_against_what_is_free(monkeypatch):
    with pytest.raises(DeviceError, match=r"are free: crop the image"):
        CpuEngine().require(10**14, 10**14, "Deconvolving")
