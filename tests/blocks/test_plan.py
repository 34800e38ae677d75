"""The plan: tiles that fit the memory, and what it says of them."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from math import prod

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.blocks.cases import bars

from napari_deconv import DeconvError, prepare_blocks, set_limits
from napari_deconv.blocks import deconvolve_blocks, plan_blocks
from napari_deconv.blocks.grid import Tile, regions
from napari_deconv.deconvolution.volume import grid_of
from napari_deconv.forward import fast_shape

PSF = np.hanning(7)[1:-1, None, None] ** 2 * np.hanning(11)[1:-1, None] * np.hanning(11)[1:-1]


def wide():
    profile = np.exp(-(np.linspace(-2.5, 2.5, 21) ** 2))
    return profile[:, None, None] * profile[:, None] * profile


def volume(*shape):
    return da.zeros(shape, dtype=np.uint16, chunks=64)


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(20, 900), st.integers(20, 900)),
    memory=st.floats(2e6, 2e9),
)
def test_tiles_cover_the_image_once_and_fit_the_memory(shape, memory):
    plan = plan_blocks(volume(*shape), PSF, iterations=1, memory=memory, engine="cpu")
    assert tuple(map(sum, plan.chunks)) == shape
    assert plan.memory.device <= memory
    covered = sum(prod(tile.shape) for tile in plan.tiles())
    assert covered == prod(shape)


def test_the_plan_counts_what_is_computed():
    plan = plan_blocks(volume(2, 30, 200, 150), PSF, block=(30, 64, 50), engine="cpu")
    computed = 0
    for tile in plan.tiles():
        region = tile.region(plan.overlap, plan.space)
        seen = [edge.stop - edge.start for edge in region]
        computed += prod(grid_of(seen, PSF.shape, "padded"))
    assert plan.computed == computed
    assert plan.waste == pytest.approx(computed / prod(plan.shape))
    assert plan.counts == (2, 1, 4, 3)


def test_no_other_way_to_cut_leaves_less_to_compute():
    image = volume(40, 90, 70)
    plan = plan_blocks(image, PSF, iterations=1, memory=4e6, engine="cpu")
    for z in (16, 20, 40):
        for y in range(16, 91, 7):
            for x in range(16, 71, 6):
                other = plan_blocks(image, PSF, iterations=1, block=(z, y, x), engine="cpu")
                assert other.memory.device > 4e6 or other.computed >= plan.computed


def test_an_image_that_fits_is_one_tile():
    plan = plan_blocks(volume(20, 64, 64), PSF, engine="cpu")
    assert plan.counts == (1, 1, 1)
    assert plan.describe().startswith("20 × 64 × 64 voxels in 1 tile, on grids of up to 24 × ")


def test_the_limit_of_the_process_is_the_plan_s(no_limits):
    image = volume(64, 256, 256)
    set_limits(memory=5e7)
    plan = plan_blocks(image, PSF, engine="cpu")
    assert prod(plan.counts) > 1
    assert plan.memory.device <= 5e7
    assert f" voxels in {prod(plan.counts)} tiles of " in plan.describe()
    assert "voxels computed for each one of the image" in plan.describe()


def test_tiles_that_are_nearly_all_surroundings_are_told_of():
    image = volume(64, 256, 256)
    advice = "Larger tiles compute fewer: give more memory."
    small, large = (plan_blocks(image, PSF, block=n, engine="cpu") for n in (8, 64))
    assert small.waste > 10 > large.waste
    assert advice in small.describe()
    assert advice not in large.describe()


def test_a_terabyte_is_planned():
    plan = plan_blocks(volume(2048, 16384, 16384), PSF, memory=4e9, engine="cpu")
    assert plan.waste < 1.5
    assert 2e9 < plan.memory.device <= 4e9


def test_sizes_are_given_for_all_space_axes_at_once_or_for_each():
    image = volume(2, 3, 30, 40, 50)
    options = {"iterations": 1, "engine": "cpu"}
    for block in (20, np.int64(20), (20, 20, 20), [1, 1, 20, 20, 20], np.array([20, 20, 20])):
        assert plan_blocks(image, PSF, block=block, **options).block == (20, 20, 20)
    assert plan_blocks(image, PSF, block=20, overlap=0, **options).overlap == (0, 0, 0)
    for wrong, message in {
        (20, 20): "expected a number, or 3 numbers",
        (2, 20, 20, 20): "expected a number, or 3 numbers",
        (0, 20, 20): "block=.*0.* expected a whole number of at least 1",
        (20, 20, 2.5): "expected a whole number of at least 1",
    }.items():
        with pytest.raises(DeconvError, match=message):
            plan_blocks(image, PSF, block=wrong, **options)
    with pytest.raises(DeconvError, match="overlap=-1: expected a whole number of at least 0"):
        plan_blocks(image, PSF, block=20, overlap=-1, **options)


def test_time_is_measured_on_a_part_of_a_large_tile():
    """A tile of 60 million voxels is not run for it."""
    from napari_deconv.blocks import timing

    assert timing._part((260, 520, 520), PSF.shape) == [130, 130, 260]
    assert timing._part((40, 3000, 3000), (33, 5, 5)) == [40, 375, 375]
    assert timing._part((1, 64, 64), (1, 9, 9)) == [1, 64, 64]


# On coarse levels 30 steps on the coarsest and 15 on the next, and one before each.
COARSE = 31 / 64 + 16 / 8


@pytest.mark.parametrize(
    ("options", "tile", "pilot"),
    [
        ({"iterations": 30}, 31, 0),
        ({"iterations": 30, "stop": "discrepancy"}, 31, 31),
        ({"iterations": 30, "regularization": "tv", "regularization_weight": "auto"}, 31, 31),
        ({"iterations": 30, "levels": "auto"}, 31 + COARSE, 0),
        ({"iterations": 30, "levels": "auto", "stop": "quality"}, 31 + COARSE, 31 + COARSE),
        ({"method": "wiener", "regularization_weight": 0.1}, 1, 0),
    ],
    ids=str,
)
def test_time_adds_up_from_a_few_steps(clock, options, tile, pilot):
    image = volume(300, 300, 300)
    for block, ahead in (64, 3 / 125), (300, 1):  # of which the second is measured on a part
        plan = plan_blocks(image, wide(), block=block, engine="cpu", **options)
        steps = tile + ahead * pilot
        assert plan.seconds() == pytest.approx(1e-9 * (image.size + plan.computed * steps))


@pytest.mark.parametrize(("shape", "parts"), [((64, 256, 512), 2), ((40, 50, 60), 1)])
def test_a_weight_takes_the_time_of_the_parts_it_is_found_in(clock, shape, parts):
    image = np.random.default_rng(0).poisson(9, shape)
    options = {"method": "wiener", "regularization_weight": "auto"}
    plan = plan_blocks(image, wide(), block=64, engine="cpu", **options)
    part = grid_of(
        [min(sizes) for sizes in zip(shape, (64, 256, 256), strict=True)], wide().shape, "padded"
    )
    steps = plan.computed + parts * 2 * prod(part)
    assert plan.seconds() == pytest.approx(1e-9 * (image.size + steps))


@pytest.fixture
def clock(monkeypatch):
    """One that goes on by the voxels of each step, by one step before the first, by a voxel's
    second for each that is counted, and by two steps for a weight."""
    from napari_deconv.blocks import timing

    now = [0.0]

    def go_on(problem, steps):
        now[0] += 1e-9 * steps * prod(grid_of(problem.image.shape, wide().shape, "padded"))

    def solve(problem, options, survey, models):
        go_on(problem, 1 + options.iterations)

    def count(image, *_):
        now[0] += 1e-9 * image.size

    monkeypatch.setattr(timing, "solve", solve)
    monkeypatch.setattr(timing, "count_tile", count)

    def find_weight(read, shape, options):
        now[0] += 2e-9 * prod(grid_of(shape, wide().shape, "padded"))

    monkeypatch.setattr(timing, "filter_directly", lambda problem, options: go_on(problem, 1))
    monkeypatch.setattr(timing, "find_weight", find_weight)
    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])


def test_of_each_volume_as_many_tiles_are_deconvolved_ahead_as_the_plan_tells(monkeypatch):
    from napari_deconv.blocks import plan as planning
    from napari_deconv.blocks import timing

    monkeypatch.setattr(planning, "seconds_a_voxel", lambda *_: timing.SecondsAVoxel(0.0, 1.0, 0.0))
    image = np.random.default_rng(0).poisson(20, (2, 16, 96, 96)).astype(np.uint16)
    for block in (96, (16, 96, 48), (16, 48, 48)):
        options = {"block": block, "stop": "quality", "iterations": 1, "engine": "cpu"}
        plan, told = plan_blocks(image, bars().psf, **options), []
        prepare_blocks(image, bars().psf, callback=told.append, background=1.0, **options)
        ahead = told[-1].iterations
        tiles = prod(plan.counts)
        assert plan.seconds() == pytest.approx(ahead * plan.computed / tiles)


def test_planes_of_a_psf_that_changes_with_depth_are_not_cut():
    psfs = [bars().psf] * 2
    image = volume(400, 256, 256)
    plan = plan_blocks(image, psfs, depths=(0, 5), memory=1e9, engine="cpu")
    assert plan.block[0] == 400
    with pytest.raises(DeconvError, match="has all 400 planes"):
        plan_blocks(image, psfs, depths=(0, 5), block=100, engine="cpu")


def test_a_psf_that_does_not_fall_off_is_seen_from_farther():
    flat = np.tile(np.hanning(23)[1:-1] * np.hanning(23)[1:-1, None], (11, 1, 1))
    options = {"iterations": 8, "engine": "cpu"}
    z, y, _ = plan_blocks(volume(64, 64, 64), flat, **options).overlap
    # 99.9 % of h ⋆ h lies within 10 planes; across, the PSF is 10.3 pixels wide.
    assert z == (1 + 1.4 * 2) * 10
    assert y == round((2.3 + 0.6 * np.sqrt(8)) * 10.3)
    rounded = flat * np.hanning(13)[1:-1, None, None]
    z, _, _ = plan_blocks(volume(64, 64, 64), rounded, **options).overlap
    assert z == round((2.3 + 0.6 * np.sqrt(8)) * 5.64)


def test_a_stack_thinner_than_the_overlap_is_not_cut_along_z():
    """Each of its tiles would see all planes, and have no margin to spare by it."""
    flat = np.tile(np.hanning(23)[1:-1] * np.hanning(23)[1:-1, None], (65, 1, 1))
    for planes in (50, 100, 200):
        plan = plan_blocks(volume(planes, 512, 512), flat, memory=0.4e9, engine="cpu")
        assert plan.overlap[0] > planes
        assert plan.counts[0] == 1 < plan.counts[1]
        assert plan.grid[0] == fast_shape([planes + 64])[0]


def test_light_gets_farther_in_more_iterations():
    """As measured on points beside a border, and up to 20 iterations on points all over a plane,
    of a Gaussian PSF 3.2 voxels wide.
    """
    z, y, x = np.ogrid[-8:9, -8:9, -8:9]
    psf = np.exp(-(z**2 + y**2 + x**2) / (2 * 1.36**2))
    image = volume(64, 64, 64)
    needed = {3: 9, 5: 10, 10: 12, 20: 14, 40: 16, 100: 18}
    for iterations, distance in needed.items():
        plan = plan_blocks(image, psf, iterations=iterations, engine="cpu")
        assert all(distance <= overlap <= distance + 3 for overlap in plan.overlap)
    coarse = plan_blocks(image, psf, iterations=10, levels="auto", engine="cpu")
    assert coarse.overlap == plan.overlap


@given(
    size=st.integers(8, 200),
    block=st.integers(1, 90),
    overlap=st.integers(0, 40),
    bins=st.sampled_from([1, 2, 4]),
)
def test_regions_are_cut_where_bins_are(size, block, overlap, bins):
    lengths = []
    for start in range(0, size, block):
        tile = Tile((), (start,), (min(start + block, size),))
        (seen,) = tile.region([overlap], [size], [bins])
        assert seen.start % bins == 0
        assert seen.stop % bins == 0 or seen.stop == size
        assert seen.stop - seen.start >= min(bins, size)
        assert seen.start <= max(tile.start[0] - overlap, 0)
        assert seen.stop >= min(tile.stop[0] + overlap, size)
        lengths.append(seen.stop - seen.start)
    assert lengths == regions(size, block, overlap, bins)


def test_levels_are_those_of_the_whole_image():
    # A tile of 16 planes alone would be binned once.
    plan = plan_blocks(volume(64, 64, 64), wide(), block=16, overlap=0, levels="auto", engine="cpu")
    assert plan.bins == (4, 4, 4)
    assert plan_blocks(volume(64, 64, 64), wide(), levels=2, engine="cpu").bins == (2, 2, 2)
    assert plan_blocks(volume(64, 64, 64), wide(), engine="cpu").bins == (1, 1, 1)


def test_tiles_smaller_than_a_coarse_level_needs_are_done():
    image = np.random.default_rng(0).poisson(30, (37, 33, 34)).astype(np.uint16)
    options = {"levels": "auto", "iterations": 2, "background": 5.0, "engine": "cpu"}
    tiled = deconvolve_blocks(image, wide(), block=12, overlap=0, **options)
    assert np.isfinite(tiled.compute()).all()


def test_regions_are_those_of_the_tiles():
    assert regions(10, 4, 3) == [7, 9, 5]
    assert regions(10, 10, 3) == [10]


def test_work_goes_to_another_process():
    sample = bars()
    tiled = deconvolve_blocks(
        sample.image, sample.psf, block=(16, 48, 96), iterations=2, background=1, engine="cpu"
    )
    again = pickle.loads(pickle.dumps(tiled))
    np.testing.assert_array_equal(again.compute(), tiled.compute())
    # One task a tile, and the work that they share.
    (computed,) = dask.optimize(tiled)
    assert len(dict(computed.__dask_graph__())) == 3


AUTO = {"method": "wiener", "regularization_weight": "auto"}
CONSENSUS = {"stop": "consensus", "gain": 1.0, "iterations": 12}  # it keeps estimates from the 5th


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads and resets the peak in /proc")
@pytest.mark.parametrize("engine", ["cpu", "opencl"])
@pytest.mark.parametrize(
    "case",
    [
        {"side": 216, "psf": 9},
        {"side": 192, "psf": 33, "dtype": "float32"},
        {"side": 128, "psf": 97},
        {"side": 192, "psf": 33, "options": {"regularization": "tv"}},
        {"side": 192, "psf": 33, "options": {"method": "wiener"}},
        {"side": 192, "psf": 33, "options": {"levels": "auto"}},
        {"side": 232, "psf": 33, "options": {"method": "fista"}},
        {"side": 232, "psf": 33, "options": {"boundary": "circular"}},
        {"side": 192, "psf": 33, "options": {"boundary": "reflect"}},
        {"side": 192, "psf": 33, "options": {"acceleration": "biggs"}},
        {"side": 192, "psf": 33, "options": {"method": "gradient_consensus", "gain": 1.0}},
        {"side": 192, "psf": 33, "options": {"damping": 2.0, "gain": 1.0}},
        {"side": 192, "psf": 33, "ahead": "survey", "options": CONSENSUS},
        {"side": 192, "psf": 33, "ahead": "weight", "options": AUTO},
        {"side": 300, "psf": 33, "ahead": "weight", "options": AUTO},
        {"side": 144, "psf": 97, "ahead": "weight", "options": AUTO},
    ],
    ids=str,
)  # fmt: skip
def test_predicted_memory_is_within_a_fifth_of_the_peak(engine, case):
    # A graphics card's arrays are on the card; PoCL's are in this process, as the CPU engine's.
    command = [sys.executable, "-m", "tests.blocks.peak_memory", engine, json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["predicted"] == pytest.approx(found["peak"], rel=0.2)
