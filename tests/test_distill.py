"""Distilling a PSF of known width from simulated beads."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.special import ndtr

from napari_deconv import DeconvError, Psf, Rejection, detect_beads, distill_psf, measure_psf
from napari_deconv.psf.objects import draw_beads, make_beads, spline_values

SPACING = (0.2, 0.08, 0.08)
FWHM = np.array([0.62, 0.26, 0.26])
SIGMA = FWHM / 2.3548 / SPACING
SHAPE = (25, 100, 100)


# What a camera sees of it: each voxel integrates.
SEEN = np.sqrt(FWHM**2 + 8 * np.log(2) * np.square(SPACING) / 12)


def field(
    positions, flux, *, diameter=0.0, background=100.0, shape=SHAPE, sigma=SIGMA, spacing=SPACING
):
    """Beads as points in a sphere, each a voxel-integrated Gaussian, with Poisson noise."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points *= np.cbrt(rng.random((400, 1))) * diameter / 2
    points = points[:, -len(shape) :] if diameter else np.zeros((1, len(shape)))
    image = np.full(shape, float(background))
    for position, amount in zip(positions, flux, strict=True):
        profiles = []
        for axis, size in enumerate(shape):
            centres = position[axis] + points[:, axis, None] / spacing[axis]
            edges = (np.arange(size + 1) - 0.5 - centres) / sigma[axis]
            profiles.append(np.diff(ndtr(edges), axis=1))
        names = "zyx"[-len(shape) :]
        rule = ",".join("p" + name for name in names) + "->" + names
        image += amount / len(points) * np.einsum(rule, *profiles, optimize=True)
    return rng.poisson(image).astype(np.uint16)


def grid_positions(shape=SHAPE, seed=1):
    """Isolated beads on a jittered grid, sub-voxel."""
    rng = np.random.default_rng(seed)
    ys, xs = np.meshgrid([18, 50, 82], [18, 50, 82], indexing="ij")
    flat = np.stack([ys.ravel(), xs.ravel()], 1) + rng.uniform(-3, 3, (9, 2))
    if len(shape) == 2:
        return flat
    return np.column_stack([12 + rng.uniform(-1.5, 1.5, 9), flat])


@pytest.fixture(scope="module")
def beads():
    return field(grid_positions(), np.full(9, 60000.0))


