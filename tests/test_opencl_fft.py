"""Transforms on an OpenCL device against float64, for lengths planned by us and by the library."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_deconv.engines import get_engine
from napari_deconv.engines.opencl.fft import LibraryFft, PlannedFft
from napari_deconv.engines.opencl.plan import LOCAL_BYTES, Plan, radices, supports
from napari_deconv.errors import DeviceError

# grid, image, out; few lengths, since each is compiled
PLANNED = [
    ((32, 6, 35), (20, 5, 30), (32, 6, 35)),
    ((35, 9, 35), (35, 9, 35), (17, 9, 20)),
    ((1, 35, 32), (1, 35, 32), (1, 13, 7)),
    ((1, 420, 32), (1, 411, 9), (1, 420, 32)),
    ((6, 1, 35), (5, 1, 35), (6, 1, 35)),
]
LIBRARY = [((5, 11, 6), (4, 11, 6), (5, 10, 6)), ((1, 13, 22), (1, 13, 22), (1, 13, 22))]


@pytest.fixture
def device():
    return get_engine("opencl")


@pytest.fixture(params=[*PLANNED, *LIBRARY], ids=str)
def case(request):
    """Image and kernel, and the shape to cut from results."""
    rng = np.random.default_rng(8)
    grid, image, out = request.param
    return rng.normal(size=image), rng.normal(size=grid), out


def transform(array, grid):
    return np.fft.rfftn(array, grid, axes=(0, 1, 2))


def cut(spectrum, grid, shape):
    whole = np.fft.irfftn(spectrum, grid, axes=(0, 1, 2))
    return whole[tuple(slice(size) for size in shape)]


def assert_close(actual, expected, relative):
    assert np.abs(actual - expected).max() <= relative * np.abs(expected).max()


def test_spectra(device, case):
    image, kernel, _ = case
    spectrum = device.to_numpy(device.fft(kernel.shape).spectrum(device.asarray(image)))
    expected = transform(image, kernel.shape)
    assert_close(spectrum.view(np.complex64), expected, 1e-6)


def test_filters_of_a_part_of_the_grid(device, case):
    image, kernel, shape = case
    grid = kernel.shape
    S, H = transform(image, grid), transform(kernel, grid)
    fft, out = device.fft(grid), device.full(shape, np.nan)
    otf = fft.spectrum(device.asarray(kernel))
    fft.convolve(device.asarray(image), otf, out)
    assert_close(device.to_numpy(out), cut(S * H, grid, shape), 1e-6)
    fft.correlate(device.asarray(image), otf, out)
    assert_close(device.to_numpy(out), cut(S * H.conj(), grid, shape), 1e-6)


@pytest.mark.parametrize(("grid", "fft"), [((35, 9, 35), PlannedFft), ((5, 11, 6), LibraryFft)])
def test_strata(device, grid, fft):
    rng = np.random.default_rng(9)
    kernels, weights = rng.normal(size=(3, *grid)), rng.random((3, grid[0]))
    part = tuple(size - 1 for size in grid)
    whole, light = rng.normal(size=grid), rng.normal(size=part)
    planned = device.fft(grid)
    assert isinstance(planned, fft)
    otfs = [planned.spectrum(device.asarray(kernel)) for kernel in kernels]
    a = device.asarray(weights[np.newaxis])
    out = device.full(part, np.nan)
    planned.convolve_strata(device.asarray(whole), otfs, a, out)
    spectra = [
        transform(w[:, None, None] * whole, grid) * transform(h, grid)
        for w, h in zip(weights, kernels, strict=True)
    ]
    assert_close(device.to_numpy(out), cut(sum(spectra), grid, part), 1e-6)
    back = device.full(grid, np.nan)
    planned.correlate_strata(device.asarray(light), otfs, a, back)
    expected = sum(
        w[:, None, None] * cut(transform(light, grid) * transform(h, grid).conj(), grid, grid)
        for w, h in zip(weights, kernels, strict=True)
    )
    assert_close(device.to_numpy(back), expected, 1e-6)


@pytest.mark.parametrize("local_bytes", [16 << 10, LOCAL_BYTES])
def test_every_length_that_is_supported_has_a_work_group(local_bytes):
    supported = [n for n in range(1, local_bytes // 8 + 1) if supports((n,), local_bytes)]
    smooth = {
        2**a * 3**b * 5**c * 7**d for a in range(13) for b in range(8) for c in range(6)
        for d in range(5)
    }  # fmt: skip
    assert set(supported) == {n for n in smooth if n <= local_bytes // 8}
    for length in supported:
        plan = Plan.make(length, local_bytes)
        assert np.prod(radices(length)) == length
        assert 8 * plan.lines * length <= local_bytes
        assert 1 <= plan.lines * plan.items <= 256


def test_the_library_transforms_what_we_do_not(device):
    assert isinstance(device.fft((4, 11, 6)), LibraryFft)
    assert not supports((1, 1, 4100), LOCAL_BYTES)
    assert not supports((1, 1, 4096), LOCAL_BYTES // 2)


@pytest.mark.parametrize(
    ("grid", "instead"), [((1, 4099, 13), (1, 4096, 12)), ((11, 1, 6), (10, 1, 6))]
)
def test_what_the_library_gets_wrong_is_refused(device, grid, instead):
    with pytest.raises(DeviceError, match=rf"{re.escape(str(instead))} .* engine='cpu'"):
        device.fft(grid)
