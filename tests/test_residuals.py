"""What a result leaves unexplained of its image, against naive residuals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from napari_deconv import deconvolve
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.metrics import residual
from napari_deconv.psf import Psf, make_psf
from napari_deconv.sample_data import cells_widefield

SPACING = (0.25, 0.1, 0.1)
GAIN, OFFSET, BACKGROUND = 2.0, 100.0, 120.0
SHAPE, REACH = (16, 40, 48), (6, 12, 12)
CAMERA = {"background": BACKGROUND, "gain": GAIN, "offset": OFFSET}


def hourglass(width=1.3):
    """A PSF that widens with defocus, as a widefield one: most of its light is out of focus."""
    z, y, x = np.indices([2 * n + 1 for n in REACH]) - np.reshape(REACH, (3, 1, 1, 1))
    variance = width**2 + (0.8 * z) ** 2
    psf = np.exp(-(x**2 + y**2) / (2 * variance)) / variance
    psf[:, REACH[1], REACH[2] :] *= 1.3  # not symmetric: a flip would show
    return (psf / psf.sum()).astype(np.float32)


def recorded(surroundings):
    """An object, the light it and what surrounds it send into the image, and the noisy image."""
    rng = np.random.default_rng(11)
    field = [n + 2 * reach for n, reach in zip(SHAPE, REACH, strict=True)]
    inside = tuple(slice(reach, reach + n) for n, reach in zip(SHAPE, REACH, strict=True))
    object_ = scipy.ndimage.gaussian_filter((rng.random(field) > 0.995) * 1.0, (0.8, 1.2, 1.2))
    object_ *= 100 / object_.mean()
    truth = object_[inside]
    if surroundings != "light":
        mode = {"nothing": "constant", "itself": "wrap"}[surroundings]
        widths = [(reach, reach) for reach in REACH]
        object_ = np.pad(truth, widths, mode=mode)
    model = scipy.signal.fftconvolve(object_, hourglass().astype(float), mode="valid") + BACKGROUND
    return truth, GAIN * rng.poisson((model - OFFSET) / GAIN) + OFFSET, model


@pytest.fixture(scope="module")
def scene():
    return recorded("light")


def shown(scene, result, **given):
    options = CAMERA | given
    return residual(scene[1], result, options.pop("psf", hourglass()), **options)


@pytest.mark.parametrize("surroundings", ["light", "nothing", "itself"])
def test_of_the_truth_noise_is_left_whatever_surrounds_it(surroundings, engine):
    truth, image, model = recorded(surroundings)
    found = residual(image, truth, hourglass(), **CAMERA, engine=engine)
    assert found.spread == pytest.approx(1, abs=0.03)
    assert found.beyond < 0.005
    assert abs(found.correlation) < 0.02
    noise = (image - model) / np.sqrt(GAIN * (model - OFFSET))
    assert np.std(found.image - noise) < 0.3
    if surroundings != "nothing":  # what a model would say that does not know this light
        alone = scipy.signal.fftconvolve(truth, hourglass(), mode="same") + BACKGROUND
        assert np.std((image - alone) / np.sqrt(GAIN * (alone - OFFSET))) > 2


def test_far_from_its_borders_the_residual_is_the_naive_one(scene):
    _, image, _ = scene
    small = hourglass()[5:8, 9:16, 9:16]
    small = small / small.sum()
    result = scipy.ndimage.gaussian_filter(image, 1) - BACKGROUND
    found = residual(image, result, small, **CAMERA)
    model = scipy.ndimage.convolve(result, small.astype(float), mode="constant") + BACKGROUND
    expected = (image - model) / np.sqrt(GAIN * (model - OFFSET))
    inner = np.s_[1:-1, 3:-3, 3:-3]
    np.testing.assert_allclose(found.image[inner], expected[inner], atol=2e-3)
    assert found.image.dtype == np.float32
    values = found.image.astype(float)
    assert found.spread == pytest.approx(np.sqrt(np.mean(values**2)))
    assert found.beyond == np.mean(np.abs(values) > 3)
    across = np.corrcoef(values[..., 1:].ravel(), values[..., :-1].ravel())[0, 1]
    assert found.correlation == pytest.approx(across, abs=0.02)


def test_of_a_blurred_result_structure_is_left(scene):
    found = shown(scene, scipy.ndimage.gaussian_filter(scene[0], 3))
    assert found.spread > 1.4
    assert found.correlation > 0.3
    assert found.beyond > 0.03


def test_a_psf_that_is_30_percent_wider_shows_after_the_same_run(scene):
    found = []
    for width in (1.3, 1.3 * 1.3):
        psf = hourglass(width)
        result = deconvolve(scene[1], psf, background=BACKGROUND, iterations=40, spacing=SPACING)
        found.append(shown(scene, result.image, psf=psf))
    right, wide = found
    assert right.spread == pytest.approx(1, abs=0.03)
    assert wide.spread > right.spread + 0.03  # chance moves it by 0.004
    assert abs(right.correlation) < 0.03
    assert wide.correlation > right.correlation + 0.05


def test_depth_that_the_psf_does_not_know_shows_after_the_same_run():
    """Cells under oil, deconvolved with the PSF of 10 µm of water above the coverslip."""
    cells = cells_widefield((24, 96, 96))
    optics = {name: cells.optics[name] for name in ("na", "wavelength", "n_immersion")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)  # of light beyond the window
        wrong = make_psf(
            "vectorial", shape=cells.psf.data.shape, spacing=cells.spacing, n_sample=1.33,
            depth=10.0, **optics,
        )  # fmt: skip
    right, deep = (
        residual(
            cells.image,
            deconvolve(cells.image, psf, background=cells.background, iterations=40).image,
            psf,
            background=cells.background,
        )
        for psf in (cells.psf, wrong)
    )
    assert right.spread < 1.15
    assert deep.spread > right.spread + 0.15


def test_it_says_how_far_it_is_and_can_be_ended(scene):
    steps = []
    shown(scene, scene[0], callback=steps.append)
    assert [step.iteration for step in steps] == list(range(1, len(steps) + 1))
    assert len(steps) <= steps[0].iterations

    def end(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shown(scene, scene[0], callback=end)


def test_voxels_that_are_left_out_do_not_count(scene):
    truth, image, _ = scene
    dead = np.random.default_rng(1).random(SHAPE) < 0.02
    spoilt = np.where(dead, np.where(image > image.mean(), np.nan, 60_000), image)
    found = residual(spoilt, truth, hourglass(), **CAMERA, mask=~dead)
    assert np.all(found.image[dead] == 0)
    assert found.spread == pytest.approx(1, abs=0.03)
    assert found.beyond < 0.005
    kept = found.image[~dead].astype(float)
    assert found.spread == pytest.approx(np.sqrt(np.mean(kept**2)))
    pairs = ~dead[..., 1:] & ~dead[..., :-1]
    across = np.corrcoef(found.image[..., 1:][pairs], found.image[..., :-1][pairs])[0, 1]
    assert found.correlation == pytest.approx(across, abs=0.01)


def test_a_psf_is_centred_as_it_was_for_the_result(scene):
    off = np.roll(hourglass(), (0, 0, 2), (0, 1, 2))
    moved = np.roll(scene[0], -2, axis=2)
    right = shown(scene, moved, psf=off, centre_psf=False)
    with pytest.warns(DeconvWarning, match="off its centre"):
        other = shown(scene, moved, psf=off)
    assert right.spread < 1.2 < other.spread


def test_planes_have_a_residual_too():
    rng = np.random.default_rng(12)
    psf = hourglass()[6] / hourglass()[6].sum()
    field = 200 * scipy.ndimage.gaussian_filter(rng.random((104, 104)) ** 8, 1.5) / 0.11
    image = rng.poisson(scipy.signal.fftconvolve(field, psf, mode="valid") + 5)
    found = residual(image, field[12:-12, 12:-12], psf, background=5)
    assert found.image.shape == (80, 80)
    assert found.spread == pytest.approx(1, abs=0.03)


def test_grey_values_do_not_matter(scene):
    truth, image, _ = scene
    photons = residual(
        (image - OFFSET) / GAIN, truth / GAIN, hourglass(), background=(BACKGROUND - OFFSET) / GAIN
    )
    np.testing.assert_allclose(photons.image, shown(scene, truth).image, atol=2e-3)


def test_dark_models_stay_finite():
    found = residual(np.ones((8, 8)), np.zeros((8, 8)), np.ones((3, 3)))
    assert np.all(np.isfinite(found.image))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gain": 0}, "gain"),
        ({"offset": np.nan}, "offset"),
        ({"background": -1}, "background"),
        ({"psf": np.ones((5, 5))}, "2 axes"),
        ({"mask": np.zeros(SHAPE)}, "leaves out every voxel"),
        ({"psf": Psf(hourglass(), SPACING), "spacing": (1, 2)}, "voxel size"),
    ],
)
def test_a_residual_that_cannot_be_made_is_refused(scene, given, words):
    with pytest.raises(DeconvError, match=words):
        shown(scene, scene[0], **given)


def test_another_shape_is_refused(scene):
    with pytest.raises(DeconvError, match="its own result"):
        shown(scene, scene[0][1:])
