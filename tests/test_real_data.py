"""Real beads and images, and the results of others, with the numbers they should give."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter1d, minimum_filter
from scipy.signal import convolve2d

from napari_deconv import DeconvWarning, Psf, deconvolve, detect_beads, distill_psf, measure_psf
from napari_deconv.forward import Convolution, centred_at_origin
from napari_deconv.solvers.linear import penalized_inverse


def correlation(a, b):
    return np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]


def nrmse(actual, expected):
    return np.linalg.norm(actual - expected) / np.linalg.norm(expected)


# -- the whole job on real beads -------------------------------------------------------------------


def test_a_psf_from_widefield_beads(data_dir):
    image = tifffile.imread(data_dir / "beads/hoogenboom_200nm_na095_zyx300x108x108.tif")
    spacing = (0.3, 0.108, 0.108)
    beads = detect_beads(image, spacing=spacing, bead_diameter=0.2)
    assert beads.accepted.sum() >= 30
    np.testing.assert_allclose(
        np.median(beads.fwhm[beads.accepted], axis=0), [0.858, 0.398, 0.400], rtol=0.05
    )
    # the figures to reach are of 200 nm beads as they are seen, their size left in
    psf = distill_psf(image, beads, spacing=spacing, bead_diameter=0.0, iterations=25)
    np.testing.assert_allclose(measure_psf(psf).fwhm, [0.86, 0.40, 0.40], rtol=0.1)
    np.testing.assert_allclose(measure_psf(psf).centre, [n // 2 for n in psf.shape], atol=0.5)
    average = distill_psf(image, beads, spacing=spacing, method="average")
    np.testing.assert_allclose(measure_psf(average).fwhm, [0.86, 0.40, 0.40], rtol=0.1)


def line_pair(image):
    """Sub-voxel places of the close pair of lines, and the depth of the valley between them."""
    profile = np.asarray(image, float).mean(axis=(0, 1))
    smooth = gaussian_filter1d(profile, 1.0)
    places = []
    for low, high in ((64, 77), (77, 90)):
        top = low + int(smooth[low:high].argmax())
        left, middle, right = smooth[top - 1 : top + 2]
        places.append(top + 0.5 * (left - right) / (left - 2 * middle + right))
    first, second = (round(place) for place in places)
    valley = profile[first : second + 1].min()
    return np.array(places), valley / min(profile[first], profile[second])


def test_confocal_beads_separate_a_close_pair_of_lines(data_dir):
    beads = tifffile.imread(data_dir / "beads/haase_Bead_Image1_crop.tif")
    grid = tifffile.imread(data_dir / "bio/haase_VerticalGrid1AU_crop.tif")
    psf = distill_psf(beads, spacing=(0.125, 0.02249, 0.02249))
    np.testing.assert_allclose(measure_psf(psf).fwhm, [0.537, 0.227, 0.161], rtol=0.1)
    with pytest.warns(DeconvWarning, match="resampled"):
        result = deconvolve(grid, psf, spacing=(0.125, 0.02196, 0.02196), iterations=30)
    before, raw = line_pair(grid)
    after, valley = line_pair(result.image)
    assert raw == pytest.approx(0.9, abs=0.02)
    assert valley <= 0.5
    # lines are 7 voxels wide
    assert np.abs(after - before).max() < 1.0
    assert abs(after.mean() - before.mean()) < 0.5


def test_a_measured_psf_off_its_centre_is_centred_before_use(data_dir):
    peer = tifffile.imread(data_dir / "beads/haase_peer_psf_45cubed.tif")
    grid = tifffile.imread(data_dir / "bio/haase_VerticalGrid1AU_crop.tif")
    with pytest.warns(DeconvWarning, match="off its centre"):
        centred = deconvolve(grid, peer, iterations=15)
    kept = deconvolve(grid, peer, iterations=15, centre_psf=False)
    before = line_pair(grid)[0].mean()
    assert abs(line_pair(centred.image)[0].mean() - before) < 1.5
    assert abs(line_pair(kept.image)[0].mean() - before) > abs(
        line_pair(centred.image)[0].mean() - before
    )


def test_a_lattice_light_sheet_stack_like_the_peer(data_dir):
    """cudaDecon's 10 plain iterations: the raw image correlates .92 with them, ours .97."""
    image = tifffile.imread(data_dir / "bio/lattice_deskewed_crop.tif")
    peer = tifffile.imread(data_dir / "bio/lattice_peer_cudadecon_10it_crop.tif")
    measured = tifffile.imread(data_dir / "bio/lattice_psf_z100nm.tif").astype(float)
    light = np.maximum(measured - np.percentile(measured, 99), 0)[:, 39:103, 32:96]
    psf = Psf(light, (0.1, 0.10188, 0.10188))
    with pytest.warns(DeconvWarning, match="resampled"):
        result = deconvolve(
            image, psf, spacing=(0.3, 0.10188, 0.10188), background=98, iterations=10,
            acceleration=None, initial=np.maximum(image - 98.0, 1),
        )  # fmt: skip
    inner = np.s_[8:-8, 16:-16, 16:-16]
    assert correlation(image[inner], peer[inner]) < 0.925
    assert correlation(result.image[inner], peer[inner]) > 0.965


