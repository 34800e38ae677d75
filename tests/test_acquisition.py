"""Simulated acquisitions: blur, photons and camera against what statistics say of them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import (
    DeconvError,
    DeconvWarning,
    Psf,
    acquisition,
    convolve,
    simulate_acquisition,
)
from napari_deconv.acquisition import camera_counts
from napari_deconv.psf.psf import resample_psf

STEP = (0.2, 0.1, 0.1)


def bell(shape, sigma):
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    square = sum(((a - n // 2) / s) ** 2 for a, n, s in zip(axes, shape, sigma, strict=True))
    return np.exp(-square / 2)


PSF = bell((9, 11, 11), (1.5, 1.6, 1.6))


@pytest.fixture(scope="module")
def truth():
    """A few points of different brightness, away from the border."""
    volume = np.zeros((20, 30, 32))
    volume[10, 12, 9], volume[8, 17, 20], volume[11, 15, 21] = 3, 5, 2
    return volume


# -- the blur ------------------------------------------------------------------------------------


def test_the_brightest_voxel_has_the_photons_asked_for(truth, engine):
    expected = convolve(truth, PSF, engine=engine).clip(0)
    expected *= 400 / expected.max()
    runs = [
        simulate_acquisition(truth, PSF, photons=400, background=7, seed=seed, engine=engine)
        for seed in range(60)
    ]
    assert runs[0].dtype == np.uint16
    mean = np.mean(runs, axis=0) - 7
    # each voxel is Poisson: its mean over 60 runs lies within 6 standard errors
    assert np.all(np.abs(mean - expected) < 6 * np.sqrt((expected + 7) / 60))
    assert mean.max() == pytest.approx(400, rel=0.03)


def test_flux_is_kept(truth, engine):
    """What is far from the border: all light arrives, in proportion to the object's."""
    counts = simulate_acquisition(truth, PSF, photons=1e4, background=0, engine=engine)
    blurred = convolve(truth, PSF, engine="cpu")
    assert blurred.sum() == pytest.approx(truth.sum(), rel=1e-5)
    total = 1e4 * truth.sum() / blurred.max()
    assert counts.sum() == pytest.approx(total, abs=5 * np.sqrt(total))


def test_engines_agree_before_the_noise(truth, monkeypatch):
    light = []

    def no_camera(expected, **_):
        light.append(expected)
        return np.zeros(1)

    monkeypatch.setattr(acquisition, "camera_counts", no_camera)
    for name in ("cpu", "opencl"):
        simulate_acquisition(truth, PSF, photons=500, background=20, engine=name)
    np.testing.assert_allclose(*light, rtol=0, atol=1e-5 * 500)
    assert light[0].max() == pytest.approx(520)


@pytest.mark.parametrize("boundary", ["reflect", "circular", "zero"])
def test_boundary_and_dtype_of_the_object(boundary):
    truth = np.zeros((12, 16), np.uint8)
    truth[0, 3], truth[6, 6] = 200, 100
    psf = PSF[4]
    given = {"photons": 1e9, "background": 0, "gain": 6e-5, "engine": "cpu"}
    counts = simulate_acquisition(truth, psf, boundary=boundary, **given)
    light = convolve(truth, psf, boundary=boundary, engine="cpu")
    np.testing.assert_allclose(counts, 6e4 * light / light.max(), rtol=0, atol=12)


def test_a_series_is_one_exposure(truth):
    series = np.stack([truth, truth / 10])
    done = []
    counts = simulate_acquisition(series, PSF, photons=900, engine="cpu", callback=done.append)
    assert [(state.iteration, state.iterations) for state in done] == [(1, 2), (2, 2)]
    assert counts.shape == series.shape
    assert counts[0].max() > 700
    assert 60 < counts[1].max() < 160  # a tenth of 900, and the background of 10


def test_a_psf_of_other_voxels_is_resampled(truth):
    fine = Psf(bell((18, 11, 11), (3, 1.6, 1.6)), (0.1, 0.1, 0.1))
    with pytest.warns(DeconvWarning, match="the PSF was resampled"):
        counts = simulate_acquisition(truth, fine, spacing=STEP, seed=2, engine="cpu")
    same = simulate_acquisition(truth, resample_psf(fine, STEP), spacing=STEP, seed=2, engine="cpu")
    np.testing.assert_array_equal(counts, same)
    with pytest.warns(DeconvWarning, match="the PSF was resampled"):
        blurred = convolve(truth, fine, spacing=STEP, engine="cpu")
    np.testing.assert_array_equal(blurred, convolve(truth, resample_psf(fine, STEP), engine="cpu"))


def test_the_unit_of_the_object_does_not_matter(truth):
    counts = simulate_acquisition(truth, PSF, engine="cpu")
    for unit in (1e-300, 1e14):
        other = simulate_acquisition(truth * unit, PSF, engine="cpu")
        assert np.mean(counts != other) < 1e-3


def test_nothing_gives_the_background(engine):
    counts = simulate_acquisition(np.zeros((50, 60)), PSF[4], background=4, engine=engine)
    assert counts.mean() == pytest.approx(4, abs=0.2)


