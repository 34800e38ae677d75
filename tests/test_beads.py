"""Beads of simulated fields with known centres, and of two real ones."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas
import pytest
import skimage.filters
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label
from scipy.spatial.distance import cdist
from scipy.special import erf

from napari_deconv.background import subtract_background
from napari_deconv.beads import THRESHOLDS, Beads, Rejection, detect_beads, threshold_beads
from napari_deconv.errors import DeconvError, DeconvWarning

SPACING = (0.2, 0.08, 0.08)
FWHM = (0.7, 0.27, 0.24)
SHAPE = (40, 150, 160)
BACKGROUND = 100.0
SIGMA = np.array(FWHM) / SPACING / 2.3548
VOLUME = np.prod(SIGMA * np.sqrt(2 * np.pi))  # flux of a bead of height 1
RULES = ("edge", "neighbour", "saturated", "brightness", "doublet", "fit", "correlation")
NO_RULES = Rejection(**dict.fromkeys(RULES, False))


def bead(shape, centre, height, sigma=SIGMA):
    """Integrate a Gaussian bead over the voxels."""
    image = np.array(height * np.prod(np.sqrt(2 * np.pi) * np.asarray(sigma)))
    for size, c, s in zip(shape, centre, sigma, strict=True):
        edges = erf((np.arange(size + 1) - 0.5 - c) / (s * np.sqrt(2)))
        image = np.multiply.outer(image, np.diff(edges) / 2)
    return image


def apart(count, shape, distance, margin, rng):
    """Random places at least `distance` from each other along some axis."""
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(margin, np.array(shape) - 1 - margin)
        if all(np.any(np.abs(place - other) > distance) for other in places):
            places.append(place)
    return np.array(places)


def uneven(shape):
    ramp = np.linspace(0.8, 1.3, shape[-1]) * np.linspace(1.1, 0.9, shape[-2])[:, np.newaxis]
    return np.broadcast_to(BACKGROUND * ramp, shape).copy()


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


def match(truth, found):
    """Index of the found bead at each true place, or -1."""
    distances = cdist(truth, found)
    nearest = distances.argmin(axis=1)
    return np.where(distances.min(axis=1) < 1, nearest, -1)


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


# -- rules ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flawed():
    """Seven good beads and one or two for each rule: image, good places, {rule: places}."""
    shape = (48, 240, 240)
    good = [(24, y, x) for y in (40.3, 120.1, 200.4) for x in (40.2, 120.4, 200.3)][:7]
    image = np.full(shape, BACKGROUND)
    for place in good:
        image += bead(shape, place, 2000)
    flaws = {
        "edge": [(24, 80, 3.2), (6.2, 160, 160)],
        "neighbour": [(24, 80.2, 80.1), (24, 95.3, 84.2)],
        "saturated": [(24, 80.3, 160.2)],
        "brightness": [(24, 160.1, 80.3)],
        "doublet": [(24, 200.2, 120.0)],
        "fit": [(24, 200.3, 200.1)],
        "correlation": [(24, 160.2, 22.3)],
    }
    for place in flaws["edge"] + flaws["neighbour"]:
        image += bead(shape, place, 2000)
    image += bead(shape, flaws["saturated"][0], 5500)
    image += bead(shape, flaws["brightness"][0], 500)
    for shift in (-1.6, 1.6):
        image += bead(shape, np.add(flaws["doublet"][0], (0, 0, shift)), 1200)
    blinking = np.where(np.arange(48) % 2, 0.3, 1.0)[:, np.newaxis, np.newaxis]
    image += blinking * bead(shape, flaws["fit"][0], 2000)
    image += oblique(shape, flaws["correlation"][0], 2000)
    counts = np.random.default_rng(0).poisson(image)
    return np.minimum(counts, 4000).astype(np.uint16), np.array(good), flaws


def oblique(shape, centre, height):
    """Make a bead as wide along y and x as the others, but long and thin along the diagonals."""
    z, y, x = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    along, across = (y + x) / np.sqrt(2), (y - x) / np.sqrt(2)
    width = SIGMA[1:].mean()
    distance = (z / SIGMA[0]) ** 2 + (along / (3 * width)) ** 2 + (across / (0.73 * width)) ** 2
    return height * np.exp(-distance / 2)


def status_at(beads, places):
    index = match(np.array(places), beads.positions)
    assert np.all(index >= 0), f"not found: {places}"
    return beads.status[index].tolist()


def test_each_flaw_is_named(flawed):
    image, good, flaws = flawed
    beads = detect_beads(image, spacing=SPACING, engine="cpu")
    assert status_at(beads, good) == ["accepted"] * len(good)
    for rule, places in flaws.items():
        assert status_at(beads, places) == [rule] * len(places)
    assert beads.counts["accepted"] == len(good)
    assert sum(beads.counts.values()) == len(beads)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_switched_off(flawed, rule):
    image, good, flaws = flawed
    beads = detect_beads(image, spacing=SPACING, reject=Rejection(**{rule: False}), engine="cpu")
    assert rule not in beads.counts
    assert status_at(beads, good) == ["accepted"] * len(good)
    only = dict.fromkeys(RULES, False) | {rule: True}
    beads = detect_beads(image, spacing=SPACING, reject=Rejection(**only), engine="cpu")
    assert set(beads.counts) == {"accepted", rule}
    assert set(status_at(beads, flaws[rule])) == {rule}


def test_without_rules_everything_is_accepted(flawed):
    beads = detect_beads(flawed[0], spacing=SPACING, reject=NO_RULES, engine="cpu")
    assert beads.counts == {"accepted": len(beads)}


def test_the_numbers_of_the_rules_count(flawed):
    image, _, flaws = flawed
    near = Rejection(neighbour_distance=1.0)
    assert status_at(detect_beads(image, spacing=SPACING, reject=near, engine="cpu"),
                     flaws["neighbour"]) == ["accepted"] * 2  # fmt: skip
    dim = Rejection(brightness_range=(0.1, 2.5))
    assert status_at(detect_beads(image, spacing=SPACING, reject=dim, engine="cpu"),
                     flaws["brightness"]) == ["accepted"]  # fmt: skip


def test_a_dim_speck_is_no_neighbour():
    shape = (40, 80, 80)
    image = bead(shape, (20, 40, 40), 3000) + bead(shape, (20, 40, 57), 240) + 10
    beads = detect_beads(image, spacing=SPACING, threshold=50, fwhm=FWHM, engine="cpu")
    assert beads.counts == {"accepted": 1}


def test_halo_of_a_bright_bead_is_not_beads():
    shape = (40, 120, 120)
    y, x = np.ogrid[:120, :120]
    ring = np.exp(-((np.hypot(y - 60, x - 60) - 14) ** 2) / 4) * (
        1 + np.cos(8 * np.arctan2(y - 60, x - 60))
    )
    image = bead(shape, (20, 60, 60), 3000) + 60 * ring + 10
    beads = detect_beads(image, spacing=SPACING, fwhm=FWHM, threshold=20, engine="cpu")
    assert len(beads) == 1


def test_a_clump_does_not_hide_the_beads(field):
    image, places, _ = field
    clump = bead(SHAPE, (20, 75, 80), 40_000, 4 * SIGMA)
    beads = detect_beads(image + clump, spacing=SPACING, engine="cpu")
    far = np.linalg.norm((places - (20, 75, 80)) * SPACING, axis=1) > 3.5
    assert far.sum() >= 5
    assert np.all(match(places[far], beads.positions[beads.accepted]) >= 0)


def test_no_bead_left_says_why_and_what_next():
    shape = (40, 100, 100)
    places = [(20, 40, 40), (20, 40, 52), (20, 54, 45)]
    image = BACKGROUND + sum(bead(shape, place, 3000) for place in places)
    with pytest.warns(DeconvWarning, match=r"3 of 3 were closer than 2 µm .* Lower the distance"):
        beads = detect_beads(image, spacing=SPACING, engine="cpu")
    assert beads.counts == {"accepted": 0, "neighbour": 3}
    with pytest.warns(DeconvWarning, match="closer than 5 FWHM"):
        detect_beads(image, engine="cpu")


@pytest.mark.parametrize("rule", RULES)
def test_every_reason_has_its_words(flawed, rule):
    """Whichever rule leaves no bead, the message counts them and gives a next step."""
    image = flawed[0]
    numbers = {
        "edge": {"edge_distance": 100.0},
        "neighbour": {"neighbour_distance": 100.0},
        "saturated": {},
        "brightness": {"brightness_range": (5.0, 6.0)},
        "doublet": {"doublet_ratio": 0.1},
        "fit": {"r_squared_axial": 1.1},
        "correlation": {"correlation_limit": 1.1},
    }[rule]
    if rule == "saturated":
        image = image[:, 60:100, 140:180]
    switches = dict.fromkeys(RULES, False) | {rule: True}
    with pytest.warns(DeconvWarning, match=r"^No bead left: (\d+) of \1 were .*\. [A-Z].*\.$"):
        beads = detect_beads(
            image, spacing=SPACING, fwhm=FWHM, reject=Rejection(**switches, **numbers), engine="cpu"
        )
    assert beads.counts[rule] == len(beads)


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


# -- thresholds ----------------------------------------------------------------------------------


def blobs(shape, dtype, seed=0):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    image = (image - image.min()) / np.ptp(image)
    return (200 * image**3).astype(dtype)


def assert_same_regions(labels, mask):
    """Labels are the connected regions of a mask, up to their numbers."""
    expected, count = label(mask, np.ones((3,) * mask.ndim))
    assert labels.dtype == np.int32
    assert labels.max() == count > 1
    np.testing.assert_array_equal(labels > 0, mask)
    assert len(np.unique(labels[mask].astype(np.int64) * (count + 1) + expected[mask])) == count


@pytest.mark.parametrize("shape", [(60, 71), (12, 40, 33)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_global_thresholds_are_those_of_scikit_image(shape, dtype, method):
    image = blobs(shape, dtype)
    limit = getattr(skimage.filters, f"threshold_{method}")(image)
    assert_same_regions(threshold_beads(image, method, engine="cpu"), image > limit)


@pytest.mark.parametrize("shape", [(60, 71), (12, 40, 33)])
def test_local_threshold_is_that_of_scikit_image(shape, engine):
    image = blobs(shape, np.float32)
    local = skimage.filters.threshold_local(
        image.astype(np.float64), 121, "gaussian", offset=-30, mode="reflect", param=15
    )
    mask = image > local
    labels = threshold_beads(image, "local", value=30, engine=engine)
    certain = np.abs(image - local) > 1e-3
    np.testing.assert_array_equal(labels[certain] > 0, mask[certain])
    assert_same_regions(labels, labels > 0)


def test_local_threshold_ignores_the_noise():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 10, (20, 60, 60)) + bead((20, 60, 60), (10, 30, 30), 500)
    labels = threshold_beads(image, "local", engine="cpu")
    assert labels.max() <= 2
    assert labels[10, 30, 30] > 0


@settings(deadline=None, max_examples=30)
@given(value=st.integers(1, 150), seed=st.integers(0, 5))
def test_manual_threshold(value, seed):
    image = blobs((20, 31), np.uint8, seed)
    labels = threshold_beads(image, "manual", value=value, engine="cpu")
    np.testing.assert_array_equal(labels > 0, image > value)


def test_regions_do_not_reach_into_other_volumes():
    image = np.zeros((2, 3, 8, 8), np.uint8)
    image[:, :, 2:4, 2:4] = 9
    labels = threshold_beads(image, engine="cpu")
    assert np.unique(labels[0]).tolist() == [0, 1]
    assert np.unique(labels[1]).tolist() == [0, 2]


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