@pytest.mark.parametrize("method", ["reverse", "average"])
@pytest.mark.parametrize("background", [20, 100, 225, 600])
def test_the_width_and_the_centre_are_the_truth(method, background):
    beads = field(grid_positions(), np.full(9, 60000.0), background=background)
    psf = distill_psf(beads, spacing=SPACING, method=method, engine="cpu")
    report = measure_psf(psf)
    np.testing.assert_allclose(report.fwhm, SEEN, rtol=0.05)
    np.testing.assert_allclose(report.centre, [n // 2 for n in psf.shape], atol=0.05)
    assert all(n % 2 == 1 for n in psf.shape)
    assert psf.spacing == SPACING
    assert psf.data.sum() == pytest.approx(1, abs=1e-5)
    assert psf.metadata["beads"] == {"used": 9, "accepted": 9}
    assert json.loads(json.dumps(psf.metadata))["parameters"]["method"] == method


def test_both_engines_distil_the_same(beads):
    psfs = [
        distill_psf(beads, spacing=SPACING, iterations=20, engine=engine).data
        for engine in ("cpu", "opencl")
    ]
    assert np.abs(psfs[0] - psfs[1]).max() < 1e-3 * psfs[0].max()


def test_the_size_of_the_beads_is_taken_out():
    """0.35 µm beads are wider than the PSF: it still comes out right, the average does not."""
    image = field(grid_positions(), np.full(9, 200000.0), diameter=0.35)
    options = {"spacing": SPACING, "engine": "cpu"}
    known = measure_psf(distill_psf(image, bead_diameter=0.35, **options))
    unknown = measure_psf(distill_psf(image, bead_diameter=0.0, **options))
    average = measure_psf(distill_psf(image, bead_diameter=0.35, method="average", **options))
    np.testing.assert_allclose(known.fwhm, SEEN, rtol=0.05)
    assert unknown.fwhm[1] > 1.15 * SEEN[1]
    assert average.fwhm[1] > 1.15 * SEEN[1]


def test_whole_voxel_centroids_shift_the_psf_and_sub_voxel_ones_do_not():
    positions = np.rint(grid_positions()) + np.array([0, 0.4, -0.4])
    image = field(positions, np.full(9, 60000.0))
    options = {"spacing": SPACING, "shape": (13, 21, 21), "engine": "cpu"}
    exact = measure_psf(distill_psf(image, **options))
    np.testing.assert_allclose(exact.centre, [6, 10, 10], atol=0.05)
    classic = distill_psf(image, method="centroids", iterations=60, **options)
    np.testing.assert_allclose(measure_psf(classic).centre, [6, 10.4, 9.6], atol=0.1)
    np.testing.assert_allclose(measure_psf(classic).fwhm, SEEN, rtol=0.1)
    assert classic.metadata["beads"] == {"used": 9}


def test_the_classic_recipe_step_by_step():
    """1.25 · mean, ≤ 0 → 0.1, Otsu, one voxel a centroid, plain steps: redone in float64."""
    positions = grid_positions((60, 60), 2)[[0, 1, 3, 4]] * 0.6
    plane = {"shape": (60, 60), "sigma": SIGMA[1:], "spacing": SPACING[1:]}
    image = field(positions, np.full(4, 9000.0), **plane)
    psf = distill_psf(
        image, spacing=SPACING[1:], method="centroids", shape=(9, 9), iterations=12, engine="cpu"
    )
    light = image - 1.25 * image.mean()
    light[light <= 0] = 0.1
    from scipy.ndimage import center_of_mass, label
    from scipy.signal import fftconvolve
    from skimage.filters import threshold_otsu

    labels, count = label(light > threshold_otsu(light), np.ones((3, 3)))
    centres = np.rint(center_of_mass(labels > 0, labels, range(1, count + 1))).astype(int)
    points = np.zeros(image.shape)
    points[tuple(centres.T)] = 1
    flipped = points[::-1, ::-1]

    # p lives on a 9 × 9 box around the origin of a "full" convolution
    def embed(p):
        return fftconvolve(points, p, "full")[4:-4, 4:-4]

    def gather(r):
        return fftconvolve(np.pad(r, 4), flipped, "valid")

    p, ones = np.ones((9, 9)), np.ones(image.shape)
    for _ in range(12):
        p = p * gather(light / np.maximum(embed(p), 1e-9)) / gather(ones)
    assert count == 4
    expected = p / p.sum()
    assert np.abs(psf.data - expected).max() < 1e-3 * expected.max()


def test_neighbours_are_separated_and_what_is_rejected_is_masked():
    positions = grid_positions()
    pair = positions[4] + [0, 0, 11.3]
    clump = positions[0] + [[0, 0, 0], [0, 2.6, 2.1]]
    image = field(
        np.vstack([positions[1:], pair, clump]), np.array([60000.0] * 9 + [90000.0, 90000.0])
    )
    found = detect_beads(image, spacing=SPACING)
    assert set(found.counts) >= {"accepted", "neighbour"}
    assert found.counts["accepted"] < len(found) - 1
    report = measure_psf(distill_psf(image, found, spacing=SPACING, engine="cpu"))
    np.testing.assert_allclose(report.fwhm, SEEN, rtol=0.05)


def test_an_uneven_background_is_given_as_an_array():
    slope = np.broadcast_to(np.linspace(50, 400, 100), SHAPE)
    image = field(grid_positions(), np.full(9, 60000.0), background=0) + np.random.default_rng(
        0
    ).poisson(slope)
    psf = distill_psf(image, spacing=SPACING, background=slope, engine="cpu")
    np.testing.assert_allclose(measure_psf(psf).fwhm, SEEN, rtol=0.05)


def test_planes(engine):
    image = field(
        grid_positions((100, 100)), np.full(9, 20000.0), shape=(100, 100), sigma=SIGMA[1:],
        spacing=SPACING[1:],
    )  # fmt: skip
    psf = distill_psf(image, spacing=SPACING[1:], iterations=30, engine=engine)
    assert psf.ndim == 2
    np.testing.assert_allclose(measure_psf(psf).fwhm, SEEN[1:], rtol=0.05)


def test_drawn_beads_have_their_flux_size_and_place():
    positions = np.array([[10.3, 24.8, 15.5], [10.0, 8.25, 30.75]])
    shape = (21, 40, 44)
    beads = make_beads(shape, positions, (4.0, 8.0, 8.0))
    drawn = draw_beads(shape, beads, np.array([3.0, 5.0]))
    assert drawn.sum() == pytest.approx(8, rel=1e-5)
    part = drawn[:, 16:].astype(float)
    for axis, (size, place) in enumerate(zip(part.shape, positions[0] - [0, 16, 0], strict=True)):
        line = part.sum(axis=tuple(a for a in range(3) if a != axis))
        steps = np.arange(size)
        centre = np.average(steps, weights=line)
        assert centre == pytest.approx(place, abs=0.01)
        variance = np.average((steps - centre) ** 2, weights=line)
        # a sphere's variance along an axis is d²/20, that of a cubic B-spline 1/3
        expected = (4.0, 8.0, 8.0)[axis] ** 2 / 20 + 1 / 3
        assert variance == pytest.approx(expected, rel=5e-3)


def one_point(shape, positions):
    return draw_beads(shape, make_beads(shape, positions, (0, 0, 0)), np.ones(1))


def test_beads_at_the_edge_are_cut_off_and_those_beyond_are_not_drawn():
    inside = np.array([[1.2, 0.4, 9.7], [4.6, 7.8, 3.1], [-30.0, 4, 4], [4, 40.0, 4]])
    margin, diameter, flux = 50, (3.0, 4.0, 4.0), np.array([2.0, 3.0, 4.0, 5.0])
    shape, larger = (6, 9, 11), tuple(n + 2 * margin for n in (6, 9, 11))
    drawn = draw_beads(shape, make_beads(shape, inside, diameter), flux)
    whole = draw_beads(larger, make_beads(larger, inside + margin, diameter), flux)
    np.testing.assert_allclose(
        drawn, whole[tuple(slice(margin, margin + n) for n in shape)], rtol=1e-5, atol=1e-7
    )
    assert 0 < drawn.sum() < 5


def test_points_anywhere_keep_sum_centre_and_variance():
    rng = np.random.default_rng(0)
    for place in rng.uniform(3.5, 4.5, (20, 1, 3)):
        drawn = one_point((9, 9, 9), place).astype(float)
        assert drawn.sum() == pytest.approx(1, abs=1e-6)
        for axis in range(3):
            line = drawn.sum(axis=tuple(a for a in range(3) if a != axis))
            distance = np.arange(9) - place[0, axis]
            assert line @ distance == pytest.approx(0, abs=1e-6)
            assert line @ distance**2 == pytest.approx(1 / 3, abs=1e-6)


def test_an_object_and_spline_coefficients_make_the_spline():
    """A point between voxels ⊗ coefficients is their cubic spline there: scipy's BSpline."""
    coefficients = np.random.default_rng(1).random((1, 1, 9)).astype(np.float32)
    spline = BSpline(np.arange(-6.0, 7.0), coefficients[0, 0], 3)
    point = one_point((1, 1, 41), np.array([[0, 0, 20.3]]))
    seen = np.convolve(point[0, 0], coefficients[0, 0])[4:-4] * 1.5**2  # z and y: β³(0) = 2/3
    inner = slice(18, 23)
    np.testing.assert_allclose(seen[inner], spline(np.arange(18, 23) - 20.3), rtol=1e-5)
    at_voxels = spline_values(coefficients)[0, 0] * 1.5**2
    np.testing.assert_allclose(at_voxels[2:-2], spline(np.arange(-2.0, 3.0)), rtol=1e-5)


def test_progress_and_cancel(beads):
    seen = []

    def stop_at_two(state):
        seen.append((state.iteration, state.iterations, state.image.shape))
        if state.iteration == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        distill_psf(beads, spacing=SPACING, shape=(9, 13, 13), engine="cpu", callback=stop_at_two)
    assert seen == [(1, 50, (9, 13, 13)), (2, 50, (9, 13, 13))]


def test_the_image_is_left_alone(beads):
    kept = beads.copy()
    for method in ("reverse", "average", "centroids"):
        psf = distill_psf(
            beads, spacing=SPACING, shape=(8, 11, 12), iterations=2, method=method, engine="cpu"
        )
        assert isinstance(psf, Psf)
        assert psf.shape == (8, 11, 12)
    np.testing.assert_array_equal(beads, kept)


BAD = {
    "method": ("blind", "'reverse', 'average', 'centroids'"),
    "spacing": (None, "needs the voxel size"),
    "shape": ((9, 9), "is not a PSF's"),
    "iterations": (0, "at least 1"),
    "bead_diameter": (-1.0, "0 or more"),
    "engine": ("abacus", "choose 'auto'"),
    "background": (np.nan, "is not light"),
    "beads": (np.ones((3, 3)), "what detect_beads returns"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_impossible_parameter_is_one_clear_error(beads, name):
    value, message = BAD[name]
    with pytest.raises(DeconvError, match=message):
        distill_psf(beads, **{"spacing": SPACING, name: value})


def test_a_time_series_is_refused(beads):
    with pytest.raises(DeconvError, match="one time point"):
        distill_psf(beads[None], spacing=SPACING)


def test_an_image_without_beads_is_refused():
    noise = np.random.default_rng(0).poisson(100, (9, 30, 30))
    with pytest.raises(DeconvError):
        distill_psf(noise, spacing=SPACING, engine="cpu")
    with pytest.raises(DeconvError, match="constant"):
        distill_psf(np.full((9, 30, 30), 7), spacing=SPACING, engine="cpu")


def test_beads_that_are_all_rejected_are_told(beads):
    with pytest.warns(match="No bead left"):
        found = detect_beads(beads, spacing=SPACING, reject=Rejection(edge_distance=100.0))
    with pytest.raises(DeconvError, match="None of 9 beads is accepted"):
        distill_psf(beads, found, spacing=SPACING)


def test_beads_of_a_volume_do_not_fit_a_plane(beads):
    found = detect_beads(beads, spacing=SPACING)
    with pytest.raises(DeconvError, match="3 coordinates, the image 2 axes"):
        distill_psf(beads[12], found, spacing=SPACING[1:])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", 5),
        ("shape", ("a", 1, 2)),
        ("shape", (9, 9.5, 9)),
        ("bead_diameter", "a"),
        ("bead_diameter", np.nan),
        ("iterations", 2.5),
        ("background", -50),
        ("background", "auto"),
        ("background", np.ones((3, 3, 3))),
        ("background", 1e9),
    ],
)
@pytest.mark.parametrize("method", ["reverse", "average", "centroids"])
def test_more_impossible_parameters(beads, name, value, method):
    with pytest.raises(DeconvError):
        distill_psf(beads, spacing=SPACING, method=method, engine="cpu", **{name: value})


@pytest.mark.parametrize("method", ["reverse", "average", "centroids"])
def test_beads_of_another_image_are_refused(beads, method):
    found = detect_beads(beads, spacing=SPACING)
    with pytest.raises(DeconvError, match="detected with voxels of"):
        distill_psf(beads, found, spacing=0.5, method=method)
    for wrong in (found.positions - 60, found.positions * np.nan):
        moved = replace(found, positions=wrong)
        with pytest.raises(DeconvError, match="outside of the image"):
            distill_psf(beads, moved, spacing=SPACING, method=method)
