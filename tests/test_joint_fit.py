"""The PSF fitted together with flux and background, on fields simulated with a known PSF."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import spherical_jn

from bead_fields import bead
from napari_deconv import (
    DeconvWarning,
    Psf,
    Rejection,
    convolve,
    deconvolve,
    detect_beads,
    distill_psf,
    make_psf,
    measure_psf,
)
from napari_deconv.beads.fitting import SmoothBackground
from napari_deconv.beads.rendering import Template, blur_by_sphere
from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.psf.symmetry import symmetrise
from napari_deconv.sample_data import cells_widefield

SPACING = (0.2, 0.08, 0.08)


@pytest.fixture(scope="module")
def optics():
    with pytest.warns(DeconvWarning, match="cuts off the cone"):
        return make_psf(
            "vectorial", shape=(25, 65, 65), spacing=SPACING, na=1.3, wavelength=0.52,
            n_immersion=1.515, n_sample=1.515, engine="cpu",
        )  # fmt: skip


def field(psf, number, peak, *, diameter=0.0, shape=(26, 128, 128), slope=0.0, seed=0):
    """Beads shifted by Fourier phases, exact for what a microscope passes, with photon noise."""
    rng = np.random.default_rng(seed)
    room = np.pad(psf.data.astype(float), 8)
    frequencies = np.meshgrid(*(np.fft.fftfreq(n) for n in room.shape), indexing="ij")
    q = (
        np.pi
        * diameter
        * np.sqrt(sum((nu / step) ** 2 for nu, step in zip(frequencies, SPACING, strict=True)))
    )
    # 3·j₁(q)/q, the transform of a ball
    ball = np.where(q > 0, 3 * spherical_jn(1, q) / np.where(q > 0, q, 1), 1)
    spectrum = np.fft.fftn(np.fft.ifftshift(room)) * ball
    unit = np.fft.ifftn(spectrum).real.max()
    places: list[np.ndarray] = []
    while len(places) < number:
        place = np.append(rng.normal(shape[0] / 2, 0.7), rng.uniform(14, shape[1] - 14, 2))
        if all(np.hypot(*(place - other)[1:]) > 15 for other in places):
            places.append(place)
    image = np.zeros([n + m for n, m in zip(shape, room.shape, strict=True)])
    for place in places:
        whole = np.floor(place).astype(int)
        phase = sum(nu * part for nu, part in zip(frequencies, place - whole, strict=True))
        patch = np.fft.fftshift(np.fft.ifftn(spectrum * np.exp(-2j * np.pi * phase)).real)
        inside = tuple(slice(n, n + m) for n, m in zip(whole, room.shape, strict=True))
        image[inside] += peak * rng.uniform(0.7, 1.3) / unit * patch
    half = [m // 2 for m in room.shape]
    image = image[tuple(slice(h, h + n) for h, n in zip(half, shape, strict=True))]
    x = np.linspace(-1, 1, shape[2])
    background = np.broadcast_to(100 + slope * (x + 0.5 * x**2), shape)
    counts = rng.poisson(np.maximum(image, 0) + background)
    return counts.astype(np.uint16), np.array(places), background


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


@pytest.mark.parametrize(
    ("number", "peak", "diameter", "slope", "within"),
    [
        (6, 1000, 0.0, 0.0, 0.05),
        (20, 100, 0.1, 0.0, 0.05),
        (20, 300, 0.1, 20.0, 0.05),
        (20, 3000, 0.2, 40.0, 0.02),
        (12, 10000, 0.1, 0.0, 0.02),
    ],
)
def test_width_and_centre_of_simulated_fields(optics, number, peak, diameter, slope, within):
    image, _, _ = field(optics, number, peak, diameter=diameter, slope=slope)
    psf = distill_psf(image, spacing=SPACING, bead_diameter=diameter, engine="cpu")
    report = measure_psf(psf)
    np.testing.assert_allclose(report.fwhm, measure_psf(optics).fwhm, rtol=within)
    np.testing.assert_allclose(report.centre, [n // 2 for n in psf.shape], atol=0.05)


def test_dim_beads_get_fewer_steps(optics):
    """After 50 noise would have made the PSF too narrow."""
    for peak, steps in ((100, 20), (3000, 50)):
        image, _, _ = field(optics, 12, peak)
        psf = distill_psf(image, spacing=SPACING, engine="cpu")
        assert psf.metadata["parameters"]["iterations"] == steps


def test_a_large_box_gives_the_halo_and_no_plateau(optics, engine):
    image, _, _ = field(optics, 16, 3000, slope=30.0)
    psf = distill_psf(image, spacing=SPACING, shape=optics.shape, engine=engine)
    assert correlation(psf.data, optics.data) > 0.98
    far = np.ones(psf.shape, bool)
    far[8:17, 20:45, 20:45] = False
    assert psf.data[far].sum() == pytest.approx(optics.data[far].sum(), rel=0.15)


def test_the_background_that_is_fitted_is_the_truth(optics):
    image, _, background = field(optics, 8, 2000, slope=40.0)
    psf = distill_psf(image, spacing=SPACING, shape=optics.shape, engine="cpu")
    assert psf.metadata["background"] == pytest.approx(background.mean(), rel=0.03)


def test_a_smooth_background_is_fitted_exactly():
    z, y, x = np.meshgrid(np.arange(5), np.arange(20), np.arange(30), indexing="ij")
    data = 3 + 0.1 * z + 0.02 * y * x - 0.003 * x**2 + 0.01 * z * y
    weights = np.random.default_rng(0).uniform(0.5, 2, data.shape)
    np.testing.assert_allclose(SmoothBackground(data.shape).fit(data, weights), data, rtol=1e-9)
    np.testing.assert_allclose(
        SmoothBackground(data.shape[1:]).fit(data[2], weights[2]), data[2], rtol=1e-9
    )


def test_templates_are_beads_anywhere():
    shape, sigma = (21, 31, 31), (2.0, 2.0, 2.0)
    template = Template(bead(shape, (10, 15, 15), 1.0, sigma), (0, 0, 0))
    place = np.array([[12.3, 14.6, 3.45]])
    drawn = template.render(shape, place, np.ones(1))
    assert np.abs(drawn - bead(shape, place[0], 1.0, sigma)).max() < 2e-3


def test_a_sphere_adds_its_variance():
    one = bead((21, 31, 31), (10, 15, 15), 1.0, (2.0, 2.0, 2.0))
    blurred = blur_by_sphere(one, (3.0, 6.0, 6.0))
    assert blurred.sum() == pytest.approx(one.sum(), rel=1e-4)
    for axis, diameter in enumerate((3.0, 6.0, 6.0)):
        steps = np.arange(one.shape[axis]) - one.shape[axis] // 2
        others = tuple(a for a in range(3) if a != axis)
        before, after = (v.sum(axis=others) @ steps**2 / v.sum() for v in (one, blurred))
        assert after - before == pytest.approx(diameter**2 / 20, rel=1e-3)


# -- symmetry --------------------------------------------------------------------------------------


def test_symmetric_on_request(optics):
    image, _, _ = field(optics, 10, 1000)
    options = {"spacing": SPACING, "shape": (21, 23, 23), "engine": "cpu"}
    plain, even = (distill_psf(image, symmetric=s, **options) for s in (False, True))
    assert even.metadata["parameters"]["symmetric"] is True
    np.testing.assert_allclose(even.data, even.data[:, ::-1, ::-1], atol=1e-9)
    np.testing.assert_allclose(even.data, np.swapaxes(even.data, 1, 2), atol=1e-9)
    np.testing.assert_allclose(measure_psf(even).fwhm, measure_psf(optics).fwhm, rtol=0.05)
    middle = tuple(slice(n // 2 - m // 2, n // 2 + m // 2 + 1)
                   for n, m in zip(optics.shape, plain.shape, strict=True))  # fmt: skip
    truth = optics.data[middle] / optics.data[middle].sum()
    assert np.linalg.norm(even.data - truth) < np.linalg.norm(plain.data - truth)


def test_a_symmetric_psf_keeps_its_width_and_its_sub_voxel_centre_goes_to_the_middle(optics):
    even = symmetrise(optics)
    np.testing.assert_allclose(measure_psf(even).fwhm, measure_psf(optics).fwhm, rtol=5e-3)
    off = Psf(bead((9, 25, 25), (4, 12.3, 11.8), 1.0, (1.5, 1.8, 1.8)), SPACING)
    report = measure_psf(symmetrise(off))
    np.testing.assert_allclose(report.centre, (4, 12, 12), atol=0.01)
    np.testing.assert_allclose(report.fwhm, measure_psf(off).fwhm, rtol=0.01)
    plane = Psf(off.data[4], SPACING[1:])
    assert symmetrise(plane).shape == (25, 25)


def test_a_psf_that_is_not_round_stays_so():
    oval = Psf(bead((9, 25, 25), (4, 12, 12), 1.0, (1.5, 1.6, 2.0)), SPACING)
    with pytest.warns(DeconvWarning, match=r"24% wider .* not made symmetric"):
        assert symmetrise(oval) is oval


# -- statistics ------------------------------------------------------------------------------------


def test_what_the_psf_explains_of_its_beads(optics):
    image, _, background = field(optics, 12, 2000, diameter=0.1, slope=30.0)
    beads = detect_beads(image, spacing=SPACING, bead_diameter=0.1, engine="cpu")
    found = bead_statistics(beads, image, optics, bead_diameter=0.1)
    assert found.counts == beads.counts
    assert found.background_mean == pytest.approx(background.mean(), rel=0.02)
    # photon noise alone
    assert found.residual_rms == pytest.approx(1, abs=0.05)
    assert found.residual_image.shape == image.shape
    assert found.gain is None or found.gain == pytest.approx(1, rel=0.1)
    peaks = found.flux * Template(optics.data, [0.1 / d for d in SPACING]).image.max()
    np.testing.assert_allclose(found.snr, peaks / np.sqrt(peaks + 115), rtol=0.15)
    assert np.all((peaks > 0.6 * 2000) & (peaks < 1.4 * 2000))
    mean = beads.fwhm[beads.accepted].mean(axis=0)
    np.testing.assert_allclose(found.fwhm_mean, mean)
    np.testing.assert_allclose(found.field_map.fwhm.mean(axis=(1, 2)), mean, rtol=0.05)
    assert len(found.to_dict()["flux"]) == len(beads) == len(found.residual)
    given = bead_statistics(beads, image, optics, background, bead_diameter=0.1)
    np.testing.assert_allclose(given.flux, found.flux, rtol=0.02)


def test_a_wrong_psf_shows_in_the_residual(optics):
    image, _, _ = field(optics, 12, 2000)
    beads = detect_beads(image, spacing=SPACING, engine="cpu")
    wide = Psf(gaussian_filter(optics.data, (0, 1, 1)), SPACING)
    assert bead_statistics(beads, image, wide).residual_rms > 2


# -- doubtful input --------------------------------------------------------------------------------


def test_dim_beads_are_not_rejected_for_being_noisy(optics):
    image, _, _ = field(optics, 15, 120, seed=3)
    rules = Rejection(neighbour=False)
    beads = detect_beads(image, spacing=SPACING, reject=rules, engine="cpu")
    assert beads.counts["accepted"] >= 12


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        ((0.002, 0.0008, 0.0008), "light makes them 0.1 to 5 µm across.*Check the voxel size"),
        ((200.0, 80.0, 80.0), "Check the voxel size"),
        ((0.05, 0.16, 0.16), "blurs more along z than across"),
    ],
)
def test_an_unlikely_voxel_size_is_said(optics, spacing, words):
    image, _, _ = field(optics, 6, 2000)
    beads = detect_beads(image, spacing=spacing, reject=Rejection(False, False), engine="cpu")
    with pytest.warns(DeconvWarning, match=words):
        distill_psf(image, beads, spacing=spacing, method="average", engine="cpu")


def test_a_specimen_instead_of_beads_is_said():
    sample = cells_widefield((32, 192, 192), engine="cpu")
    with pytest.warns(DeconvWarning, match=r"spots are too wide, .* is this an image of beads"):
        distill_psf(sample.image, spacing=sample.spacing, iterations=5, engine="cpu")


def test_a_single_bead_is_said(optics):
    image, _, _ = field(optics, 1, 2000)
    with pytest.warns(DeconvWarning, match="single bead"):
        psf = distill_psf(image, spacing=SPACING, engine="cpu")
    np.testing.assert_allclose(measure_psf(psf).fwhm, measure_psf(optics).fwhm, rtol=0.1)


def test_coarse_voxels_are_said(optics):
    image, _, _ = field(optics, 10, 3000)
    coarse = image[:, ::2, ::2]
    spacing = (0.2, 0.16, 0.16)
    with pytest.warns(DeconvWarning, match="fewer than 2 voxels along y and x"):
        distill_psf(coarse, spacing=spacing, method="average", engine="cpu")


def test_deconvolving_with_a_large_distilled_psf_is_nearly_as_good_as_with_the_true_one(optics):
    """A background that is too low makes a plateau of the halo, and a poor image."""
    image, _, _ = field(optics, 16, 3000, slope=30.0)
    options = {"spacing": SPACING, "shape": optics.shape, "engine": "cpu"}
    fitted, low = (distill_psf(image, background=b, **options) for b in (None, 80.0))
    rng = np.random.default_rng(1)
    truth = np.zeros((26, 96, 96))
    truth[tuple(rng.integers(6, n - 6, 60) for n in truth.shape)] = 30000
    truth[10:14, 20:70, 40:44] = 400
    seen = rng.poisson(np.maximum(convolve(truth, optics.data, engine="cpu"), 0) + 50)

    def quality(psf):
        result = deconvolve(seen, psf, iterations=20, background=50, engine="cpu")
        return correlation(gaussian_filter(result.image, 1), gaussian_filter(truth, 1))

    best = quality(optics)
    assert quality(fitted) > best - 0.05
    assert quality(low) < best - 0.1


def test_a_field_without_a_bead_that_lies_alone_is_pointed_out(optics):
    image, _, _ = field(optics, 20, 3000)
    far = Rejection(neighbour_distance=8.0)
    with pytest.warns(DeconvWarning, match="No bead left"):
        beads = detect_beads(image, spacing=SPACING, reject=far, engine="cpu")
    assert beads.summary.startswith("0 accepted, ")
    with pytest.warns(DeconvWarning, match="No bead lies alone"):
        distill_psf(image, beads, spacing=SPACING, iterations=2, engine="cpu")


def test_a_specimen_is_not_taken_for_beads():
    sample = cells_widefield((24, 128, 128), engine="cpu")
    with pytest.warns(DeconvWarning, match="is this an image of beads"):
        distill_psf(sample.image, spacing=sample.spacing, iterations=20, engine="cpu")
