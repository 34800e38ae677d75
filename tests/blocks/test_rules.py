"""What the tiles that are deconvolved ahead find, and when there is nothing for them to find."""

from __future__ import annotations

import numpy as np
import pytest
from tests.blocks.cases import bars

from napari_deconv import DeconvWarning, prepare_blocks
from napari_deconv.blocks import pilots
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.order import check_order

BLOCK = (16, 48, 48)
TILES = [Tile((), (0, 0, x), (16, 48, x + 48)) for x in (0, 48, 96)]


@pytest.mark.parametrize(
    ("given", "iterations", "weight"),
    [
        ({"stop": "quality"}, 9, None),
        ({"regularization": "tv", "regularization_weight": "auto"}, 9, 0.3),
        ({}, 40, None),  # of which the coarse steps alone are asked for
    ],
    ids=str,
)
def test_what_pilots_find_is_their_median(given, iterations, weight):
    options = check_order(bars().psf, 3, {"engine": "cpu"} | given).options
    rules = {"stop": options.stop, "gain": None, "offset": None}
    results = [(30, 0.1, [60, 15]), (9, 0.3, [40, 13]), (5, 0.9, [44, 15])]
    found = dict(zip(TILES, results, strict=True))
    median = pilots._median(options, pilots.Pilots(TILES, rules, 1.0), found)
    assert median.iterations == iterations
    assert median.coarse_steps == (44, 15)
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
    assert {progress.iterations for progress in told} == {4}  # no pilot was sent ahead
    assert np.isnan(result.gain)


def test_light_below_zero_is_no_light():
    sample = bars()
    image = sample.image.astype(np.float32) - 3
    with pytest.warns(DeconvWarning, match="voxels are below 0"):
        result = prepare_blocks(image, sample.psf, block=BLOCK, background=0.5, engine="cpu")
    (survey,) = result.surveys.values()
    assert survey.light == pytest.approx(np.maximum(image, 0).mean() - 0.5, rel=1e-6)