# -- goldens of others ----------------------------------------------------------------------------


def test_matlabs_accelerated_richardson_lucy(engine, data_dir):
    image = tifffile.imread(data_dir / "numerics/matlab_image.tif")
    psf = tifffile.imread(data_dir / "numerics/matlab_psf.tif")
    golden = tifffile.imread(data_dir / "numerics/matlab_deconvlucy_10it.tif")
    result = deconvolve(
        image, psf, iterations=10, background=0, boundary="circular", acceleration="biggs",
        initial=image, centre_psf=False, engine=engine,
    )  # fmt: skip
    assert nrmse(result.image, golden) < 1e-5


@pytest.fixture
def camera(data_dir):
    """The blurred, noisy camera man of scikit-image's own tests, in float64."""
    from skimage.io import imread

    psf = np.ones((5, 5)) / 25
    image = imread(data_dir / "numerics/skimage_camera.png") / 255.0
    blurred = convolve2d(image, psf, "same")
    noise = np.random.RandomState(0).standard_normal(blurred.shape)
    return blurred + 0.1 * blurred.std() * noise, psf


def test_scikit_images_richardson_lucy(engine, data_dir, camera):
    """Same as ours with what is outside set to 0 and nothing known of it.

    scikit-image starts at 0.5, divides by no N, and convolves by zero padding ("same"). So its
    x ← x·Hᵀ[y/Hx] is ours on the zero-padded grid with N = 1, redone here with the forward model;
    `deconvolve` differs on purpose: it knows that N is below 1 at the border, and that light is
    not negative.
    """
    image, psf = camera
    golden = np.load(data_dir / "numerics/skimage_camera_rl.npy")
    grid, shape = (1, *(n + 8 for n in image.shape)), (1, *image.shape)
    model = Convolution(engine, centred_at_origin(psf[None].astype(np.float32), grid), shape)
    y, x = engine.asarray(image[None]), np.full((1, *image.shape), 0.5, np.float32)
    epsilon = engine.full((1, 1, 1), 1e-12)
    for _ in range(5):
        light, work = engine.full(shape, 0.0), engine.full(grid, 0.0)
        model.apply(engine.asarray(x, grid), light)
        # no floor: there the noise makes data, estimate and model negative
        engine.ratio(light, y, epsilon, -1e30)
        model.adjoint(light, work)
        x = engine.to_numpy(work, x.shape) * x
    difference = np.abs(np.clip(x[0], -1, 1) - golden)
    # Five iterations reach 20 voxels; a model that crosses 0 there has no digits left in float32.
    lit = minimum_filter(image, 41) > 0
    assert lit.mean() > 0.3
    assert difference[lit].max() < 1e-5
    assert np.mean(difference < 1e-5) > 0.999


def test_scikit_images_wiener(engine, data_dir, camera):
    """Same as our filter with the penalty balance·|Laplacian|² instead of a constant K."""
    image, psf = camera
    golden = np.load(data_dir / "numerics/skimage_camera_wiener.npy")
    laplacian = np.zeros(image.shape)
    laplacian[:3, :3] = [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]
    penalty = 0.05 * np.abs(np.fft.rfft2(laplacian)) ** 2
    shape = (1, *image.shape)
    model = Convolution(engine, centred_at_origin(psf[None].astype(np.float32), shape), shape)
    out = penalized_inverse(model, engine.asarray(image[None]), penalty[None].astype(np.float32))
    np.testing.assert_allclose(np.clip(engine.to_numpy(out)[0], -1, 1), golden, atol=1e-5)


# -- known truths ---------------------------------------------------------------------------------


def test_hollow_bars(data_dir):
    truth, image, psf = (
        tifffile.imread(data_dir / f"benchmark/bars25_{name}.tif")
        for name in ("actual", "data", "kernel")
    )
    result = deconvolve(image, psf, iterations=50, initial=image, background=0)
    assert correlation(image, truth) == pytest.approx(0.402, abs=1e-3)
    assert correlation(result.image, truth) >= 0.74


def test_pollen(data_dir):
    names = ("truth", "poisson_noise_blurred", "psf")
    crop = np.s_[:, 64:192, 64:192]
    truth, image, psf = (
        tifffile.imread(data_dir / f"benchmark/pollen_{name}.tif") for name in names
    )
    with pytest.warns(DeconvWarning, match="below 0"):
        result = deconvolve(image, psf, iterations=20, acceleration=None)
    assert correlation(image, truth) == pytest.approx(0.903, abs=1e-3)
    assert correlation(result.image, truth) >= 0.94
    wiener = deconvolve(image, psf, method="wiener")
    assert correlation(wiener.image, truth) > 0.93
    assert correlation(result.image[crop], truth[crop]) > correlation(image[crop], truth[crop])
