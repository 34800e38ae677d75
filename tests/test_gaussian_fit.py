"""Gaussian fits to line profiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deconv._gaussian_fit import fit_gaussian


def gaussian(x, amplitude, centre, fwhm, offset):
    return amplitude * 2.0 ** (-4.0 * ((x - centre) / fwhm) ** 2) + offset


@given(
    amplitude=st.floats(1e-2, 1e5),
    centre=st.floats(5, 15),
    fwhm=st.floats(1.5, 12),
    offset=st.floats(-10, 1e3),
)
def test_exact_profiles_are_recovered(amplitude, centre, fwhm, offset):
    offset *= amplitude  # beyond this, what is left of the peak is rounding
    fit = fit_gaussian(gaussian(np.arange(21), amplitude, centre, fwhm, offset))
    assert fit.centre == pytest.approx(centre, abs=1e-4)
    assert fit.fwhm == pytest.approx(fwhm, rel=1e-4)
    assert fit.amplitude == pytest.approx(amplitude, rel=1e-4)
    assert fit.offset == pytest.approx(offset, abs=1e-4 * amplitude)
    assert fit.r_squared == pytest.approx(1, abs=1e-6)


def test_r_squared_is_the_explained_share_of_the_variance():
    rng = np.random.default_rng(0)
    x = np.arange(25)
    profile = rng.normal(gaussian(x, 10, 12.3, 6, 5), 1.5)
    fit = fit_gaussian(profile)
    model = gaussian(x, fit.amplitude, fit.centre, fit.fwhm, fit.offset)
    assert fit.r_squared == pytest.approx(1 - np.var(profile - model) / np.var(profile))
    assert 0.5 < fit.r_squared < 0.99
    # At the optimum no step in any parameter is better.
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 1e-3:
        other = gaussian(x, *np.add((fit.amplitude, fit.centre, fit.fwhm, fit.offset), step))
        assert np.sum((profile - other) ** 2) > np.sum((profile - model) ** 2)


@pytest.mark.parametrize(
    "profile",
    [
        np.ones(9),
        np.array([1.0, 2.0, 3.0, 1.0]),
        np.arange(9.0),
        gaussian(np.arange(9), 1, 4, 40, 0),
    ],
    ids=["flat", "short", "ramp", "wider than the profile"],
)
def test_what_is_no_peak_gives_none(profile):
    assert fit_gaussian(profile) is None


def test_a_dip_is_explained_badly():
    fit = fit_gaussian(-gaussian(np.arange(15), 1, 7, 4, 0))
    assert fit is None or fit.r_squared < 0.5
