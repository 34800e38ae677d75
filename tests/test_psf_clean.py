"""Recorded and foreign PSFs: repaired, centred, resampled; synthetic ones left alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tifffile

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import write_image
from napari_deconv.psf.clean import clean_psf, load_psf, repair_psf
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.models import make_psf

SPACING = (0.2, 0.1, 0.1)
FWHM = (0.9, 0.4, 0.4)
OPTICS = {"na": 1.2, "wavelength": 0.52, "n_immersion": 1.33}


def bell(shape=(31, 64, 64), centre=(15, 32, 32)):
    """A Gaussian of `FWHM`, height 1."""
    axes = zip(np.ogrid[tuple(map(slice, shape))], centre, SPACING, FWHM, strict=True)
    return 2.0 ** -sum(((n - c) * s / w * 2) ** 2 for n, c, s, w in axes)


@pytest.fixture(scope="module")
def recording():
    """What a camera makes of a bead: photons, noise, an offset of 100."""
    rng = np.random.default_rng(3)
    photons = rng.poisson(3000 * bell(centre=(17, 29, 36)) + 2)
    values = np.rint(photons + rng.normal(98, 3, photons.shape)).astype(np.uint16)
    values.flags.writeable = False
    return values


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_recording_loses_its_offset_and_is_centred(recording, dtype):
    with pytest.warns(DeconvWarning) as caught:
        psf, steps = clean_psf(recording.astype(dtype), SPACING, metadata={"bead": 3})
    assert [str(warning.message) for warning in caught] == steps
    assert {warning.filename for warning in caught} == {__file__}
    assert len(steps) == 2
    assert steps[0].startswith("The PSF had an offset of 100 (0.033 of its peak, ")
    assert "(2, -3, 4) voxels off its centre" in steps[1]
    assert psf.metadata == {"bead": 3, "cleaned": steps}
    report = measure_psf(psf)
    assert report.fwhm == pytest.approx(FWHM, rel=0.02)
    assert report.centre == pytest.approx([n // 2 for n in psf.shape], abs=0.05)
    # Without its floor and the noise of that, all of the light is where the bead's is.
    assert report.flux_outside < 0.01
    assert measure_psf(np.maximum(recording - 100.0, 0), SPACING).flux_outside > 0.3


def test_dim_light_around_the_peak_is_kept():
    rng = np.random.default_rng(4)
    y, x = np.ogrid[:128, :128]
    radius = np.hypot(y - 64, x - 64)
    ring = (radius > 12) & (radius < 20)
    truth = 5000 * 2.0 ** -((radius / 2) ** 2) + 20 * ring
    psf, _ = cleaned(rng.poisson(truth + 100))
    assert psf.data.sum(where=ring) == pytest.approx((truth * ring).sum() / truth.sum(), rel=0.05)


def cleaned(values, spacing=0.1):
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        return clean_psf(values, spacing)


@pytest.mark.parametrize("size", [(9, 9), (65, 65), (5, 9, 9), (9, 17, 17), (33, 65, 65)])
@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("gaussian", {"fwhm": 0.4}),
        ("lorentzian", {"fwhm": 0.4}),
        ("born_wolf", OPTICS),
        ("gibson_lanni", OPTICS),
        ("gibson_lanni", OPTICS | {"n_sample": 1.38, "depth": 10.0}),
    ],
)
def test_what_lenses_make_stays_as_it_is(model, parameters, size):
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):  # small windows
        psf = make_psf(model, shape=size, spacing=0.1, engine="cpu", **parameters)
    again, steps = clean_psf(psf.data, psf.spacing)
    assert steps == []
    assert again.metadata == {}
    np.testing.assert_array_equal(again.data, psf.data)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 5, 5), (7, 7), (11, 9, 9), (13, 13)])
@pytest.mark.parametrize("modality", ["widefield", "spinning_disk", "light_sheet", "sted"])
@pytest.mark.parametrize("spacing", [0.01, 0.03])
def test_a_window_that_shows_the_top_of_a_peak_has_no_floor(size, modality, spacing):
    given = {
        "widefield": {},
        "spinning_disk": {"excitation": 0.488, "pinhole_distance": 1.0},
        "light_sheet": {"excitation": 0.488, "illumination_na": 0.1},
        "sted": {"excitation": 0.6, "depletion": 0.77},
    }[modality]
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):  # small windows
        psf = make_psf(
            "vectorial", shape=size, spacing=spacing, na=1.4, wavelength=0.52, modality=modality,
            engine="cpu", **given,
        )  # fmt: skip
    again, steps = clean_psf(psf.data, psf.spacing)
    assert steps == []
    np.testing.assert_array_equal(again.data, psf.data)


@pytest.mark.parametrize("shape", [(13, 13), (11, 11, 11), (21, 17, 17), (31, 64, 64)])
def test_the_offset_of_small_crops_is_found(shape):
    centre = tuple(n // 2 for n in shape)
    peak = bell((1, *shape)[-3:], (0, *centre)[-3:]).reshape(shape)
    values = np.random.default_rng(5).poisson(400 * peak + 200)
    _, steps = repair_quietly(values)
    assert steps[0].startswith("The PSF had an offset of 2")


def repair_quietly(values):
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        return repair_psf(values)


def test_zeros_around_a_peak_stay():
    values = np.zeros((9, 40, 40), np.uint8)
    values[3:6, 18:23, 18:23] = 200
    repaired, steps = repair_psf(values)
    assert steps == []
    assert np.shares_memory(repaired, values)


def test_bad_voxels_take_the_nearest_value():
    values = bell()
    values[15, 32, 32] = np.nan
    values[0, 0, :3] = np.inf
    with pytest.warns(DeconvWarning, match="4 NaN or infinite voxels"):
        psf, steps = clean_psf(values, SPACING)
    assert len(steps) == 1
    expected = bell()
    expected[15, 32, 32] = expected[15, 32, 31]
    expected[0, 0, :3] = expected[0, 0, 3]
    np.testing.assert_allclose(psf.data, expected / expected.sum(), rtol=1e-5, atol=1e-12)
    assert np.isnan(values[15, 32, 32])


def test_negative_values_are_set_to_zero():
    values = bell()
    values[3, 3, 3] = -0.02 * values.sum()
    with pytest.warns(DeconvWarning, match="1 negative voxels, 0.02 of the sum"):
        psf, _ = clean_psf(values, SPACING)
    assert psf.data[3, 3, 3] == 0
    values[3, 3, 3] = -1e-20  # rounding is not worth a word
    assert clean_psf(values, SPACING)[1] == []


def test_resampled_to_the_image():
    with pytest.warns(DeconvWarning, match="0.2 × 0.1 × 0.1 µm, the image's 0.3 × 0.15 × 0.15 µm"):
        psf, steps = clean_psf(bell(), SPACING, image_spacing=(0.3, 0.15, 0.15))
    assert len(steps) == 1
    assert psf.spacing == (0.3, 0.15, 0.15)
    assert measure_psf(psf).fwhm == pytest.approx(FWHM, rel=0.06)  # integrated over voxels
    with pytest.raises(DeconvError, match="more than 100 times apart"):
        clean_psf(bell(), SPACING, image_spacing=100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((9, 9), np.nan), "81 NaN or infinite voxels of 81"),
        (np.zeros((9, 9)), "no value above 0"),
        (-np.ones((9, 9)), "no value above 0"),
        (np.full((9, 9), 7), "offset|no peak|does not rise"),
        (np.random.default_rng(0).poisson(100, (9, 40, 40)), "does not rise above the noise"),
        (np.ones((3, 9, 9, 9)), "one channel"),
        (np.ones((9, 9), complex), "complex"),
        (np.ma.masked_equal(np.eye(9), 0), "masked array"),
    ],
)
def test_what_cannot_be_repaired(values, message):
    with pytest.raises(DeconvError, match=message):
        measure_psf(clean_psf(values, 0.1)[0])


# -- files ---------------------------------------------------------------------------------------


def test_any_tiff_loads(tmp_path, recording):
    tifffile.imwrite(
        tmp_path / "imagej.tif", recording, imagej=True, resolution=(10, 10),
        metadata={"spacing": 0.2, "unit": "um", "axes": "ZYX"},
    )  # fmt: skip
    tifffile.imwrite(tmp_path / "plain.tif", recording)
    write_image(tmp_path / "ome.ome.tif", recording, SPACING)
    with pytest.warns(DeconvWarning, match="offset of 100"):
        psf, steps = load_psf(tmp_path / "imagej.tif")
    assert psf.spacing == pytest.approx(SPACING)
    assert psf.metadata == {"cleaned": steps}
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        for name in ("plain.tif", "ome.ome.tif"):
            other, _ = load_psf(tmp_path / name, SPACING)
            np.testing.assert_array_equal(other.data, psf.data)
    with pytest.raises(DeconvError, match="states no voxel size"):
        load_psf(tmp_path / "plain.tif")


def test_own_files_are_not_touched(tmp_path):
    flat = Psf(np.random.default_rng(0).random((9, 9)) + 9, 0.1, {"model": "mine"})
    flat.save(tmp_path / "psf.tif")
    psf, steps = load_psf(tmp_path / "psf.tif")
    assert steps == []
    assert psf.metadata == flat.metadata
    np.testing.assert_array_equal(psf.data, flat.data)


def test_a_cleaned_psf_survives_its_file(tmp_path, recording):
    psf, _ = cleaned(recording, SPACING)
    psf.save(tmp_path / "psf.ome.tif")
    again, steps = load_psf(tmp_path / "psf.ome.tif")
    assert steps == []
    assert again.metadata == psf.metadata
    np.testing.assert_array_equal(again.data, psf.data)
