"""Simulated samples: objects drawn where they should be, images that the forward model explains."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import _phantoms as draw
from napari_deconv import sample_data
from napari_deconv.psf.psf import Psf

SMALL = (16, 100, 96)
SAMPLES = [
    sample_data.beads_widefield,
    sample_data.cells_widefield,
    sample_data.bars_confocal,
]


@pytest.fixture(scope="module", params=SAMPLES, ids=lambda sample: sample.__name__)
def sample(request):
    return request.param(SMALL, engine="cpu")


def gaussian_psf(shape=(9, 9, 9), sigma=1.2):
    axes = [np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * sigma**2)) for n in shape]
    return Psf(np.einsum("z,y,x->zyx", *axes), (0.2, 0.1, 0.1))


# -- drawing -------------------------------------------------------------------------------------

coordinate = st.floats(2, 6)


@settings(deadline=None)
@given(st.tuples(coordinate, coordinate, coordinate), st.floats(0.1, 10))
@pytest.mark.parametrize("taps", [draw.linear_taps, draw.cubic_taps])
def test_a_point_keeps_its_flux_and_position(taps, position, flux):
    volume = draw.deposit((9, 10, 11), np.array([position]), flux, taps)
    assert volume.sum() == pytest.approx(flux)
    for axis, where in enumerate(position):
        profile = volume.sum(axis=tuple({0, 1, 2} - {axis}))
        assert profile @ np.arange(len(profile)) / flux == pytest.approx(where)
        spread = profile @ (np.arange(len(profile)) - where) ** 2 / flux
        t = where % 1
        # the variance of two weights 1 − t and t; the cubic ones have none
        assert spread == pytest.approx(t * (1 - t) if taps is draw.linear_taps else 0, abs=1e-9)


def test_points_outside_are_left_out():
    volume = draw.deposit((4, 4, 4), np.array([[1.0, 1, 1], [-3, 1, 1], [1, 9, 1]]), 1.0)
    assert volume.sum() == pytest.approx(1)


def test_a_ball_is_centred_and_as_large_as_it_should_be():
    points = draw.ball_points(np.array([2.0, 3.0, 4.0]), 20000, np.random.default_rng(0))
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    # a uniform ball of radius r has the variance r²/5 on each axis
    np.testing.assert_allclose(points.var(axis=0), np.array([4, 9, 16]) / 5, rtol=0.02)


@settings(deadline=None)
@given(st.floats(1, 4), st.floats(0.2, 3))
def test_a_box_covers_what_it_covers(low, width):
    """Against counting points of a fine grid; voxel i reaches from i − ½ to i + ½."""
    fine = (np.arange(10 * 500) + 0.5) / 500 - 0.5
    counted = ((fine > low) & (fine < low + width)).reshape(10, 500).mean(axis=1)
    filled = draw.box((10, 10, 10), [low] * 3, [low + width] * 3)
    np.testing.assert_allclose(
        filled, np.einsum("z,y,x->zyx", counted, counted, counted), atol=0.02
    )


def test_an_ellipsoid_has_its_volume():
    filled = draw.ellipsoid((30, 40, 40), np.array([15.3, 20.1, 19.7]), np.array([8.0, 12.0, 10.0]))
    assert filled.sum() == pytest.approx(4 / 3 * np.pi * 8 * 12 * 10, rel=0.02)


def test_half_of_a_rosette_is_filled():
    star = draw.rosette((50, 60), np.array([25.2, 29.6]), 20, 12)
    assert star.sum() == pytest.approx(np.pi * 20**2 / 2, rel=0.005)
    assert (star.sum(axis=1) @ np.arange(50)) / star.sum() == pytest.approx(25.2, abs=0.02)


# -- simulation ----------------------------------------------------------------------------------


def test_simulated_counts_are_poisson_around_the_blurred_object():
    truth = np.zeros((16, 40, 40))
    truth[8, 20, 20] = 1
    psf = gaussian_psf()
    photons = 100 / psf.data.max()
    recorded = np.array(
        [
            sample_data.simulate(
                truth,
                psf,
                background=20,
                photons=photons,
                margin=(2, 3, 4),
                seed=seed,
                engine="cpu",
            )
            for seed in range(200)
        ],
        dtype=float,
    )
    assert recorded.shape[1:] == (12, 34, 32)
    expected = np.full(recorded.shape[1:], 20.0)
    expected[2:11, 13:22, 12:21] += 100 * psf.data / psf.data.max()
    error = (recorded.mean(axis=0) - expected) / np.sqrt(expected / 200)
    assert abs(error.mean()) < 0.05
    assert error.std() == pytest.approx(1, abs=0.05)
    assert (recorded.var(axis=0) / expected).mean() == pytest.approx(1, abs=0.02)


def test_light_comes_from_outside_and_the_camera_saturates():
    truth = np.zeros((16, 32, 32))
    truth[8, 2, 16] = 1
    image = sample_data.simulate(
        truth, gaussian_psf(), background=10, photons=1e4, margin=(0, 3, 0), engine="cpu"
    )
    assert image[8, 0, 16] > 100
    assert image[8, 13, 16] < 30
    bright = sample_data.simulate(
        truth, gaussian_psf(), background=10, photons=1e6, margin=(0, 2, 0), engine="cpu"
    )
    assert bright.max() == 4095


# -- samples -------------------------------------------------------------------------------------


def test_samples_are_complete_and_alike(sample):
    assert sample.image.dtype == np.uint16
    assert sample.truth.dtype == np.float32
    assert sample.image.shape == sample.truth.shape == SMALL
    assert sample.psf.spacing == sample.spacing
    assert sample.truth.min() >= 0
    assert np.broadcast_shapes(sample.background.shape, SMALL) == SMALL
    assert {"modality", "na", "wavelength", "n_immersion"} <= sample.optics.keys()


def test_samples_are_what_the_forward_model_says(sample):
    """The image is truth ⊗ psf + background, but for noise and light from outside."""
    padded = [n + m for n, m in zip(sample.truth.shape, sample.psf.shape, strict=True)]
    spectrum = np.fft.rfftn(sample.truth, padded, (0, 1, 2)) * np.fft.rfftn(
        sample.psf.data, padded, (0, 1, 2)
    )
    start = [n // 2 for n in sample.psf.shape]
    blurred = np.fft.irfftn(spectrum, padded, (0, 1, 2))[
        tuple(slice(a, a + n) for a, n in zip(start, SMALL, strict=True))
    ]
    expected = blurred + sample.background
    unsaturated = sample.image < 4095
    assert np.corrcoef(sample.image[unsaturated], expected[unsaturated])[0, 1] > 0.6
    # what is above can be light from outside; only a bead's own, narrower image can be below
    missing = (expected - sample.image)[unsaturated]
    narrower = 0.15 * blurred[unsaturated] if "diameter" in sample.optics else 0
    assert np.max(missing - narrower - 6 * np.sqrt(expected[unsaturated])) < 0


def test_samples_are_reproducible():
    first, again, other = (
        sample_data.cells_widefield((8, 32, 32), seed=seed, engine="cpu") for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert np.any(first.image != other.image)


def test_samples_open_without_a_warning_and_have_what_they_promise():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        beads = sample_data.beads_widefield(engine="cpu")
    assert beads.image.shape == (32, 256, 256)
    assert np.count_nonzero(beads.image == 4095) >= 3
    assert beads.optics["diameter"] == 0.1
    assert np.ptp(beads.background) > 10
    # the true beads: separate spots, 0.1 µm wide, the faintest a tenth of the ordinary
    from scipy.ndimage import label

    _, number = label(beads.truth > beads.truth.max() / 100)
    assert 30 <= number <= 50


def test_the_confocal_psf_is_that_of_a_pinhole_of_one_airy_unit():
    """187.8 nm wide in vectorial theory."""
    psf = sample_data.bars_confocal(SMALL, engine="cpu").psf
    z, y, x = (n // 2 for n in psf.shape)
    profile = psf.data[z, y] / psf.data[z, y, x]
    right = np.interp(-0.5, -profile[x:], np.arange(len(profile) - x))
    width = 2 * right * psf.spacing[2]
    assert width == pytest.approx(0.1878, rel=0.01)
