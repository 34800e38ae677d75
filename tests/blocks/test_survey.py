"""What all tiles share is what the whole image would give."""

from __future__ import annotations

import weakref
from collections import Counter

import dask.array as da
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from tests.blocks.cases import BOUND, bars

from napari_deconv import (
    DeconvError,
    DeconvWarning,
    deconvolve,
    estimate_background,
)
from napari_deconv.blocks import background, deconvolve_blocks, prepare_blocks, survey
from napari_deconv.blocks.background import Sampling
from napari_deconv.blocks.computing import compute_each
from napari_deconv.blocks.grid import Tile
from napari_deconv.blocks.order import check_order
from napari_deconv.blocks.plan import make_plan
from napari_deconv.blocks.source import check_source
from napari_deconv.errors import DeviceMemoryError

BLOCK = (16, 48, 48)


def take(image, psf, block=BLOCK, background="auto", mask=None, overlap=None, **options):
    source = check_source(image, background, mask)
    order = check_order(psf, image.ndim, {"engine": "cpu"} | options)
    plan = make_plan(source.shape, image.dtype, order, block, overlap, None)
    return survey.take_survey(source, plan)


def tiles_of(space, block):
    for corner in np.ndindex(*(-(-n // b) for n, b in zip(space, block, strict=True))):
        start = tuple(i * b for i, b in zip(corner, block, strict=True))
        yield Tile((), start, tuple(np.minimum(np.add(start, block), space).tolist()))


def test_background_scale_and_light_are_those_of_the_image(engine):
    sample = bars()
    (found,) = take(sample.image, sample.psf, engine=engine).values()
    level = estimate_background(sample.image, engine=engine)
    assert found.background == pytest.approx(level, rel=1e-5)
    assert found.light == pytest.approx(sample.image.mean() - level, rel=1e-5)
    assert found.scale <= sample.image.max() < 2 * found.scale
    assert np.log2(found.scale).is_integer()


@pytest.mark.parametrize("every", [1, 3])
def test_a_background_is_sampled_on_one_grid(every):
    """Whatever the tiles; a small volume is smoothed over their borders."""
    image = bars().image
    smooth = gaussian_filter(image.astype(float), 2.0)
    sampling = Sampling(image.shape, every)
    (whole,) = tiles_of(image.shape, image.shape)
    expected = smooth[::every, ::every, ::every]
    np.testing.assert_allclose(sampling.take(image, None, whole), expected.ravel(), rtol=1e-5)
    for tile in tiles_of(image.shape, (7, 40, 50)):
        here = tile.region((0, 0, 0), image.shape)
        local = smooth[here] if every == 1 else gaussian_filter(image[here].astype(float), 2.0)
        expected = local[tuple(slice(-start % every, None, every) for start in tile.start)]
        found = sampling.take(image[sampling.region(tile)], None, tile)
        np.testing.assert_allclose(found, expected.ravel(), rtol=1e-5)


def test_a_sample_of_the_voxels_tells_the_background(monkeypatch):
    sample = bars()
    image = np.tile(sample.image, (1, 3, 3))
    level = estimate_background(image, engine="cpu")
    monkeypatch.setattr(background, "_SAMPLE", image.size // 8)
    # Each tile is smoothed by itself: at its borders noise is more.
    (found,) = take(image, sample.psf, (16, 100, 77)).values()
    assert found.background == pytest.approx(level, rel=0.01)


def test_a_large_volume_is_read_once(monkeypatch):
    sample = bars()
    read = []

    class Watched:
        shape, dtype, ndim = sample.image.shape, sample.image.dtype, 3

        def __getitem__(self, index):
            read.append(sample.image[index].size)
            return sample.image[index]

    monkeypatch.setattr(background, "_SAMPLE", sample.image.size // 8)
    take(Watched(), sample.psf)
    assert len(read) == 4
    assert sum(read) == sample.image.size


def test_samples_of_a_volume_are_let_go_of(monkeypatch):
    """Else a thousand time points would hold thousand times four million numbers."""
    sample = bars()
    together, samples, alive = survey._together, [], []

    def watched(tiles, tallies, darkest):
        alive.append(sum(each() is not None for each in samples))
        samples.extend(weakref.ref(tally.sample) for tally in tallies)
        return together(tiles, tallies, darkest)

    monkeypatch.setattr(survey, "_together", watched)
    assert len(take(np.stack([sample.image] * 4), sample.psf)) == 4
    assert len(samples) == 4 * 4
    assert alive == [0] * 4
    assert all(each() is None for each in samples)


def test_masked_voxels_say_nothing_of_the_background(engine):
    """Neither do they set the percentile nor darken what is smoothed beside them."""
    sample = bars()
    image, mask = sample.image + 100.0, np.ones(sample.image.shape, bool)
    mask[:, :, :50] = False
    image[~mask] = np.nan
    level = estimate_background(image[:, :, 50:], engine=engine)
    (found,) = take(image, sample.psf, mask=mask, engine=engine).values()
    assert found.background == pytest.approx(level, rel=1e-3)
    # As the whole does.
    result = deconvolve(image, sample.psf, mask=mask, iterations=1, engine=engine)
    assert found.background == pytest.approx(float(result.background), rel=1e-5)


def test_a_given_background_is_taken_off_the_light():
    sample = bars()
    background = np.linspace(0.5, 2, 96)
    (found,) = take(sample.image, sample.psf, background=background).values()
    assert found.light == pytest.approx((sample.image - background).mean(), rel=1e-6)


def test_masked_voxels_do_not_count():
    sample = bars()
    image = sample.image.astype(float)
    mask = image < np.quantile(image, 0.98)
    image[~mask] = np.nan
    (found,) = take(image, sample.psf, mask=mask, background=1.0).values()
    assert found.light == pytest.approx(image[mask].mean() - 1, rel=1e-6)
    assert found.scale <= image[mask].max() < 2 * found.scale


def test_any_voxel_and_what_lies_on_it_changes_what_the_content_is_told_by():
    sample = bars()

    def content(image, **on_it):
        return take(image, sample.psf, iterations=1, **{"background": 1.0} | on_it)[()].content

    first = content(sample.image)
    assert content(da.from_array(sample.image, 30)) == first
    other, mask = sample.image.copy(), np.ones(sample.image.shape, bool)
    other[-1, 50, 20] += 1
    mask[0, 0, 0] = False
    level = np.ones(sample.image.shape)
    level[3, 4, 5] = 1.5
    said = [
        content(other),
        content(sample.image, mask=mask),
        content(sample.image, background=level),
    ]
    assert len({first, *said}) == 4


def test_each_volume_of_a_series_has_its_own():
    sample = bars()
    series = np.stack([sample.image, 3 * sample.image])
    first, second = take(series, sample.psf).values()
    assert second.background == pytest.approx(3 * first.background, rel=1e-5)
    assert second.light == pytest.approx(3 * first.light, rel=1e-5)


@pytest.mark.parametrize("stop", ["discrepancy", "quality", "consensus"])
def test_rules_stop_tiles_where_they_stop_the_image(stop):
    sample = bars()
    whole = deconvolve(sample.image, sample.psf, stop=stop, engine="cpu")
    (one,) = take(sample.image, sample.psf, sample.image.shape, stop=stop).values()
    (cut,) = take(sample.image, sample.psf, stop=stop).values()
    assert one.iterations == whole.iterations
    assert abs(cut.iterations - whole.iterations) <= 5
    if stop == "quality":
        assert np.isnan([one.gain, one.offset]).all()
    else:
        assert one.gain == pytest.approx(whole.gain)
        assert cut.gain == pytest.approx(whole.gain, rel=0.05)


def test_what_was_found_is_told():
    sample = bars()
    series = np.stack([sample.image, 2 * sample.image])
    result = prepare_blocks(
        series, sample.psf, block=BLOCK, stop="discrepancy", gain=1.0, offset=0.0, engine="cpu"
    )
    steps = [survey.iterations for survey in result.surveys.values()]
    assert result.found["iterations"] == steps
    assert result.iterations == max(steps)
    assert min(steps) < 40
    levels = [estimate_background(image, engine="cpu") for image in series]
    assert result.found["background"] == pytest.approx(levels)
    np.testing.assert_allclose(result.background, levels, rtol=1e-6)
    assert result.found["gain"] == [1.0, 1.0]
    assert "weight" not in result.found
    assert result.stop_reason == "; ".join(
        f"{n} iterations done: the median of what {count} tiles found by stop='discrepancy'"
        for n, count in zip(steps, (3, 3), strict=True)
    )
    assert result.recipe["operation"] == "deconvolve_blocks"
    assert result.recipe["parameters"]["stop"] == "discrepancy"


@pytest.mark.parametrize(
    ("options", "iterations", "reason", "rules"),
    [
        ({"iterations": 7}, 7, "7 iterations done", set()),
        ({"method": "wiener"}, 1, "Wiener filter needs one step", {"gcv"}),
        (
            {"stop": "quality", "block": 96},
            None,
            "iterations done: what one tile found by stop='quality'",
            set(),
        ),
    ],
    ids=str,
)
def test_why_it_ends(options, iterations, reason, rules):
    sample = bars()
    options = {"block": BLOCK, "regularization_weight": "auto" if rules else None} | options
    result = prepare_blocks(sample.image, sample.psf, background=1.8, engine="cpu", **options)
    assert result.stop_reason.endswith(reason)
    assert set(result.weights) == rules
    assert iterations in (None, result.iterations)
    assert result.stop_reason.startswith(f"{result.iterations} ") or result.iterations == 1


def test_progress_is_told_and_ends_it():
    """After each tile that is read, each step of a pilot, and each pilot."""
    sample = bars()
    told = []
    options = {"block": BLOCK, "stop": "quality", "iterations": 10, "engine": "cpu"}
    deconvolve_blocks(sample.image, sample.psf, callback=told.append, **options)
    steps = [(progress.iteration, progress.iterations) for progress in told]
    assert steps[:4] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    pilots = steps[-1][1]
    counts = Counter(steps[4:])
    assert list(counts) == [(done, pilots) for done in range(pilots + 1)]
    assert counts[0, pilots] == 10
    assert counts[pilots, pilots] == 1

    def cancel(progress):
        told.append(progress)
        if len(told) == at:
            raise KeyboardInterrupt

    # While tiles are read, and within a pilot.
    for at in (1, 7):
        told.clear()
        with pytest.raises(KeyboardInterrupt):
            deconvolve_blocks(sample.image, sample.psf, callback=cancel, **options)
        assert len(told) == at


def test_a_tile_can_be_broken_off_after_each_step():
    sample = bars()
    lazy = deconvolve_blocks(
        sample.image, sample.psf, block=BLOCK, iterations=6, background=1.8, engine="cpu"
    )
    tasks = list(lazy.to_delayed().ravel()[:2])
    told = []
    assert len(list(compute_each(tasks, told.append))) == 2
    assert [progress.iteration for progress in told] == [*[0] * 6, *[1] * 7, 2]

    def cancel(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(compute_each(tasks, cancel))
    # Nobody is asked any more.
    assert lazy.blocks[0, 0, 0].compute().any()


def test_a_pilot_sees_what_a_tile_sees():
    sample = bars()
    read = []

    class Watched:
        shape, dtype, ndim = sample.image.shape, sample.image.dtype, 3

        def __getitem__(self, index):
            read.append(index)
            return sample.image[index]

    take(Watched(), sample.psf, overlap=(0, 8, 10), stop="quality", background=1.8, iterations=5)
    first = slice(0, 56), slice(40, 96)
    seen = [(slice(0, 16), y, x) for y in first for x in (slice(0, 58), slice(38, 96))]
    pilots = read[4:]
    assert pilots
    assert all(each in seen for each in pilots)


def test_the_scale_is_that_of_the_light_above_the_offset():
    sample = bars()
    given = {"background": 101.8, "damping": 2.0, "gain": 1.0, "offset": 100.0}
    (found,) = take(sample.image + 100, sample.psf, iterations=1, **given).values()
    assert found.scale <= sample.image.max() < 2 * found.scale


def test_a_pilot_that_does_not_fit_is_cut(engine, monkeypatch):
    sample = bars()
    dark = np.random.default_rng(0).poisson(1.8, sample.image.shape)
    image = np.concatenate([dark, sample.image], 1)
    options = {"stop": "discrepancy", "gain": 1.0, "offset": 0.0, "background": 1.8}
    options |= {"overlap": 0, "engine": engine}
    bright, other = (
        take(part, sample.psf, part.shape, **options)[()].iterations
        for part in (sample.image, dark)
    )
    assert bright != other
    require = type(engine).require

    def small(self, nbytes, largest, purpose):
        # The whole takes 46 MB, its halves 26.
        if nbytes > 40e6:
            raise DeviceMemoryError("no memory")
        require(self, nbytes, largest, purpose)

    monkeypatch.setattr(type(engine), "require", small)
    with pytest.warns(DeconvWarning, match="16 × 192 × 96 .* followed by 16 × 96 × 96 of them"):
        (found,) = take(image, sample.psf, image.shape, **options).values()
    assert found.iterations == bright


@pytest.mark.parametrize(
    "options", [{}, {"gain": 1.0, "offset": 0.5}, {"damping": 2.0, "iterations": 10}], ids=str
)
def test_tiles_keep_the_photons_aside_that_the_whole_image_does(options):
    """In the tiles ahead too: they stop where it does."""
    sample = bars()
    given = {"background": 1.8, "engine": "cpu", "stop": "consensus"} | options
    whole = deconvolve(sample.image, sample.psf, **given)
    tiles = prepare_blocks(sample.image, sample.psf, block=BLOCK, **given)
    assert tiles.iterations == whole.iterations < 40
    difference = np.abs(tiles.image.compute() - whole.image)[2:-2, 8:-8, 8:-8]
    assert difference.max() < BOUND * whole.image.max()


def test_grey_values_in_double_precision_are_split_alike():
    """A photon more or less by rounding would be another draw."""
    sample, gain = bars(), 0.1
    given = {"background": 100.28, "damping": 2.0, "gain": gain, "offset": 100.1, "iterations": 10}
    given |= {"engine": "cpu", "stop": "consensus"}
    image = gain * sample.image.astype(np.float64) + 100.1
    whole = deconvolve(image, sample.psf, **given)
    tiles = prepare_blocks(image, sample.psf, block=BLOCK, **given)
    assert tiles.iterations == whole.iterations
    difference = np.abs(tiles.image.compute() - whole.image)[2:-2, 8:-8, 8:-8]
    assert difference.max() < BOUND * whole.image.max()


def test_photons_are_kept_aside_by_their_place_in_planes_too():
    rng = np.random.default_rng(4)
    image = rng.poisson(5 + 20 * (np.hypot(*np.indices((200, 140)) - 70) % 16 < 8))
    psf = np.outer(*[np.hanning(9)[1:-1]] * 2)
    given = {"iterations": 5, "background": 1.0, "gain": 1.0, "engine": "cpu", "stop": "consensus"}
    whole = deconvolve(image, psf, **given).image
    tiles = prepare_blocks(image[np.newaxis], psf, block=48, **given).image.compute()
    difference = np.abs(tiles[0] - whole)[8:-8, 8:-8]
    assert difference.max() < BOUND * whole.max()


def test_an_automatic_weight_of_total_variation_is_about_that_of_the_image():
    sample = bars()
    options = {"regularization": "tv", "regularization_weight": "auto", "iterations": 20}
    whole = deconvolve(sample.image, sample.psf, engine="cpu", **options).weights["tv"]
    (one,) = take(sample.image, sample.psf, sample.image.shape, **options).values()
    (cut,) = take(sample.image, sample.psf, **options).values()
    assert one.weight == pytest.approx(whole, rel=1e-3)
    assert whole / 1.5 < cut.weight < 1.5 * whole


def test_bad_voxels_are_counted_in_all_tiles():
    sample = bars()
    image = sample.image.astype(np.float32)
    image[0, 0, 0] = image[-1, -1, -1] = np.nan
    with pytest.raises(DeconvError, match=f"has 2 NaN or infinite voxels of {image.size}"):
        deconvolve_blocks(da.from_array(image), sample.psf, block=BLOCK, engine="cpu")


def test_voxels_below_zero_are_said_once():
    sample = bars()
    image = sample.image.astype(np.float32)
    image[0, 0, 0] = image[-1, -1, -1] = -1
    with pytest.warns(DeconvWarning, match=f"2 of {image.size} voxels are below 0") as said:
        tiled = deconvolve_blocks(
            image, sample.psf, block=BLOCK, background=1, iterations=1, engine="cpu"
        )
    assert len(said) == 1
    assert tiled.compute().min() >= 0
