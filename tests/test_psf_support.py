"""A PSF is cropped to the box that holds 99.9 % of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import deconvolve
from napari_deconv.psf.prepare import crop_to_support


def gaussian(shape, sigma):
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij")
    psf = np.exp(-0.5 * sum((g / sigma) ** 2 for g in grids))
    return (psf / psf.sum()).astype(np.float32)


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=3), st.floats(0.3, 8))
def test_the_box_holds_what_it_should_around_the_centre(shape, sigma):
    psf = gaussian(shape, sigma)
    cropped = crop_to_support(psf)
    assert cropped.sum() == pytest.approx(1, abs=1e-5)
    centre = tuple(n // 2 for n in cropped.shape)
    assert cropped[centre] == cropped.max()
    box = tuple(
        slice(n // 2 - m // 2, n // 2 - m // 2 + m)
        for n, m in zip(shape, cropped.shape, strict=True)
    )
    kept = psf[box]
    np.testing.assert_allclose(cropped, kept / kept.sum(), rtol=1e-4)
    assert kept.sum() >= 0.999 - 1e-5


def test_a_point_needs_one_voxel():
    psf = np.zeros((9, 8, 7), np.float32)
    psf[4, 4, 3] = 1
    assert crop_to_support(psf).shape == (1, 1, 1)


def test_wide_margins_of_a_psf_cost_nothing_and_change_little():
    image = np.random.default_rng(0).poisson(50, (24, 25))
    psf = gaussian((13, 13), 1.5)
    small = deconvolve(image, psf, background=0, iterations=5, engine="cpu")
    wide = deconvolve(image, np.pad(psf, 20), background=0, iterations=5, engine="cpu")
    assert wide.psf.shape == small.psf.shape
    np.testing.assert_array_equal(wide.image, small.image)
    whole = deconvolve(image, psf, background=0, iterations=5, boundary="circular", engine="cpu")
    assert whole.psf.shape == (13, 13)
