"""Measuring PSFs of known widths, positions and shapes."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.measure import axis_profiles, measure_psf, radial_contrast
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.models import make_psf

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")


def gaussian(shape, spacing, fwhm, centre):
    """Samples of a Gaussian; centre in voxels."""
    axes = np.ix_(
        *(
            2 * (np.arange(n) - c) * s / w
            for n, c, s, w in zip(shape, centre, spacing, fwhm, strict=True)
        )
    )
    return 2.0 ** -sum(x**2 for x in axes)


@given(
    st.sampled_from([(31, 40, 41), (40, 41)]),
    st.tuples(*[st.floats(0.35, 0.8)] * 3),
    st.tuples(*[st.floats(-3.0, 3.0)] * 3),
)
@settings(deadline=None, max_examples=30)
def test_gaussians_are_measured_exactly(shape, fwhm, shift):
    ndim = len(shape)
    spacing, fwhm = (0.2, 0.1, 0.1)[-ndim:], (2 * fwhm[0], *fwhm[1:])[-ndim:]
    centre = tuple(n / 2 + s for n, s in zip(shape, shift[-ndim:], strict=True))
    report = measure_psf(gaussian(shape, spacing, fwhm, centre), spacing)
    assert report.fwhm == pytest.approx(fwhm, rel=1e-3)
    assert report.fwhm_half_maximum == pytest.approx(fwhm, rel=5e-3)
    assert report.centre == pytest.approx(centre, abs=2e-3)
    assert min(report.r_squared) > 0.99999
    assert report.asymmetry == pytest.approx(fwhm[-1] / fwhm[-2] - 1, abs=2e-3)
    assert report.flux_outside < 1e-5


@quiet
def test_airy_half_maximum():
    psf = make_psf("born_wolf", shape=(81, 80), spacing=0.03, na=1.4, wavelength=0.52,
                   pixel_integration=False, engine="cpu")  # fmt: skip
    report = measure_psf(psf)
    expected = 0.51450 * 0.52 / 1.4
    assert report.fwhm_half_maximum == pytest.approx((expected, expected), rel=2e-4)
    assert report.fwhm == pytest.approx((expected, expected), rel=0.05)
    assert report.centre == pytest.approx((40, 40), abs=1e-6)
    assert report.asymmetry == pytest.approx(0, abs=1e-6)


@quiet
def test_born_wolf_axial_half_maximum():
    psf = make_psf("born_wolf", shape=(61, 31, 31), spacing=(0.1, 0.08, 0.08), na=1.4,
                   wavelength=0.52, pixel_integration=False, engine="cpu")  # fmt: skip
    expected = 1.7718 * 1.515 * 0.52 / 1.4**2
    assert measure_psf(psf).fwhm_half_maximum[0] == pytest.approx(expected, rel=1e-3)


def test_flux_outside_counts_what_is_far():
    psf = gaussian((61, 61), (0.1, 0.1), (0.5, 0.5), (30, 30))
    distance = 0.1 * np.hypot(*(np.mgrid[:61, :61] - 30))
    far, near = (distance > 1.6) & (distance < 2), (distance > 0.9) & (distance < 1.4)
    stray = psf + far * psf.sum() / (4 * far.sum())
    assert measure_psf(stray, 0.1).flux_outside == pytest.approx(0.2, abs=1e-4)
    assert measure_psf(psf + near * psf.sum() / (400 * near.sum()), 0.1).flux_outside < 1e-4


def test_noise_and_a_pedestal_are_survived():
    rng = np.random.default_rng(5)
    fwhm = (0.8, 0.3, 0.3)
    clean = gaussian((31, 41, 41), (0.2, 0.08, 0.08), fwhm, (15.3, 20.2, 19.6))
    image = rng.poisson(2000 * clean + 20).astype(np.uint16)
    report = measure_psf(image, (0.2, 0.08, 0.08))
    assert report.fwhm == pytest.approx(fwhm, rel=0.04)
    assert report.centre == pytest.approx((15.3, 20.2, 19.6), abs=0.06)


@given(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)), st.floats(-2, 2))
@settings(deadline=None, max_examples=20)
def test_the_tilt_of_a_sheared_gaussian(tilt, shift):
    spacing, centre = (0.2, 0.08, 0.08), (15 + shift, 20.2, 19.6)
    z, y, x = (
        (n - c) * s for n, c, s in zip(np.ogrid[:31, :41, :41], centre, spacing, strict=True)
    )
    sheared = 2.0 ** -(
        (z / 0.4) ** 2 + ((y - tilt[0] * z) / 0.15) ** 2 + ((x - tilt[1] * z) / 0.15) ** 2
    )
    report = measure_psf(sheared, spacing)
    assert report.tilt == pytest.approx(tilt, abs=2e-3)
    if tilt == (0, 0):
        assert report.focal_shift == pytest.approx(0.2 * shift, abs=1e-3)
    # Shearing leaves each plane as it is.
    assert report.mtf10 == pytest.approx(gaussian_mtf10(0.3), rel=2e-3)


def gaussian_mtf10(fwhm):
    """Where exp(−2π²σ²f²) = 0.1."""
    sigma = fwhm / math.sqrt(8 * math.log(2))
    return math.sqrt(math.log(10) / 2) / (math.pi * sigma)


def test_the_focal_shift():
    values = gaussian((31, 41, 41), (0.2, 0.08, 0.08), (0.8, 0.3, 0.3), (16.5, 20, 20))
    assert measure_psf(values, (0.2, 0.08, 0.08)).focal_shift == pytest.approx(0.3, abs=1e-4)


def test_tilt_takes_three_planes():
    values = gaussian((21, 41, 41), (1.0, 0.08, 0.08), (1.9, 0.3, 0.3), (10.5, 20, 20))
    assert measure_psf(values, (1.0, 0.08, 0.08)).tilt == pytest.approx((0, 0), abs=1e-9)
    values = gaussian((21, 41, 41), (1.0, 0.08, 0.08), (1.2, 0.3, 0.3), (10.5, 20, 20))
    assert measure_psf(values, (1.0, 0.08, 0.08)).tilt == ()


@quiet
def test_contrast_of_the_airy_pattern():
    psf = make_psf("born_wolf", shape=(257, 257), spacing=0.05, na=1.4, wavelength=0.52,
                   pixel_integration=False, engine="cpu")  # fmt: skip
    frequency, contrast = radial_contrast(psf)
    relative = np.minimum(frequency / (2 * 1.4 / 0.52), 1)
    expected = 2 / np.pi * (np.arccos(relative) - relative * np.sqrt(1 - relative**2))
    assert frequency[-1] == pytest.approx(10, abs=0.05)
    np.testing.assert_allclose(contrast, expected, atol=0.006)  # the window cuts the rings
    exact = np.interp(-0.1, -expected, frequency)
    assert measure_psf(psf).mtf10 == pytest.approx(exact, rel=2e-3)


def test_coarse_voxels_reach_no_tenth():
    values = gaussian((41, 41), (0.2, 0.2), (0.5, 0.5), (20, 20))
    assert gaussian_mtf10(0.5) < 2.5
    assert measure_psf(values, 0.2).mtf10 == pytest.approx(gaussian_mtf10(0.5), rel=5e-3)
    values = gaussian((41, 41), (0.2, 0.2), (0.3, 0.3), (20, 20))
    assert gaussian_mtf10(0.3) > 2.5
    assert measure_psf(values, 0.2).mtf10 is None


def test_a_z_step_wider_than_the_focus_is_no_obstacle():
    def made(step):
        with warnings.catch_warnings(action="ignore", category=DeconvWarning):  # undersampled
            return make_psf("vectorial", shape=(21, 31, 31), spacing=(step, 0.1, 0.1), na=1.4,
                            wavelength=0.52, n_immersion=1.515, engine="cpu")  # fmt: skip

    coarse, fine = measure_psf(made(0.5)), measure_psf(made(0.1))
    assert coarse.fwhm[0] == pytest.approx(fine.fwhm[0], rel=0.15)
    assert coarse.fwhm[1:] == pytest.approx(fine.fwhm[1:], rel=1e-3)


def test_profiles_pass_through_the_centre():
    spacing, fwhm = (0.2, 0.08, 0.08), (0.8, 0.3, 0.35)
    psf = Psf(gaussian((31, 41, 41), spacing, fwhm, (15.3, 20.2, 19.6)), spacing)
    for axis, width, profile in zip("zyx", fwhm, axis_profiles(psf), strict=True):
        assert profile.axis == axis
        assert profile.fit.fwhm == pytest.approx(width, rel=1e-3)
        bell = 2.0 ** -((2 * profile.positions / width) ** 2)
        np.testing.assert_allclose(profile.values, bell / bell.max(), atol=2e-3)
        assert profile.fit.amplitude * bell.max() == pytest.approx(1, abs=2e-3)


def test_psf_and_array_are_one():
    values = gaussian((21, 25, 24), (0.2, 0.1, 0.1), (0.8, 0.4, 0.3), (10, 12, 12))
    psf = Psf(values, (0.2, 0.1, 0.1))
    assert measure_psf(psf) == measure_psf(values, (0.2, 0.1, 0.1))
    doubled = measure_psf(psf, (0.4, 0.2, 0.2))
    assert doubled.fwhm == pytest.approx([2 * width for width in measure_psf(psf).fwhm])


def test_the_report_is_plain_json():
    values = gaussian((25, 24), (0.1, 0.1), (0.4, 0.3), (12, 12))
    report = measure_psf(values, 0.1)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain == report.to_dict()
    assert plain["fwhm"] == list(report.fwhm)
    assert set(plain) == {
        "fwhm", "fwhm_half_maximum", "r_squared", "centre", "asymmetry", "tilt", "focal_shift",
        "flux_outside", "mtf10",
    }  # fmt: skip
    assert (plain["tilt"], plain["focal_shift"]) == ([], None)


@pytest.mark.parametrize(
    ("values", "spacing", "message"),
    [
        (np.ones((9, 9)), None, "voxel size"),
        (np.ones((9, 9)), 0.1, "no peak with flanks along y"),
        (np.ones((1, 9, 9)), 0.1, "no peak with flanks along z"),
        (np.ones((9, 9)), (0.1, 0.1, 0.1), "2 numbers"),
        (np.zeros((9, 9)), 0.1, "no value above 0"),
        (gaussian((9, 31, 31), (0.1,) * 3, (3.0, 0.4, 0.4), (4, 15, 15)), 0.1, "along z"),
        (gaussian((31, 31), (0.1,) * 2, (0.4, 0.4), (15, 30)), 0.1, "along x"),
    ],
)
def test_what_cannot_be_measured(values, spacing, message):
    with pytest.raises(DeconvError, match=message):
        measure_psf(values, spacing)


def test_real_bead(data_dir):
    path = data_dir / "psf/pyotf_psf_wl520nm_z300nm_x130nm_na0.85_n1.0.tif"
    image = np.clip(tifffile.imread(path).astype(float) - 135, 0, None)
    report = measure_psf(image, (0.3, 0.13, 0.13))
    assert report.fwhm_half_maximum == pytest.approx((1.278, 0.405, 0.390), rel=0.015)
    assert report.fwhm == pytest.approx((1.278, 0.405, 0.390), rel=0.04)
    assert min(report.r_squared) > 0.98
    assert all(math.isfinite(value) for value in (report.asymmetry, report.flux_outside))


def test_averaged_beads(data_dir):
    path = next((data_dir / "beads").glob("hoogenboom_peer_psf_av_*.tif"))
    report = measure_psf(tifffile.imread(path), (0.06, 0.0216, 0.0216))
    assert report.fwhm == pytest.approx((0.867, 0.406, 0.407), rel=0.02)
