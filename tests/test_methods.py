"""Every method through the front door: one simulated specimen, both engines, one contract."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_deconv import DeconvError, DeconvWarning, convolve, deconvolve
from napari_deconv.deconvolution.front_door import memory_needed
from napari_deconv.deconvolution.methods import METHODS

DIRECT = [name for name, method in METHODS.items() if method.direct]
ITERATIVE = [name for name, method in METHODS.items() if not method.direct]
POINT = np.zeros((7, 11, 11))
POINT[3, 5, 5] = 1
PSF = gaussian_filter(POINT, (1.2, 1.7, 1.7)).astype(np.float32)


def specimen(photons, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.zeros((12, 40, 38))
    truth[tuple(rng.integers(2, n - 2, 25) for n in truth.shape)] = 1.0
    truth = gaussian_filter(truth, 1.0)
    truth[4:8, 8:30, 17:20] += 0.05
    truth *= photons / truth.max()
    blurred = convolve(truth, PSF, boundary="zero", engine="cpu")
    return truth, rng.poisson(np.maximum(blurred, 0) + 10)


def error(estimate, truth):
    return np.linalg.norm(estimate - truth) / np.linalg.norm(truth)


@pytest.fixture(scope="module")
def bright():
    return specimen(3000)


def run(image, method, **options):
    defaults = {"background": 10, "engine": "cpu"}
    if METHODS[method].counts_photons:
        defaults["gain"] = 1.0
    return deconvolve(image, PSF, method=method, **defaults | options)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_nearer_to_the_truth(bright, method):
    truth, image = bright
    kept = image.copy()
    result = run(image, method, regularization_weight=0.1 if method == "inverse" else None)
    assert result.image.dtype == np.float32
    assert result.image.shape == image.shape
    assert np.isfinite(result.image).all()
    np.testing.assert_array_equal(image, kept)
    assert error(result.image, truth) < 0.85 * error(image - 10.0, truth)
    # 1/(H + ε) loses a tenth at frequency zero; some light has left the field
    assert result.image.sum() == pytest.approx(truth.sum(), rel=0.12)
    assert result.stop_reason


@pytest.mark.parametrize("method", METHODS)
def test_engines_agree(bright, method):
    image = bright[1]
    first, second = (
        run(image, method, iterations=5, engine=engine).image for engine in ("cpu", "opencl")
    )
    assert np.abs(first - second).max() < 1e-3 * np.abs(first).max()


@pytest.mark.parametrize("method", METHODS)
def test_a_plane_is_as_good_as_a_volume(bright, method):
    _, image = bright
    options = {"background": 10, "engine": "cpu"}
    if METHODS[method].counts_photons:
        options["gain"] = 1.0
    plane = deconvolve(image[6], PSF[3], method=method, **options)
    volume = deconvolve(image[6][None], PSF[3][None], method=method, **options)
    np.testing.assert_array_equal(plane.image, volume.image[0])


@pytest.mark.parametrize("method", ITERATIVE)
def test_a_run_goes_on_as_if_never_interrupted(bright, method):
    image = bright[1]
    whole = run(image, method, iterations=14)
    part = run(image, method, iterations=7)
    more = run(image, method, iterations=7, initial=part)
    np.testing.assert_array_equal(more.image, whole.image)
    assert more.iterations == whole.iterations


@pytest.mark.parametrize("method", ITERATIVE)
def test_masked_voxels_do_not_count(bright, method):
    image = bright[1]
    mask = np.ones(image.shape, bool)
    mask[6, 20, 20] = mask[3, 10, 10] = False
    spoiled = np.where(mask, image, 60000)
    first, second = (run(each, method, iterations=6, mask=mask).image for each in (image, spoiled))
    np.testing.assert_allclose(first, second, atol=1e-5 * first.max())


@pytest.mark.parametrize("method", DIRECT)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mask", np.ones((12, 40, 38), bool)), ("regularization", "tv"), ("damping", 3),
        ("read_noise", 2.0), ("stop", "quality"), ("keep_every", 5), ("depths", [0, 1]),
    ],
)  # fmt: skip
def test_what_a_filter_does_not_take_is_refused(bright, method, name, value):
    with pytest.raises(DeconvError, match=f"takes no {name}: use one of 'richardson_lucy'"):
        run(bright[1], method, **{name: value})


@pytest.mark.parametrize("method", ["landweber", "nnls", "gradient_consensus", "blind"])
def test_what_has_no_weight_takes_none(bright, method):
    with pytest.raises(DeconvError, match="takes no regularization_weight"):
        run(bright[1], method, regularization_weight=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"damping": -1}, "damping=-1: expected a number, 0 or more"),
        ({"damping": 3, "read_noise": 2}, "choose one"),
        ({"read_noise": float("nan")}, "expected a number"),
        ({"gain": 0}, "gain=0: expected a number above 0"),
        ({"offset": "dark"}, "offset='dark': expected a finite number"),
        ({"keep_every": 0}, "keep_every"),
        ({"stop": "never"}, "'discrepancy', 'quality', 'consensus'"),
        ({"regularization": "roughness", "regularization_weight": "auto"}, "has no rule for it"),
        ({"method": "ictm", "regularization_weight": "auto"}, "has no rule for it"),
        ({"regularization_weight": 0.1}, "no effect without regularization"),
        ({"depths": [0, 1]}, "1 PSFs and 2 depths"),
    ],
)
def test_settings_that_are_none_are_one_clear_error(bright, options, message):
    with pytest.raises(DeconvError, match=message):
        deconvolve(bright[1], [PSF] if "depths" in options else PSF, **options)


def test_automatic_weights_are_all_shown(bright):
    for method in ("wiener", "tikhonov"):
        result = run(bright[1], method, regularization_weight="auto")
        assert set(result.weights) == {"gcv", "discrepancy", "negativity"}
        assert all(weight > 0 for weight in result.weights.values())
        same = run(bright[1], method, regularization_weight=result.weights["gcv"])
        np.testing.assert_array_equal(result.image, same.image)
        assert same.weights == {}


def test_the_history_tells_what_was_measured(bright):
    _, image = bright
    result = run(image, "richardson_lucy", iterations=26, gain=1)
    history = result.history
    np.testing.assert_array_equal(history["iteration"], range(0, 26, 5))
    np.testing.assert_allclose(
        history["discrepancy"], 2 * history["divergence"] / image.size, rtol=1e-4
    )
    np.testing.assert_allclose(
        history["quality"], history["divergence"][0] / history["divergence"], rtol=1e-6
    )
    assert history["flux"][-1] == pytest.approx(image.sum() - 10 * image.size, rel=0.02)
    assert np.all(np.diff(history["seconds"]) > 0)
    assert history["change"][0] > history["change"][-1] > 0
    assert history["step"][0] == 0
    assert 0.5 < history["step"][-1] < 1
    assert result.gain == 1


def test_intermediate_results_are_kept(bright):
    image = bright[1]
    result = run(image, "richardson_lucy", iterations=10, keep_every=4)
    assert sorted(result.intermediate) == [4, 8]
    four = run(image, "richardson_lucy", iterations=4)
    np.testing.assert_array_equal(result.intermediate[4], four.image)


def test_a_stack_keeps_a_row_for_each_volume(bright):
    _, image = bright
    dim = specimen(300, seed=1)[1]
    both = np.stack([image, dim])
    result = run(both, "richardson_lucy", iterations=120, stop="consensus", gain=1)
    apart = [
        run(each, "richardson_lucy", iterations=120, stop="consensus", gain=1) for each in both
    ]
    assert result.iterations == max(each.iterations for each in apart)
    for index, each in enumerate(apart):
        np.testing.assert_array_equal(result.image[index], each.image)
        rows = len(each.history["iteration"])
        np.testing.assert_array_equal(
            result.history["divergence"][index, :rows], each.history["divergence"]
        )
        assert np.isnan(result.history["divergence"][index, rows:]).all()
        assert (result.history["iteration"][index, rows:] == -1).all()


@pytest.mark.parametrize("acceleration", ["heavy_ball", None])
@pytest.mark.parametrize("photons", [2000, 200, 30])
def test_consensus_stops_near_the_best(photons, acceleration):
    truth, image = specimen(photons, seed=2)
    options = {"acceleration": acceleration, "iterations": 300, "gain": 1}
    result = run(image, "richardson_lucy", stop="consensus", **options)
    every = run(image, "richardson_lucy", keep_every=5, **options)
    best = min(error(estimate, truth) for estimate in every.intermediate.values())
    assert result.iterations >= 5
    assert error(result.image, truth) <= 1.25 * best
    assert "only noise (consensus)" in result.stop_reason or result.iterations == 300


def test_over_iteration_shows_in_the_history():
    """Photons kept aside are met worse and worse while the fit goes on to improve."""
    truth, image = specimen(100, seed=3)
    result = run(image, "richardson_lucy", iterations=150, stop="consensus", gain=1)
    assert result.iterations < 150
    assert result.history["held_out"][-1] > result.history["held_out"].min()
    long = run(image, "richardson_lucy", iterations=150, gain=1, keep_every=5)
    fit = long.history["discrepancy"]
    assert fit[-1] < fit[result.iterations // 5]
    assert fit[-1] < 1
    errors = [error(estimate, truth) for estimate in long.intermediate.values()]
    assert errors[-1] > 1.3 * min(errors)


@pytest.mark.parametrize("stop", ["discrepancy", "quality", "consensus"])
def test_no_rule_stops_before_anything_is_done(stop):
    truth, image = specimen(15, seed=4)
    result = run(image, "richardson_lucy", iterations=100, stop=stop, gain=1)
    assert result.iterations >= 5
    assert error(result.image, truth) < error(image - 10.0, truth)
    assert result.stop_reason.startswith(("stopped after", "100 iterations"))


def test_the_gain_is_estimated_where_it_is_needed():
    rng = np.random.default_rng(5)
    truth = gaussian_filter(rng.random((16, 96, 96)) < 0.004, 2.0) * 1e5
    blurred = convolve(truth, PSF, boundary="zero", engine="cpu").clip(0) + 30
    image = 2.5 * rng.poisson(blurred) + 100
    options = {"background": 175, "iterations": 10}
    result = run(image, "richardson_lucy", stop="discrepancy", offset=100, **options)
    assert result.gain == pytest.approx(2.5, rel=0.2)
    assert np.isnan(run(image, "richardson_lucy", **options).gain)


def test_a_rule_without_a_gain_is_dropped_with_a_warning():
    smooth = gaussian_filter(np.random.default_rng(6).random((8, 40, 40)), 3) * 100
    with pytest.warns(DeconvWarning, match="gain cannot be estimated.*all iterations are done"):
        result = deconvolve(smooth, PSF, stop="consensus", iterations=7, engine="cpu")
    assert result.iterations == 7
    assert result.stop_reason == "7 iterations done"
    assert np.isnan(result.gain)
    with pytest.raises(DeconvError, match="gain"):
        deconvolve(smooth, PSF, damping=3, iterations=7, engine="cpu")


def test_the_automatic_weight_of_total_variation_is_shown(bright):
    result = run(bright[1], "richardson_lucy", regularization="tv", regularization_weight="auto")
    assert 0 < result.weights["tv"] <= 0.05


def test_depths_of_one_psf_are_that_psf(bright):
    image = bright[1]
    options = {"iterations": 6, "background": 10, "engine": "cpu", "spacing": (0.3, 0.1, 0.1)}
    one = deconvolve(image, PSF, **options).image
    two = deconvolve(image, [PSF, PSF], depths=[0, 2.0], **options).image
    np.testing.assert_allclose(two, one, atol=1e-4 * one.max())
    coarse = deconvolve(image, [PSF, PSF], depths=[0, 2.0], levels=2, **options).image
    expected = deconvolve(image, PSF, levels=2, **options).image
    np.testing.assert_allclose(coarse, expected, atol=1e-3 * one.max())


@pytest.mark.parametrize(
    "method", [name for name, kind in METHODS.items() if "depths" in kind.takes]
)
def test_every_method_takes_a_psf_that_changes_with_depth(bright, method):
    """Two depths of one PSF are that PSF; of two PSFs, they are neither."""
    wide = gaussian_filter(POINT, (2.0, 2.2, 2.2)).astype(np.float32)
    options = {"iterations": 6, "background": 10, "engine": "cpu", "spacing": (0.3, 0.1, 0.1)}
    if METHODS[method].counts_photons:
        options["gain"] = 1.0

    def solve(psfs, **more):
        return deconvolve(bright[1], psfs, method=method, **options, **more).image

    one = solve(PSF)
    two = solve([PSF, PSF], depths=[0, 3.3])
    if method != "gradient_consensus":  # which of two voxels agree is decided by the last digit
        np.testing.assert_allclose(two, one, atol=2e-3 * one.max())
    varying = solve([PSF, wide], depths=[0, 3.3])
    assert error(varying[0], one[0]) < error(varying[-1], one[-1])
    assert error(varying, one) > 0.01


def test_accelerated_steps_are_worth_several_plain_ones(bright):
    """40 scaled heavy-ball steps fit as well as 200 plain ones; Biggs–Andrews lies between."""
    _, image = bright

    def fit(acceleration, iterations):
        options = {"acceleration": acceleration, "iterations": iterations + 1}
        return run(image, "richardson_lucy", **options).history["divergence"][-1]

    plain = fit(None, 200)
    assert fit("heavy_ball", 40) < 1.02 * plain
    assert fit("biggs", 40) < 1.02 * fit(None, 120)
    assert fit(None, 40) > 1.05 * plain


def test_memory_is_told_before_the_run():
    image, psf = np.zeros((64, 256, 256), np.uint16), np.ones((63, 63, 63))
    image[0, 0, 0] = 1
    plain = memory_needed(image, psf, background=0)
    assert plain == 7 * 4 * 128 * 320 * 322
    assert memory_needed(image, psf, background=0, acceleration="biggs") == plain * 9 // 7
    assert memory_needed(np.stack([image] * 2), psf, background=0) == plain
    with pytest.raises(TypeError, match="no option sharpness"):
        memory_needed(image, psf, sharpness=3)
