"""What the tiles that are deconvolved ahead find, and when there is nothing for them to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.blocks.cases import bars

from napari_deconv import DeconvError, DeconvWarning, deconvolve, gain, prepare_blocks
from napari_deconv.blocks import camera, pilots, tiles
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.order import check_order
from napari_deconv.blocks.plan import make_plan
from napari_deconv.blocks.region import Survey
from napari_deconv.blocks.source import check_source
from napari_deconv.blocks.tile import Work

BLOCK = (16, 48, 48)
TILES = [Tile((), (0, 0, x), (16, 48, x + 48)) for x in (0, 48, 96)]


@pytest.mark.parametrize(
    ("given", "iterations", "weight"),
    [
        ({"stop": "quality"}, 9, None),
        ({"regularization": "tv", "regularization_weight": "auto"}, 9, 0.3),
    ],
    ids=str,
)
def test_what_pilots_find_is_their_median(given, iterations, weight):
    order = check_order(bars().psf, 3, {"engine": "cpu"} | given)
    rules = {"stop": order.options.stop, "gain": None, "offset": None}
    results = [(30, 0.1), (9, 0.3), (5, 0.9)]
    found = dict(zip(TILES, results, strict=True))
    median = pilots._median(order, pilots.Pilots(TILES, rules, 1.0), found)
    assert median.iterations == iterations
    assert weight in (None, median.weight)


def test_without_a_gain_a_rule_that_needs_it_is_left_out():
    image = np.tile(np.linspace(0, 100, 96), (16, 96, 1))
    told = []
    with pytest.warns(DeconvWarning, match="all iterations are done") as said:
        result = prepare_blocks(
            image, bars().psf, block=BLOCK, stop="discrepancy", iterations=7, engine="cpu",
            callback=told.append,
        )  # fmt: skip
    assert len(said) == 1
    assert (result.iterations, result.stop_reason) == (7, "7 iterations done")
    # Four tiles are read, and one place for the gain; no pilot was sent ahead.
    assert [progress.iterations for progress in told] == [4, 4, 4, 4, 1]
    assert np.isnan(result.gain)


def test_light_below_zero_is_no_light():
    sample = bars()
    image = sample.image.astype(np.float32) - 3
    with pytest.warns(DeconvWarning, match="voxels are below 0"):
        result = prepare_blocks(image, sample.psf, block=BLOCK, background=0.5, engine="cpu")
    (survey,) = result.surveys.values()
    assert survey.light == pytest.approx(np.maximum(image, 0).mean() - 0.5, rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*all iterations are done")
@pytest.mark.parametrize("hot", ["square", "here and there"])
def test_masked_voxels_do_not_count_in_the_gain(hot):
    """Nor do the tiles around them, in which it cannot be told where all are such."""
    sample = bars()
    image, mask = sample.image.copy(), np.ones(sample.image.shape, bool)
    if hot == "square":
        mask[:, 30:66, 30:66] = False
    else:
        mask[np.random.default_rng(0).random(mask.shape) < 0.02] = False
    image[~mask] = 4000
    options = {"stop": "discrepancy", "iterations": 2, "background": 1.8, "engine": "cpu"}
    whole = deconvolve(image, sample.psf, mask=mask, **options).gain
    cut = prepare_blocks(image, sample.psf, mask=mask, block=BLOCK, **options).gain
    assert cut == pytest.approx(whole, rel=0, abs=0, nan_ok=True)
    assert np.isnan(whole) == (hot != "square")


@pytest.mark.filterwarnings("ignore:.*voxels are below 0")
@pytest.mark.parametrize("space", [(48, 96, 96), (480, 320)], ids=len)
@pytest.mark.parametrize("lowest", [0, -5.0])
def test_the_gain_of_a_large_image_is_found_in_the_same_places(monkeypatch, lowest, space):
    rng = np.random.default_rng(3)
    image = rng.poisson(np.tile(np.linspace(5, 60, space[-1]), (*space[:-1], 1))) + lowest
    psf = bars().psf if len(space) == 3 else np.outer(*[np.hanning(9)[1:-1]] * 2)
    monkeypatch.setattr(gain, "_VOXELS", 0)
    monkeypatch.setattr(gain, "_BOX", (1, 36, 36))
    options = {"damping": 2.0, "iterations": 1, "background": 0.5, "engine": "cpu"}
    whole = deconvolve(image, psf, **options).gain
    assert whole == pytest.approx(1, rel=0.2)
    assert prepare_blocks(image[np.newaxis], psf, block=48, **options).gain == [whole]


@pytest.mark.parametrize("stop", ["discrepancy", "consensus"])
def test_a_cluster_that_fails_is_no_image_without_a_gain(monkeypatch, stop):
    def lost(*_):
        raise DeconvError("The connection to the Dask scheduler was lost.")

    monkeypatch.setattr(camera, "compute_each", lost)
    with pytest.raises(DeconvError, match="connection"):
        prepare_blocks(bars().image, bars().psf, block=BLOCK, stop=stop, engine="cpu")


def test_without_pixels_enough_for_a_gain_a_rule_is_left_out():
    image = np.random.default_rng(0).poisson(9, (40, 18, 18))
    options = {"stop": "discrepancy", "iterations": 2, "background": 1, "engine": "cpu"}
    with pytest.warns(DeconvWarning, match="Only 0 tiles of 16 × 16 pixels .* iterations are done"):
        assert np.isnan(prepare_blocks(image, bars().psf, block=20, **options).gain)


def test_what_was_found_is_part_of_the_fingerprint():
    """A run that is resumed where another number of iterations is found would have seams."""
    sample = bars()
    source, order = check_source(sample.image, 1.8, None), check_order(sample.psf, 3, {})
    plan = make_plan(source.shape, sample.image.dtype, order, BLOCK, None, None)
    found = Survey(1.8, 32.0, 5.0, 1.0, 0.0, 9, 0.1, content="voxels")

    def fingerprint(**changed):
        return tiles._fingerprint(Work(source, plan, {(): replace(found, **changed)}))

    assert fingerprint(weight=0.1000001, gain=0.9999999, stop_reason="so") == fingerprint()
    others = [
        fingerprint(iterations=10), fingerprint(weight=0.11),
        fingerprint(gain=1.1), fingerprint(content="other voxels"),
    ]  # fmt: skip
    assert len({fingerprint(), *others}) == 5
