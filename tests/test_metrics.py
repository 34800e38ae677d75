"""Spectra, correlations and projections against closed forms and naive sums."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import DeconvError
from napari_deconv.metrics import (
    ShellCorrelation,
    fourier_shell_correlation,
    orthogonal_projections,
    power_spectrum,
    split_correlation,
)

SPACING = (0.25, 0.1, 0.1)


def frequencies(shape, spacing):
    axes = [np.fft.fftfreq(n, d) for n, d in zip(shape, spacing, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def filtered(noise, transfer):
    """White noise through a transfer function, periodic."""
    return np.fft.ifftn(np.fft.fftn(noise) * transfer).real


# -- power spectrum ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((96, 80), (0.1, 0.12)), ((17, 40, 33), SPACING), ((24, 32, 48), SPACING)],
)
def test_the_shells_are_those_of_a_sum_written_down(shape, spacing):
    image = np.random.default_rng(1).normal(size=shape)
    windows = [np.sin(np.pi * np.arange(1, n + 1) / (n + 1)) ** 2 for n in shape]
    window = windows[0]
    for one in windows[1:]:
        window = np.multiply.outer(window, one)
    power = np.abs(np.fft.fftn((image - image.mean()) * window)) ** 2 / np.sum(window**2)
    axes = frequencies(shape, spacing)
    distance = np.sqrt(sum(axis**2 for axis in axes))
    steps = [1 / (n * d) for n, d in zip(shape, spacing, strict=True)]
    across = axes[-1] ** 2 + axes[-2] ** 2
    expected = {"lateral": (max(steps[-2:]), 0.5 / max(spacing[-2:]), distance >= 0)}
    if len(shape) == 3:
        near = axes[0] ** 2 <= across
        expected["lateral"] = (*expected["lateral"][:2], near)
        expected["axial"] = (max(steps), 0.5 / spacing[0], ~near)
    found = power_spectrum(image, spacing)
    assert set(found) == set(expected)
    for name, (step, limit, inside) in expected.items():
        means = {}
        for number in range(1, int(limit / step + 1e-9) + 1):
            shell = inside & (np.rint(distance / step) == number)
            if shell.any():
                means[number * step] = power[shell].mean()
        np.testing.assert_allclose(found[name].frequency, list(means))
        np.testing.assert_allclose(found[name].power, list(means.values()), rtol=1e-4)


def test_white_noise_has_its_variance_as_power():
    image = np.random.default_rng(2).normal(1000, 7, (64, 128, 128))
    for spectrum in power_spectrum(image, SPACING).values():  # the first shells have few members
        assert np.mean(spectrum.power[8:]) == pytest.approx(49, rel=0.03)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wave_stands_at_its_frequency_and_in_its_direction(axis):
    shape, waves = (40, 100, 100), 10
    length = shape[axis] * SPACING[axis]
    place = np.arange(shape[axis]) * SPACING[axis]
    wave = np.sin(2 * np.pi * waves / length * place)
    image = np.moveaxis(np.broadcast_to(wave, np.moveaxis(np.empty(shape), axis, 2).shape), 2, axis)
    found = power_spectrum(image, SPACING)
    its, other = ("axial", "lateral") if axis == 0 else ("lateral", "axial")
    peak = found[its].frequency[np.argmax(found[its].power)]
    assert abs(peak - waves / length) <= found[its].frequency[0] / 2
    assert found[other].power.max() < 1e-5 * found[its].power.max()


def test_borders_that_do_not_fit_make_no_streaks():
    ramp = np.add.outer(np.linspace(0, 100, 128), np.linspace(0, 300, 128))
    power = power_spectrum(ramp, 0.1)["lateral"].power
    assert power[20:].max() < 1e-6 * power[0]


# -- Fourier shell correlation -------------------------------------------------------------------
def test_an_image_agrees_with_itself():
    image = np.random.default_rng(3).normal(size=(16, 48, 48))
    for found in fourier_shell_correlation(image, 5 * image + 3, SPACING).values():
        np.testing.assert_allclose(found.correlation, 1, atol=1e-5)
        assert found.resolution() == 0
    for found in fourier_shell_correlation(image, -image, SPACING).values():
        np.testing.assert_allclose(found.correlation, -1, atol=1e-5)
        assert found.resolution() == np.inf


@pytest.mark.parametrize("shape", [(96, 96), (48, 48, 48)])
def test_noise_scatters_about_0_as_its_count_says(shape):
    rng = np.random.default_rng(4)
    scores = []
    for _ in range(16):
        for found in fourier_shell_correlation(*rng.normal(size=(2, *shape)), 0.1).values():
            scores.append((found.correlation * np.sqrt(found.count))[2:])
    assert abs(np.mean(np.concatenate(scores))) < 0.1
    assert np.std(np.concatenate(scores)) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("sigma", [0.12, 0.2])
def test_it_is_the_signals_share_of_the_power(sigma):
    """FSC = S / (S + N): a Gaussian transfer of white signal, and white noise."""
    rng = np.random.default_rng(5)
    shape, spacing, noise = (256, 256), (0.1, 0.1), 0.5
    radius = np.hypot(*frequencies(shape, spacing))
    transfer = np.exp(-2 * (np.pi * sigma * radius) ** 2)
    signal = filtered(rng.normal(size=shape), transfer)
    first, second = signal + noise * rng.normal(size=(2, *shape))
    found = fourier_shell_correlation(first, second, spacing)["lateral"]
    share = np.exp(-4 * (np.pi * sigma * found.frequency) ** 2)
    expected = share / (share + noise**2)
    error = np.abs(found.correlation - expected) * np.sqrt(found.count)
    assert np.mean(error[3:]) < 1.2  # a Gaussian's mean deviation is 0.8 σ
    at = np.sqrt(np.log(6 / noise**2) / 4) / (np.pi * sigma)  # share = noise² / 6
    assert found.resolution() == pytest.approx(1 / at, rel=0.06)


def test_a_field_with_a_sharp_cutoff_resolves_that():
    rng = np.random.default_rng(6)
    shape, cutoff = (256, 256), 2.5
    inside = np.hypot(*frequencies(shape, (0.1, 0.1))) < cutoff
    signal = filtered(rng.normal(size=shape), inside)
    first, second = signal + 0.1 * rng.normal(size=(2, *shape))
    found = fourier_shell_correlation(first, second, 0.1)["lateral"]
    assert found.resolution() == pytest.approx(1 / cutoff, rel=0.03)
    assert found.resolution(found.half_bit) == pytest.approx(1 / cutoff, rel=0.03)


def test_directions_are_resolved_apart():
    rng = np.random.default_rng(7)
    shape = (96, 96, 96)
    z, y, x = frequencies(shape, (0.1, 0.1, 0.1))
    inside = (np.hypot(y, x) < 4) & (np.abs(z) < 1.5)
    first, second = filtered(rng.normal(size=shape), inside) + rng.normal(size=(2, *shape))
    found = fourier_shell_correlation(first, second, 0.1)
    # With as much noise as signal it is 1/7 where signal fills a sixth of the shell in that
    # direction: kz < 1.5 of the cap from k/√2 to k, and √(k² − 4²) < kz < 1.5 of the belt to k/√2.
    assert found["axial"].resolution() == pytest.approx(1 / 1.984, rel=0.05)
    assert found["lateral"].resolution() == pytest.approx(1 / 4.13, rel=0.02)


def test_a_filter_changes_no_correlation():
    """What says that the correlation does not see how sharp an image is."""
    rng = np.random.default_rng(8)
    shape = (128, 128)
    signal = scipy.ndimage.gaussian_filter(rng.normal(size=shape), 2)
    halves = signal + 0.01 * rng.normal(size=(2, *shape))
    blurred = [scipy.ndimage.gaussian_filter(half, 1, mode="wrap") for half in halves]
    before, after = (fourier_shell_correlation(*pair, 0.1)["lateral"] for pair in (halves, blurred))
    low = before.frequency < 2.5
    np.testing.assert_allclose(after.correlation[low], before.correlation[low], atol=0.12)
    assert after.resolution() == pytest.approx(before.resolution(), rel=0.05)


def test_half_bit_is_the_formula():
    shells = ShellCorrelation(np.array([1.0]), np.array([0.5]), np.array([1e12]))
    # An infinite shell needs a signal-to-noise of √2 − 1 in the sum, half of that in each half.
    ratio = (np.sqrt(2) - 1) / 2
    assert shells.half_bit[0] == pytest.approx(ratio / (1 + ratio), rel=1e-3)


def test_the_first_crossing_counts_and_is_interpolated():
    shells = ShellCorrelation(
        np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.5, 0.0, 0.9]), np.full(4, 100.0)
    )
    assert shells.resolution(0.25) == pytest.approx(1 / 2.5)
    assert shells.resolution(1.1) == np.inf
    assert shells.resolution(-0.5) == 0


def test_splitting_photons_equals_two_recordings_of_half_the_light():
    rng = np.random.default_rng(9)
    light = 60 * (
        1 + 0.8 * np.tanh(3 * scipy.ndimage.gaussian_filter(rng.normal(size=(192, 192)), 3))
    )
    gain, offset = 2.3, 100
    found = split_correlation(gain * rng.poisson(light) + offset, 0.1, gain=gain, offset=offset)[
        "lateral"
    ]
    twice = fourier_shell_correlation(*rng.poisson(light / 2, (2, 192, 192)), 0.1)["lateral"]
    difference = (found.correlation - twice.correlation) * np.sqrt(found.count)
    assert np.sqrt(np.mean(difference[2:] ** 2)) < 1.7  # √2 if both only scatter
    assert found.resolution() == pytest.approx(twice.resolution(), rel=0.12)


def test_photons_alone_have_no_resolution():
    image = np.random.default_rng(10).poisson(30, (128, 128))
    found = split_correlation(image, 0.1)["lateral"]
    assert np.abs(found.correlation * np.sqrt(found.count)).max() < 5
    assert found.resolution(found.half_bit) == np.inf


@pytest.mark.parametrize(
    ("first", "second", "spacing", "words"),
    [
        (np.ones((9, 9)), np.ones((9, 8)), 0.1, "same shape"),
        (np.ones((4, 64, 64)), np.ones((4, 64, 64)), 0.1, "at least 8"),
        (np.ones((8, 8, 8, 8)), np.ones((8, 8, 8, 8)), 0.1, "volume"),
        (np.ones((9, 9)), np.ones((9, 9)), None, "voxel size"),
        (np.ones((9, 9)), np.ones((9, 9)), (1, 1, 1), "voxel size"),
        (np.full((9, 9), np.nan), np.ones((9, 9)), 1, "NaN"),
    ],
)
def test_what_cannot_be_correlated_is_said(first, second, spacing, words):
    with pytest.raises(DeconvError, match=words):
        fourier_shell_correlation(first, second, spacing)


def test_a_flat_image_correlates_with_nothing():
    found = fourier_shell_correlation(np.ones((16, 16)), np.ones((16, 16)), 0.1)["lateral"]
    assert np.all(found.correlation == 0)


# -- projections ---------------------------------------------------------------------------------
@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(5, 12)] * 3), st.integers(0, 1000))
def test_projections_of_cubes_are_the_maxima(shape, seed):
    volume = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    depth, height, width = shape
    montage, pixel = orthogonal_projections(volume, 0.2)
    assert pixel == 0.2
    np.testing.assert_array_equal(montage[:height, :width], volume.max(0))
    np.testing.assert_array_equal(montage[-depth:, :width], volume.max(1))
    np.testing.assert_array_equal(montage[:height, -depth:], volume.max(2).T)
    assert np.all(montage[height:-depth] == volume.min())


def test_a_micrometre_is_as_long_along_all_axes():
    volume = np.zeros((16, 32, 48), np.uint16)
    volume[4, 8, 24] = 500
    montage, pixel = orthogonal_projections(volume, (0.3, 0.1, 0.1))
    assert pixel == 0.1
    depth, gap = 48, 1
    assert montage.shape == (32 + gap + depth, 48 + gap + depth)
    spot = lambda part: scipy.ndimage.center_of_mass(part)  # noqa: E731
    # The centre of voxel 4 lies at (4 + ½)·0.3 µm of the stack's border, which is pixel 13.
    np.testing.assert_allclose(spot(montage[33:, :48]), (13, 24), atol=1e-3)
    np.testing.assert_allclose(spot(montage[:32, 49:]), (8, 13), atol=1e-3)


def test_a_plane_has_no_projections():
    with pytest.raises(DeconvError, match="projections need"):
        orthogonal_projections(np.ones((5, 5)), 0.1)
