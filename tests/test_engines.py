"""Every engine operation against a plain float64 reference, on both engines."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.engines import get_engine, list_devices
from napari_deconv.engines.cpu import CpuEngine
from napari_deconv.engines.opencl import _explain
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


def spectrum_of(engine, image):
    """What the engine holds as the spectrum, read back through the inverse transform."""
    return engine.rfft(engine.asarray(image))


def back(engine, spectrum, shape):
    out = engine.full(shape, np.nan)
    engine.irfft_into(spectrum, out)
    return engine.to_numpy(out)


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
    engine.subtract(array, copy, array)
    np.testing.assert_array_equal(engine.to_numpy(copy), image)
    assert not engine.to_numpy(array).any()


def test_asarray_does_not_share_the_callers_memory(engine, rng):
    image = positive(rng, (2, 4, 4))
    kept = image.copy()
    array = engine.asarray(image)
    engine.subtract(array, array, array)
    np.testing.assert_array_equal(image, kept)


def test_transform_and_inverse(engine, rng, shape):
    image = positive(rng, shape)
    assert_close(back(engine, spectrum_of(engine, image), shape), image)
    spectrum = spectrum_of(engine, np.zeros(shape))
    array = engine.asarray(image)
    engine.rfft_into(array, spectrum)
    assert_close(back(engine, spectrum, shape), image)
    assert_close(engine.to_numpy(array), image, 0)


def test_products_of_spectra(engine, rng, shape):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)

    spectrum, otf = spectrum_of(engine, image), spectrum_of(engine, kernel)
    engine.multiply(spectrum, otf)
    axes = (0, 1, 2)
    assert_close(back(engine, spectrum, shape), np.fft.irfftn(S * H, shape, axes), 5e-6)

    spectrum = spectrum_of(engine, image)
    engine.multiply_conjugate(spectrum, otf)
    assert_close(back(engine, spectrum, shape), np.fft.irfftn(S * H.conj(), shape, axes), 5e-6)


@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_wiener(engine, rng, shape, single):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)
    penalty = np.full((1, 1, 1), 3.0) if single else np.abs(np.fft.rfftn(rng.random(shape)))
    spectrum, otf = spectrum_of(engine, image), spectrum_of(engine, kernel)
    engine.wiener(spectrum, otf, engine.asarray(penalty))
    expected = np.fft.irfftn(S * H.conj() / (np.abs(H) ** 2 + penalty), shape, (0, 1, 2))
    assert_close(back(engine, spectrum, shape), expected, 5e-6)


def test_wiener_of_nothing_is_nothing(engine, shape):
    spectrum, otf = spectrum_of(engine, np.ones(shape)), spectrum_of(engine, np.zeros(shape))
    engine.wiener(spectrum, otf, engine.full((1, 1, 1), 0))
    assert not back(engine, spectrum, shape).any()


def test_inverse(engine, rng, shape):
    image, kernel = rng.normal(size=shape), rng.normal(size=shape)
    S, H = np.fft.rfftn(image), np.fft.rfftn(kernel)
    epsilon = 0.9
    spectrum, otf = spectrum_of(engine, image), spectrum_of(engine, kernel)
    engine.inverse(spectrum, otf, epsilon)
    gain = np.where(np.abs(H + epsilon) >= epsilon / 2, 1 / (H + epsilon), 0)
    assert_close(back(engine, spectrum, shape), np.fft.irfftn(S * gain, shape, (0, 1, 2)), 5e-6)


@pytest.mark.parametrize("single", [True, False], ids=["one number", "array"])
def test_ratio_and_divergence(engine, rng, shape, single):
    grid = tuple(size + 2 for size in shape)
    model, data = positive(rng, grid), positive(rng, shape)
    model[0, :2] = 0
    data[0, 1] = 0
    background = np.full((1, 1, 1), 0.05) if single else rng.random(shape) * 0.1
    mask = np.ones((1, 1, 1)) if single else rng.random(shape) > 0.3
    data = np.where(mask, data, 0)
    inside = tuple(slice(size) for size in shape)
    u = np.maximum(model[inside].astype(float) + background, 0.08)
    log_ratio = np.log(np.where(data > 0, data, 1) / u)
    arrays = [engine.asarray(a) for a in (model, data, background)]
    divergence = engine.divergence(*arrays, engine.asarray(mask), 0.08)
    assert divergence == pytest.approx(np.sum(mask * (data * log_ratio - data + u)), rel=2e-6)

    engine.ratio(*arrays, 0.08)
    expected = np.zeros(grid)
    expected[inside] = data / u
    assert_close(engine.to_numpy(arrays[0]), expected)


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


def test_extrapolate_keeps_zero_and_stays_positive(engine, rng, shape):
    current, previous = positive(rng, shape), positive(rng, shape) * 3
    current[0, 0] = 0
    out = engine.full(shape, np.nan)
    engine.extrapolate(engine.asarray(current), engine.asarray(previous), 0.8, 0.01, out)
    x, before = current.astype(float), previous.astype(float)
    assert_close(engine.to_numpy(out), np.maximum(x + 0.8 * (x - before), 0.01 * x))
    assert not engine.to_numpy(out)[0, 0].any()


def test_total_variation(engine, rng, shape):
    estimate, normalization = positive(rng, shape), rng.random(shape)
    dz, dy, dx = 3.0, 1.5, 1.0
    x = estimate.astype(float)
    gradient = [(np.roll(x, -1, axis) - x) / d for axis, d in enumerate((dz, dy, dx))]
    length = np.sqrt(sum(g**2 for g in gradient) + 1e-8)
    unit = [g / length for g in gradient]
    div = sum(
        (u - np.roll(u, 1, axis)) / d
        for axis, (u, d) in enumerate(zip(unit, (dz, dy, dx), strict=True))
    )
    n = normalization
    expected = np.where(n > 0.01, np.maximum(n - 0.1 * div, 0.1 * n), 0)
    out = engine.full(shape, np.nan)
    engine.total_variation(
        engine.asarray(estimate), (dz, dy, dx), 0.1, engine.asarray(normalization), out
    )
    assert_close(engine.to_numpy(out), expected, 1e-5)


def test_sums(engine, rng, shape):
    first, second = rng.normal(size=shape) + 1, rng.normal(size=shape)
    arrays = engine.asarray(first), engine.asarray(second)
    first, second = first.astype(np.float32).astype(float), second.astype(np.float32).astype(float)
    assert engine.sum(arrays[0]) == pytest.approx(first.sum(), rel=2e-6)
    scale = np.linalg.norm(first) * np.linalg.norm(second)
    assert engine.dot(*arrays) == pytest.approx((first * second).sum(), abs=1e-6 * scale)


def test_large_sums_do_not_drift(engine):
    values = np.full((64, 256, 256), 0.1, np.float32)
    assert engine.sum(engine.asarray(values)) == pytest.approx(values.sum(dtype=float), rel=1e-6)


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
        spectrum = spectrum_of(engine, image)
        engine.multiply(spectrum, spectrum_of(engine, image))
        expected = np.fft.irfftn(np.fft.rfftn(image.astype(float)) ** 2, shape, (0, 1, 2))
        assert_close(back(engine, spectrum, shape), expected, 1e-5)


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
    monkeypatch.setattr("napari_deconv.engines.opencl._source", lambda file: "__kernel void fill(")
    with pytest.raises(DeviceError, match=r"failed: .* engine='cpu'"):
        get_engine("opencl").full((1, 2, 2), 0.0)


def test_a_lost_device_is_explained():
    device = get_engine("opencl").device
    assert "engine='cpu'" in _explain(device, "OpenCL error: CL_DEVICE_NOT_AVAILABLE (-2)")


def test_cpu_memory_is_checked_against_what_is_free(monkeypatch):
    with pytest.raises(DeviceError, match=r"are free: crop the image"):
        CpuEngine().require(10**14, 10**14, "Deconvolving")