# -- the camera ----------------------------------------------------------------------------------


@pytest.mark.parametrize("photons", [0.3, 4, 90, 3000])
@pytest.mark.parametrize(("gain", "read_noise"), [(1, 0), (2.2, 5), (0.7, 1.4), (8, 20)])
def test_mean_and_variance(photons, gain, read_noise):
    offset, voxels = 200, 400_000
    light = np.full(voxels, photons)
    counts = camera_counts(light, gain=gain, offset=offset, read_noise=read_noise, seed=3)
    # rounding adds 1/12, where the noise is wide enough to make it even
    variance = gain**2 * photons + read_noise**2 + (1 / 12 if read_noise else 0)
    assert counts.mean() == pytest.approx(
        gain * photons + offset, abs=5 * np.sqrt(variance / voxels) + 0.02
    )
    if gain >= 1 or read_noise:
        assert counts.var() == pytest.approx(variance, rel=0.02)


def test_photons_are_poisson():
    counts = camera_counts(np.full(200_000, 3.5), seed=1)
    values = np.arange(12)
    observed = [np.count_nonzero(counts == value) for value in values]
    expected = 200_000 * scipy.stats.poisson.pmf(values, 3.5)
    chi2 = np.sum((observed - expected) ** 2 / expected)
    assert chi2 < scipy.stats.chi2.ppf(0.9999, len(values))


def test_noise_of_voxels_is_independent():
    counts = camera_counts(np.full((300, 300), 50.0), read_noise=3, seed=5).astype(float) - 50
    for neighbour in (counts[1:, :] * counts[:-1, :], counts[:, 1:] * counts[:, :-1]):
        assert abs(neighbour.mean()) < 5 * 59 / 300  # σ² / √n


def test_the_seed_is_the_noise(truth):
    given = {"read_noise": 3, "offset": 20, "engine": "cpu"}
    first = simulate_acquisition(truth, PSF, seed=1, **given)
    np.testing.assert_array_equal(first, simulate_acquisition(truth, PSF, seed=1, **given))
    assert np.mean(first != simulate_acquisition(truth, PSF, seed=2, **given)) > 0.5


@given(
    light=st.floats(0, 1e9), gain=st.floats(1e-6, 1e3), offset=st.floats(0, 1e6),
    read_noise=st.floats(0, 1e6), bits=st.integers(1, 16),
)  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_counts_are_what_the_camera_has(light, gain, offset, read_noise, bits):
    counts = camera_counts(
        np.full(50, light), gain=gain, offset=offset, read_noise=read_noise, bits=bits
    )
    assert counts.dtype == np.uint16
    assert counts.max() <= 2**bits - 1


def test_a_large_image_has_no_seams():
    """Noise is drawn in parts: no part repeats another."""
    counts = camera_counts(np.full((1 << 22) + 1000, 100.0), seed=0)
    assert np.mean(counts[:1000] == counts[1 << 22 :]) < 0.1


def test_saturation_is_said(truth):
    with pytest.warns(DeconvWarning, match=r"voxels are saturated, at 255: lower the photons"):
        counts = simulate_acquisition(truth, PSF, photons=600, bits=8, engine="cpu")
    assert counts.max() == 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate_acquisition(truth, PSF, photons=100, bits=8, engine="cpu")


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"photons": -1}, "photons=-1: expected a number from 0 to"),
        ({"photons": np.nan}, "photons=nan"),
        ({"background": "much"}, "background='much'"),
        ({"gain": 0}, "gain=0: expected a number, 1e-06 or more"),
        ({"offset": -3}, "offset=-3"),
        ({"read_noise": -1}, "read_noise=-1"),
        ({"bits": 17}, "bits=17: expected 16 or less"),
        ({"bits": 0}, "bits=0: expected a whole number"),
        ({"seed": -1}, "seed=-1: expected a whole number of at least 0"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"boundary": "padded"}, "boundary='padded' is not known"),
        ({"spacing": (1, 1)}, r"spacing=\(1, 1\) is not a voxel size"),
    ],
)
def test_what_cannot_be_is_said(truth, given, message):
    with pytest.raises(DeconvError, match=message):
        simulate_acquisition(truth, PSF, engine="cpu", **given)


def test_objects_that_cannot_be(truth):
    with pytest.raises(DeconvError, match="The object has 1 NaN"):
        simulate_acquisition(np.where(truth == 5, np.nan, truth), PSF, engine="cpu")
    with pytest.raises(DeconvError, match="choose a PSF with as many space axes"):
        simulate_acquisition(truth[0], PSF, engine="cpu")
    with pytest.warns(DeconvWarning, match="1 of 19200 voxels of the object are below 0"):
        counts = simulate_acquisition(np.where(truth == 5, -5, truth), PSF, engine="cpu")
    zeroed = simulate_acquisition(np.where(truth == 5, 0, truth), PSF, engine="cpu")
    np.testing.assert_array_equal(counts, zeroed)
