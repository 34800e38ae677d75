"""The camera's gain, from simulated images of known gain."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import deconvolve, gain
from napari_deconv.errors import DeconvError
from napari_deconv.gain import estimate_gain


def specimen(shape, seed=0):
    """Blobs and lines blurred to about three voxels, the brightest voxel 1."""
    rng = np.random.default_rng(seed)
    points = rng.random(shape) * (rng.random(shape) < 0.002)
    points[..., shape[-1] // 3] = 0.02
    blurred = scipy.ndimage.gaussian_filter(points, 1.3)
    blurred += 4 * scipy.ndimage.gaussian_filter(points, 8)
    return blurred / blurred.max()


def camera(photons, gain, offset, seed=0, read_noise=0.0):
    rng = np.random.default_rng(seed)
    electrons = rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)
    return gain * electrons + offset


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.5, 10.0])
@pytest.mark.parametrize("peak", [1000, 100])
@pytest.mark.parametrize("shape", [(12, 128, 128), (384, 384)])
def test_gain_of_a_blurred_specimen(gain, peak, shape):
    photons = peak * (specimen(shape) + 0.1)
    grey = np.rint(camera(photons, gain, 100, read_noise=1.5)).clip(0, 65535).astype(np.uint16)
    found = estimate_gain(grey)
    assert found.gain == pytest.approx(gain, rel=0.2)
    assert abs(found.gain - gain) < 3 * found.error
    # The read-out noise, and that of rounding, looks like light: its variance / gain.
    apparent = 100 - (gain**2 * 1.5**2 + 1 / 12) / gain
    assert found.offset == pytest.approx(apparent, abs=0.15 * gain * photons.mean())


def test_known_offset_makes_the_gain_of_an_even_image():
    grey = camera(np.full((8, 128, 128), 30.0), 2.0, 100)
    assert estimate_gain(grey, offset=100).gain == pytest.approx(2, rel=0.03)
    with pytest.raises(DeconvError, match="Give the offset"):
        estimate_gain(grey)


def test_few_photons_counted_one_by_one():
    found = estimate_gain(camera(2 * specimen((12, 128, 128)) + 0.05, 1, 0).astype(np.uint8))
    assert found.gain == pytest.approx(1, rel=0.15)


def test_saturated_voxels_do_not_count():
    photons = 400 * (specimen((12, 128, 128)) + 0.1)
    grey = camera(photons, 1.5, 0)
    top = np.percentile(grey, 98)
    clipped = np.minimum(grey, top).astype(np.uint8 if top < 256 else np.uint16)
    assert np.count_nonzero(clipped == clipped.max()) > 1000
    assert estimate_gain(clipped).gain == pytest.approx(1.5, rel=0.15)


def test_eight_bit_image():
    photons = 300 * (specimen((12, 128, 128)) + 0.05)
    grey = camera(photons, 1, 0)
    scale = 255 / grey.max()
    found = estimate_gain(np.rint(grey * scale).astype(np.uint8))
    assert found.gain == pytest.approx(scale, rel=0.15)


@pytest.mark.parametrize("shape", [(40, 300, 290), (900, 1000), (60, 400, 84)], ids=str)
def test_of_a_large_image_some_places_are_looked_at(monkeypatch, shape):
    grey = camera(300 * (specimen(shape) + 0.1), 1.5, 10)
    whole = estimate_gain(grey)
    monkeypatch.setattr(gain, "_VOXELS", grey.size - 1)
    monkeypatch.setattr(gain, "_BOX", (1, 68, 68))
    monkeypatch.setattr(gain, "_BOXES", 200)
    boxes = gain.noise_boxes(shape)
    seen = np.zeros(shape, int)
    for box in boxes:
        seen[box] += 1
    for axis in (-2, -1):  # as far as the borders
        assert seen.take(range(20), axis).any()
        assert seen.take(range(-20, 0), axis).any()
    assert len(boxes) == 200
    assert seen.astype(bool).mean() < 0.95
    assert estimate_gain(grey).gain == pytest.approx(whole.gain, abs=5 * whole.error)
    assert estimate_gain(grey).gain == pytest.approx(1.5, rel=0.1)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-1000, 1000))
def test_gain_goes_with_the_grey_values(scale, shift):
    grey = camera(200 * (specimen((4, 128, 128)) + 0.1), 1, 0)
    first, second = estimate_gain(grey), estimate_gain(grey * scale + shift)
    assert second.gain == pytest.approx(scale * first.gain, rel=1e-5)
    assert second.offset == pytest.approx(scale * first.offset + shift, abs=1e-3 * (1 + scale))


def test_input_is_not_modified():
    grey = camera(200 * (specimen((4, 128, 128)) + 0.1), 1, 0)
    before = grey.copy()
    estimate_gain(grey)
    np.testing.assert_array_equal(grey, before)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (specimen((12, 128, 128)), "neighbouring"),
        (np.zeros((64, 64)), "Only 0 tiles"),
        (np.rint(6 * specimen((256, 256))).astype(np.uint8), "cannot be estimated|Only"),
        (
            scipy.ndimage.gaussian_filter(camera(300 * specimen((256, 256)) + 30, 1, 0), 0.7),
            "alike",
        ),
        (scipy.ndimage.zoom(camera(300 * specimen((128, 128)) + 30, 1, 0), 2, order=1), "alike"),
        (np.random.default_rng(0).normal(300 * specimen((256, 256)) + 30, 5), "cannot"),
        (np.rint(camera(20 * (specimen((256, 256)) + 0.1), 0.1, 20)), "apart|cannot"),
        (np.ones((2, 3, 64, 64)), "one plane"),
        (np.ones((12, 12)), "at least 20"),
    ],
)
def test_no_silly_value(image, message):
    with pytest.raises(DeconvError, match=message):
        estimate_gain(image)


def test_offset_is_a_number():
    with pytest.raises(DeconvError, match="offset"):
        estimate_gain(np.ones((64, 64)), offset=np.nan)


@pytest.mark.parametrize("options", [{"read_noise": 3.0}, {"damping": 2.0}], ids=str)
def test_a_known_offset_is_as_if_it_were_not_there(options):
    image = camera(100 * (specimen((6, 40, 40)) + 0.1), 2.0, 0)
    psf = np.hanning(7)[1:-1, None] * np.hanning(9)[1:-1] * np.hanning(5)[1:-1, None, None]
    options = options | {"gain": 2.0, "iterations": 8, "engine": "cpu"}
    expected = deconvolve(image, psf, background=20.0, **options).image
    shifted = deconvolve(image + 100, psf, background=120.0, offset=100.0, **options).image
    np.testing.assert_allclose(shifted, expected, atol=1e-4 * expected.max())
    forgotten = deconvolve(image + 100, psf, background=120.0, **options).image
    assert np.abs(forgotten - expected).max() > 0.01 * expected.max()
