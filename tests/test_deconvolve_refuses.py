"""The front door: what it refuses, and what it says then."""

from __future__ import annotations

import numpy as np
import pytest

from napari_deconv import DeconvError, Psf, deconvolve, iterate
from points_in_a_box import IMAGE, PSF, gaussian

BAD_IMAGES = {
    "NaN": (np.where(IMAGE > 400, np.nan, IMAGE), "NaN or infinite voxels"),
    "infinite": (np.where(IMAGE > 400, np.inf, IMAGE), "NaN or infinite voxels"),
    "all NaN": (np.full((4, 5, 6), np.nan), "NaN or infinite voxels"),
    "huge": (IMAGE * 1e30, "single precision"),
    "empty": (np.zeros((0, 5, 5)), "empty"),
    "complex": (IMAGE + 1j, "complex"),
    "text": (np.array([["a", "b"]]), "dtype"),
    "line": (np.ones(5), "expected .y, x."),
    "RGB": (np.zeros((20, 20, 3), np.uint8), "RGB"),
    "plane for a volume's PSF": (IMAGE[0], "The PSF has shape .5, 7, 7., the image 2 axes"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("method", ["richardson_lucy", "wiener", "inverse"])
def test_an_unusable_image_is_one_clear_error(name, method):
    image, message = BAD_IMAGES[name]
    with pytest.raises(DeconvError, match=message):
        deconvolve(image, PSF, method=method, engine="cpu")


BAD_PSFS = {
    "zero": (np.zeros((3, 3, 3)), "no value above 0"),
    "negative": (-np.ones((3, 3, 3)), "no value above 0"),
    "NaN": (np.full((3, 3, 3), np.nan), "NaN"),
    "one NaN": (np.where(PSF > 0.99, np.nan, PSF), "NaN"),
    "infinite": (np.where(PSF > 0.99, np.inf, PSF), "infinite"),
    "complex": (PSF * 1j, "complex"),
    "empty": (np.zeros((0, 3, 3)), "empty"),
    "four axes": (np.ones((2, 3, 3, 3)), "axes"),
    "line": (np.ones(5), "expected .z, y, x. or .y, x."),
}


@pytest.mark.parametrize("name", BAD_PSFS)
def test_an_unusable_psf_is_one_clear_error(name):
    psf, message = BAD_PSFS[name]
    with pytest.raises(DeconvError, match=message):
        deconvolve(IMAGE, psf, engine="cpu")


BAD_OPTIONS = {
    "method": ("sharpen", "'richardson_lucy', 'wiener', 'tikhonov', 'inverse'"),
    "boundary": ("mirror", "'padded', 'half_padded', 'circular', 'reflect', 'zero'"),
    "acceleration": ("fast", "'heavy_ball', 'wiener_butterworth', 'biggs', None"),
    "regularization": ("l1", "None, 'tv'"),
    "regularization_weight": (0, "above 0"),
    "iterations": (0, "at least 1"),
    "spacing": ((0.2, 0, 0.1), "above 0"),
    "background": (-3, "at least 0"),
    "mask": (np.zeros((9, 16, 14), bool), "leaves out every voxel"),
    "initial": (np.ones((3, 3, 3)), "initial estimate has shape"),
    "engine": ("warp drive", "choose 'auto', 'cpu'"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_an_impossible_parameter_is_one_clear_error(name):
    value, message = BAD_OPTIONS[name]
    with pytest.raises(DeconvError, match=message):
        deconvolve(IMAGE, PSF, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 2.5),
        ("iterations", True),
        ("iterations", -1),
        ("spacing", (0.1, 0.1)),
        ("spacing", -1.0),
        ("spacing", (np.nan, 1, 1)),
        ("spacing", "big"),
        ("background", "none"),
        ("background", np.nan),
        ("background", np.ones((2, 2))),
        ("regularization_weight", np.inf),
        ("mask", np.ones((2, 2), bool)),
        ("initial", IMAGE * np.nan),
    ],
)
def test_more_impossible_parameters(name, value):
    with pytest.raises(DeconvError):
        deconvolve(IMAGE, PSF, **{name: value}, engine="cpu")


def test_only_richardson_lucy_takes_a_mask():
    with pytest.raises(DeconvError, match="takes no mask"):
        deconvolve(IMAGE, PSF, method="wiener", mask=np.ones(IMAGE.shape, bool))


def test_iterate_knows_the_options_of_deconvolve():
    with pytest.raises(TypeError, match="iteratons"):
        next(iterate(IMAGE, PSF, iteratons=3))


@pytest.mark.parametrize("spacing", [(0.2, 0.1, 0.0001), (200, 100, 100), (2e-4, 1e-4, 1e-4)])
def test_voxel_sizes_in_other_units_are_refused_before_resampling(spacing):
    with pytest.raises(DeconvError, match="more than 100 times apart"):
        deconvolve(IMAGE, Psf(PSF, (0.2, 0.1, 0.1)), spacing=spacing, engine="cpu")


def test_a_psf_far_wider_than_the_image_is_refused(engine):
    with pytest.raises(DeconvError, match="far wider than the image"):
        deconvolve(IMAGE, np.ones((63, 63, 63)), iterations=2, engine=engine)


def test_a_result_of_another_problem_is_an_estimate_like_any_other():
    options = {"iterations": 5, "background": 10, "engine": "cpu"}
    first = deconvolve(IMAGE, PSF, **options)
    for change in (
        {"image": IMAGE * 1000, "background": 10000},
        {"psf": gaussian((3, 5, 5))},
        {"boundary": "circular"},
        {"background": 5},
        {"acceleration": None},
    ):
        problem = {"image": IMAGE, "psf": PSF, **options, **change}
        more = deconvolve(**problem, initial=first)
        expected = deconvolve(**problem, initial=first.image)
        np.testing.assert_array_equal(more.image, expected.image)
        assert more.iterations == 5


def test_masked_arrays_are_refused_with_a_way_out():
    masked = np.ma.masked_greater(IMAGE, 400)
    with pytest.raises(DeconvError, match=r"masked array: pass image.filled\(0\), and mask=~image"):
        deconvolve(masked, PSF, engine="cpu")
    with pytest.raises(DeconvError, match="PSF is a NumPy masked array"):
        deconvolve(IMAGE, np.ma.masked_greater(PSF, 0.9), engine="cpu")


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_a_mask_of_parts_is_refused(value):
    with pytest.raises(DeconvError, match="expected True or 1"):
        deconvolve(IMAGE, PSF, mask=np.full(IMAGE.shape, value), engine="cpu")


def test_a_background_above_the_whole_image_is_refused():
    with pytest.raises(DeconvError, match="above the whole image"):
        deconvolve(IMAGE, PSF, background=1e9, engine="cpu")


def test_integers_beyond_single_precision_are_refused():
    with pytest.raises(DeconvError, match="single precision"):
        deconvolve(IMAGE.astype(np.uint64) << 50, PSF, engine="cpu")


@pytest.mark.parametrize(
    "options",
    [
        {"regularization_weight": 0.1},
        {"method": "wiener", "regularization": "tv"},
        {"engine": None},
        {"engine": 5},
    ],
)
def test_what_would_have_no_effect_is_refused(options):
    with pytest.raises(DeconvError):
        deconvolve(IMAGE, PSF, **options)


def test_memory_is_asked_for_by_what_is_held(monkeypatch):
    from napari_deconv import get_engine

    asked = []
    engine = get_engine("cpu")
    monkeypatch.setattr(engine, "require", lambda total, one, purpose: asked.append(total / one))
    for options in ({}, {"acceleration": "biggs"}, {"regularization": "tv"}):
        deconvolve(IMAGE, PSF, iterations=1, background=10, engine=engine, **options)
    assert asked == [7, 9, 8]
