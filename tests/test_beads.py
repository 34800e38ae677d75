"""Beads of simulated fields with known centres, and of two real ones."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from bead_fields import (
    BACKGROUND,
    FWHM,
    NO_RULES,
    SHAPE,
    SIGMA,
    SPACING,
    VOLUME,
    apart,
    bead,
    match,
    uneven,
)
from napari_deconv.background import subtract_background
from napari_deconv.beads import THRESHOLDS, Beads, Rejection, detect_beads, threshold_beads
from napari_deconv.errors import DeconvError, DeconvWarning


@pytest.fixture(scope="module")
def field():
    """Image with Poisson noise, true centres and true heights of 14 separate beads."""
    rng = np.random.default_rng(7)
    spacing = np.array(SPACING)
    places = apart(14, SHAPE, 2.3 / spacing, np.array([2.3, 0.6, 0.6]) / spacing, rng)
    heights = rng.uniform(2200, 3800, len(places))
    image = uneven(SHAPE)
    for place, height in zip(places, heights, strict=True):
        image += bead(SHAPE, place, height)
    return rng.poisson(image).astype(np.uint16), places, heights


# -- simulated fields ----------------------------------------------------------------------------


def test_every_bead_is_found_and_nothing_else(field, engine):
    image, places, heights = field
    beads = detect_beads(image, spacing=SPACING, engine=engine)
    assert beads.counts == {"accepted": 14}
    index = match(places, beads.positions)
    assert sorted(index) == list(range(14))

    error = beads.positions[index] - places
    rms = np.sqrt(np.mean(error**2, axis=0))
    assert rms[0] < 0.03
    assert rms[1] < 0.01
    assert rms[2] < 0.01

    # A voxel widens what it records by 1/12 of its variance.
    recorded = np.sqrt(SIGMA**2 + 1 / 12) * 2.3548 * SPACING
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), recorded, rtol=0.02)
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), FWHM, rtol=0.05)
    np.testing.assert_allclose(beads.flux[index], heights * VOLUME, rtol=0.05)
    level = uneven(SHAPE)[tuple(np.rint(places).astype(int).T)]
    np.testing.assert_allclose(beads.background[index], level, rtol=0.05)
    assert beads.r_squared.min() > 0.97
    assert np.all(np.diff(beads.flux) <= 0)


def test_engines_find_the_same(field):
    image = field[0]
    cpu, opencl = (
        detect_beads(image, spacing=SPACING, engine=engine) for engine in ("cpu", "opencl")
    )
    np.testing.assert_allclose(opencl.positions, cpu.positions, atol=1e-3)
    np.testing.assert_allclose(opencl.fwhm, cpu.fwhm, rtol=1e-3)
    np.testing.assert_array_equal(opencl.status, cpu.status)


def test_noiseless_beads_are_localised_to_a_thousandth():
    rng = np.random.default_rng(3)
    for _ in range(10):
        place = np.array([15, 20, 20]) + rng.uniform(-0.5, 0.5, 3)
        image = bead((31, 41, 41), place, 1000.0) + 50
        beads = detect_beads(image, fwhm=SIGMA * 2.3548, reject=NO_RULES, engine="cpu")
        np.testing.assert_allclose(beads.positions, [place], atol=1e-3)
        np.testing.assert_allclose(beads.flux, 1000 * VOLUME, rtol=5e-3)


@pytest.mark.parametrize("method", ["dog", *THRESHOLDS])
def test_every_method_ends_at_the_same_centres(field, method):
    image, places, _ = field
    if method in ("li", "triangle"):
        image = subtract_background(image)
    threshold = 800.0 if method == "manual" else None
    beads = detect_beads(image, spacing=SPACING, method=method, threshold=threshold, engine="cpu")
    index = match(places, beads.positions)
    assert np.all(index >= 0)
    assert np.sqrt(np.mean((beads.positions[index] - places) ** 2)) < 0.02
    assert beads.accepted[index].sum() >= 12


def test_planes(engine):
    rng = np.random.default_rng(5)
    shape, spacing, sigma = (150, 170), (0.1, 0.08), np.array([1.5, 1.8])
    places = apart(10, shape, 2.2 / np.array(spacing), 12, rng)
    image = uneven(shape) + sum(bead(shape, place, 3000, sigma) for place in places)
    beads = detect_beads(rng.poisson(image).astype(np.uint16), spacing=spacing, engine=engine)
    assert beads.counts == {"accepted": 10}
    index = match(places, beads.positions)
    assert np.sqrt(np.mean((beads.positions[index] - places) ** 2)) < 0.02
    recorded = np.sqrt(sigma**2 + 1 / 12) * 2.3548 * spacing
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), recorded, rtol=0.03)
    assert beads.positions.shape == beads.fwhm.shape == beads.r_squared.shape == (10, 2)


def test_without_a_voxel_size_lengths_are_in_voxels(field):
    image, places, _ = field
    beads = detect_beads(image, engine="cpu")
    assert beads.spacing is None
    assert match(places, beads.positions[beads.accepted]).min() >= 0
    recorded = np.sqrt(SIGMA**2 + 1 / 12) * 2.3548
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), recorded, rtol=0.02)


def test_eight_bit_images_whose_background_has_no_spread():
    rng = np.random.default_rng(11)
    places = apart(8, SHAPE, 2.3 / np.array(SPACING), [12, 8, 8], rng)
    image = 3.0 + sum(bead(SHAPE, place, 90) for place in places)
    image = np.rint(image + rng.normal(0, 0.1, SHAPE)).astype(np.uint8)
    assert np.median(np.abs(image.astype(int) - np.median(image).astype(int))) == 0
    beads = detect_beads(image, spacing=SPACING, engine="cpu")
    assert beads.counts == {"accepted": 8}
    assert match(places, beads.positions).min() >= 0


def test_dim_beads_in_noise():
    rng = np.random.default_rng(2)
    places = apart(10, SHAPE, 2.3 / np.array(SPACING), [12, 8, 8], rng)
    image = BACKGROUND + sum(bead(SHAPE, place, 250) for place in places)
    beads = detect_beads(rng.poisson(image), spacing=SPACING, engine="cpu")
    index = match(places, beads.positions)
    assert np.all(index >= 0)
    assert len(beads) <= 11
    assert np.sqrt(np.mean((beads.positions[index] - places) ** 2)) < 0.05


def test_expected_size_is_that_of_a_point_and_a_sphere(field):
    image, places, _ = field
    for options in ({"fwhm": FWHM}, {"fwhm": FWHM, "bead_diameter": 0.1}):
        beads = detect_beads(image, spacing=SPACING, engine="cpu", **options)
        assert match(places, beads.positions[beads.accepted]).min() >= 0


@pytest.mark.parametrize("width", [(1.4, 1.6, 1.6), (3.0, 8.0, 6.0), (5.0, 15.0, 15.0)])
def test_beads_of_any_size_are_found_unasked(width):
    rng = np.random.default_rng(4)
    shape = (40, 170, 170)
    sigma = np.array(width) / 2.3548
    places = [(20.2, 40.1, 45.3), (19.6, 125.2, 41.7), (20.0, 48.4, 126.0), (20.3, 124.5, 120.2)]
    image = BACKGROUND + sum(bead(shape, place, 1500, sigma) for place in places)
    beads = detect_beads(rng.poisson(image), engine="cpu")
    assert match(np.array(places), beads.positions[beads.accepted]).min() >= 0
    recorded = np.sqrt(sigma**2 + 1 / 12) * 2.3548
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), recorded, rtol=0.04)


def test_a_coarse_z_step_hides_no_beads():
    shape, sigma = (12, 90, 90), np.array([0.9, 4, 4]) / 2.3548
    places = [(6, y, x) for y in (20, 60) for x in (25, 65)]
    light = sum(bead(shape, place, 3000, sigma) for place in places)
    image = np.random.default_rng(0).poisson(light + 20).astype("f4")
    for fwhm in (None, (0.9, 4, 4)):
        found = detect_beads(image, fwhm=fwhm)
        assert found.accepted.sum() == len(places)
        np.testing.assert_allclose(found.fwhm[:, 1:], 4, rtol=0.05)


def test_hot_pixels_are_no_beads():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 2, (20, 80, 80))
    places = rng.integers(8, (12, 72, 72), (12, 3))
    image[tuple(places.T)] = 400
    with pytest.warns(DeconvWarning, match="No bead"):
        found = detect_beads(image, fwhm=(3, 3, 3), method="manual", threshold=200)
    assert len(found) > 0
    assert not found.accepted.any()
    assert (found.fwhm == 0).all()


def test_a_clump_does_not_hide_the_beads(field):
    image, places, _ = field
    clump = bead(SHAPE, (20, 75, 80), 40_000, 4 * SIGMA)
    beads = detect_beads(image + clump, spacing=SPACING, engine="cpu")
    far = np.linalg.norm((places - (20, 75, 80)) * SPACING, axis=1) > 3.5
    assert far.sum() >= 5
    assert np.all(match(places[far], beads.positions[beads.accepted]) >= 0)


def test_a_given_background_is_used(field):
    image, places, heights = field
    level = uneven(SHAPE)
    beads = detect_beads(image, spacing=SPACING, background=level, engine="cpu")
    index = match(places, beads.positions)
    np.testing.assert_allclose(beads.flux[index], heights * VOLUME, rtol=0.05)
    beads = detect_beads(image, spacing=SPACING, background=0.0, engine="cpu", reject=NO_RULES)
    assert np.all(beads.background == 0)
    box = np.prod(2 * np.ceil(1.5 * np.array(FWHM) / SPACING) + 1)
    index = match(places, beads.positions)
    assert np.all(beads.flux[index] - heights * VOLUME > 0.7 * BACKGROUND * box)


# -- real fields ---------------------------------------------------------------------------------


def test_hoogenboom_beads(data_dir):
    image = tifffile.imread(data_dir / "beads/hoogenboom_200nm_na095_zyx300x108x108.tif")
    beads = detect_beads(image, spacing=(0.3, 0.108, 0.108), engine="cpu")
    assert beads.counts == {"accepted": 37, "neighbour": 4}
    widths = np.median(beads.fwhm[beads.accepted], axis=0)
    np.testing.assert_allclose(widths, (0.858, 0.398, 0.400), rtol=0.03)
    otsu = detect_beads(image, spacing=(0.3, 0.108, 0.108), method="otsu", engine="cpu")
    assert otsu.counts["accepted"] == 37
    np.testing.assert_allclose(
        np.sort(otsu.positions, axis=0), np.sort(beads.positions, axis=0), atol=1e-2
    )


def test_haase_beads(data_dir):
    image = tifffile.imread(data_dir / "beads/haase_Bead_Image1_crop.tif")
    expected = json.loads((data_dir / "expected.json").read_text())
    centres = np.array(expected["haase_peer_bead_centroids_xyz_px"])[:, ::-1]
    spacing = (0.125, 0.02249, 0.02249)
    with pytest.warns(DeconvWarning, match="4 of 4 were closer than 2 µm"):
        detect_beads(image, spacing=spacing, engine="cpu")
    beads = detect_beads(
        image, spacing=spacing, reject=Rejection(neighbour_distance=0.5), engine="cpu"
    )
    assert beads.counts == {"accepted": 4}
    nearest = cdist(centres, beads.positions)
    assert sorted(nearest.argmin(axis=1)) == [0, 1, 2, 3]
    assert nearest.min(axis=1).max() < 1.5
    np.testing.assert_allclose(np.median(beads.fwhm, axis=0), (0.537, 0.227, 0.161), rtol=0.06)


# -- properties ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=12)
@given(
    centre=st.tuples(st.floats(11, 13), st.floats(11, 15), st.floats(11, 15)),
    offset=st.integers(0, 5000),
    axis=st.integers(0, 2),
)
def test_flips_and_offsets_do_not_move_beads(centre, offset, axis):
    shape = (25, 27, 27)
    image = bead(shape, centre, 1000.0)
    options = {"fwhm": SIGMA * 2.3548, "reject": NO_RULES, "engine": "cpu"}
    plain = detect_beads(image, **options)
    flipped = detect_beads(np.flip(image, axis) + offset, **options)
    expected = plain.positions.copy()
    expected[:, axis] = shape[axis] - 1 - expected[:, axis]
    np.testing.assert_allclose(flipped.positions, expected, atol=2e-3)
    np.testing.assert_allclose(flipped.flux, plain.flux, rtol=1e-2)


def test_the_image_is_not_modified(field):
    image = field[0].astype(np.float32)
    before = image.copy()
    detect_beads(image, spacing=SPACING, engine="cpu")
    threshold_beads(image, "local", engine="cpu")
    np.testing.assert_array_equal(image, before)


def test_noise_alone_gives_finite_numbers_or_an_error():
    rng = np.random.default_rng(0)
    for image in (rng.normal(size=(12, 40, 40)), rng.poisson(3, (50, 50)), rng.random((2, 9, 9))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeconvWarning)
                beads = detect_beads(image, method="otsu", fwhm=2.0, engine="cpu")
        except DeconvError:
            continue
        for values in (beads.positions, beads.flux, beads.height, beads.fwhm, beads.r_squared):
            assert np.all(np.isfinite(values))


# -- tables --------------------------------------------------------------------------------------


def test_table_and_file_hold_everything(field, tmp_path):
    beads = detect_beads(field[0], spacing=SPACING, engine="cpu")
    table = beads.to_dataframe()
    assert list(table.columns) == [
        *("z", "y", "x", "z_um", "y_um", "x_um", "flux", "height", "background"),
        *("fwhm_z_um", "fwhm_y_um", "fwhm_x_um", "r_squared_z", "r_squared_y", "r_squared_x"),
        "status",
    ]
    np.testing.assert_array_equal(table[["z", "y", "x"]], beads.positions)
    np.testing.assert_allclose(table["x_um"], beads.positions[:, 2] * 0.08)
    beads.to_csv(tmp_path / "beads.csv")
    pandas.testing.assert_frame_equal(pandas.read_csv(tmp_path / "beads.csv"), table)
    assert [file.name for file in tmp_path.iterdir()] == ["beads.csv"]


def test_table_without_voxel_size_in_two_dimensions():
    rng = np.random.default_rng(0)
    two = np.ones((1, 2))
    beads = Beads(two, *rng.random((3, 1)), two, two, np.array(["accepted"]), None)
    assert list(beads.to_dataframe().columns) == [
        *("y", "x", "flux", "height", "background"),
        *("fwhm_y_voxels", "fwhm_x_voxels", "r_squared_y", "r_squared_x", "status"),
    ]


def test_a_failed_write_leaves_the_old_file(field, tmp_path, monkeypatch):
    beads = detect_beads(field[0], spacing=SPACING, engine="cpu")
    path = tmp_path / "beads.csv"
    path.write_text("old")
    monkeypatch.setattr(pandas.DataFrame, "to_csv", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        beads.to_csv(path)
    assert path.read_text() == "old"
    with pytest.raises(DeconvError, match="folder"):
        beads.to_csv(tmp_path / "missing" / "beads.csv")


# -- progress and errors -------------------------------------------------------------------------


def test_progress_and_cancel(field):
    class Cancelled(Exception):
        pass

    seen = []
    detect_beads(field[0], spacing=SPACING, engine="cpu", callback=seen.append)
    assert [(p.iteration, p.iterations) for p in seen] == [(i, 14) for i in range(1, 15)]

    def cancel(progress):
        if progress.iteration == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        detect_beads(field[0], spacing=SPACING, engine="cpu", callback=cancel)


@pytest.mark.parametrize("find", [detect_beads, threshold_beads])
@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((6, 9, 9), 3), "constant"),
        (np.zeros(5), "shape"),
        (np.zeros((0, 4)), "empty"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4), complex), "complex"),
        (np.zeros((20, 20, 3)), "RGB"),
    ],
)
def test_unusable_images_are_explained(find, image, words):
    with pytest.raises(DeconvError, match=words):
        find(image)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "sobel"}, "method='sobel'.*choose one of 'dog'"),
        ({"method": "manual"}, "needs a threshold"),
        ({"method": "manual", "threshold": 1e9}, "No bead found.*Lower the threshold"),
        ({"threshold": 1e9}, "No bead found.*Lower the threshold"),
        ({"threshold": float("nan")}, "threshold=nan"),
        ({"threshold": "a"}, "threshold='a'"),
        ({"method": "local", "threshold": float("nan")}, "threshold=nan"),
        ({"fwhm": "a"}, "fwhm='a': expected 3 numbers above 0"),
        ({"fwhm": 1e6, "spacing": 0.1}, "fwhm=1000000.0 µm.*more than the image.*spacing"),
        ({"fwhm": 3, "bead_diameter": 1e200}, "more than the image"),
        ({"bead_diameter": -1}, "bead_diameter=-1: expected a number, 0 or more"),
        ({"bead_diameter": "a"}, "bead_diameter='a'"),
        ({"fwhm": 0}, "fwhm=0: expected 3 numbers above 0"),
        ({"fwhm": (1, 2)}, "fwhm="),
        ({"fwhm": 3, "bead_diameter": -1}, "bead_diameter=-1"),
        ({"background": np.zeros(3)}, "background has shape"),
        ({"background": float("nan")}, "background"),
        ({"spacing": (0, 1, 1)}, "spacing"),
    ],
)
def test_wrong_parameters_are_explained(field, options, words):
    with pytest.raises(DeconvError, match=words):
        detect_beads(field[0], **options, engine="cpu")


def test_more_axes_and_too_many_spots_are_explained():
    rng = np.random.default_rng(0)
    dots = np.zeros((30, 60, 60), np.uint8)
    dots[::2, ::2, ::2] = rng.integers(50, 250, (15, 30, 30))
    with pytest.raises(DeconvError, match="Choose one channel"):
        detect_beads(dots[np.newaxis])
    with pytest.raises(DeconvError, match="Give a single plane"):
        detect_beads(dots[:1])
    with pytest.raises(DeconvError, match=r"finds 13500 spots.*noise, not beads"):
        detect_beads(dots, method="manual", threshold=20, fwhm=2.0, engine="cpu")
    with pytest.raises(DeconvError, match="nothing in the image looks like a spot"):
        detect_beads(rng.normal(size=(20, 60, 60)), engine="cpu")
