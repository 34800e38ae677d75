"""Tiles fit together: nothing tells where an image was cut."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from tests.blocks.cases import BOUND, bars, cells, seam

from napari_deconv import (
    DeconvError,
    DeconvWarning,
    DeviceError,
    Psf,
    deconvolve,
    make_psf,
    set_limits,
)
from napari_deconv.blocks import deconvolve_blocks, plan_blocks, prepare_blocks
from napari_deconv.deconvolution import parts
from napari_deconv.errors import DeviceMemoryError

BLOCK = (16, 48, 48)
QUICK = {"background": 1.8, "engine": "cpu"}


def test_richardson_lucy_has_no_seams(engine):
    sample = bars()
    found = seam(sample.image, sample.psf, (16, 48, 96), (2, 8, 8), background=1.8, engine=engine)
    assert found < BOUND


def test_a_coarse_start_makes_no_seams(engine):
    sample = bars()
    options = {"background": 1.8, "engine": engine, "levels": "auto", "iterations": 20}
    found = seam(sample.image, sample.psf, (16, 48, 96), (2, 8, 8), **options)
    assert found < BOUND


def test_a_coarse_start_makes_no_seams_in_widefield():
    image, psf = cells()
    options = {"background": 100.0, "engine": "cpu", "levels": "auto", "iterations": 2}
    assert seam(image, psf, (64, 128, 128), (8, 32, 32), **options) < BOUND


@pytest.mark.parametrize("iterations", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("sigma", [1.2, 2.5])
def test_few_iterations_on_many_points_in_the_dark_make_no_seams(iterations, sigma):
    rng = np.random.default_rng(1)
    points = np.zeros((140, 140))
    points[tuple(rng.integers(0, 140, (2, 250)))] = 400
    image = rng.poisson(gaussian_filter(points, sigma, mode="wrap") + 1)
    profile = np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2)
    psf = np.outer(profile, profile)
    options = {"iterations": iterations, "background": 1.0, "engine": "cpu"}
    assert seam(image, psf, (47, 47), (10, 10), **options) < BOUND


def test_shared_margins_make_no_seams_inside():
    sample = bars()
    found = seam(sample.image, sample.psf, BLOCK, (2, 24, 24), boundary="half_padded", **QUICK)
    assert found < BOUND


@pytest.mark.parametrize(
    "options",
    [
        {"method": "wiener"},
        {"regularization": "tv"},
        {"method": "nnls"},
        {"method": "landweber"},
        {"acceleration": None},
        {"regularization": "tikhonov"},
        {"regularization": "roughness"},
        {"damping": 2.0, "gain": 1.0},
        {"damping": 2.0, "gain": 1.0, "offset": 1.0},
        {"read_noise": 1.0, "gain": 1.0, "offset": 1.0, "iterations": 25},
    ],
    ids=str,
)
def test_other_methods_have_no_seams(options):
    sample = bars()
    options = QUICK | {"iterations": 10} | options
    assert seam(sample.image, sample.psf, (16, 48, 96), (2, 8, 8), **options) < BOUND


@pytest.mark.parametrize(
    "options",
    [
        {"method": "nnls"},
        {"method": "landweber"},
        {"regularization": "tv"},
        {"damping": 2.0, "gain": 1.0},
    ],
    ids=str,
)
def test_nor_have_they_after_a_coarse_start(options):
    sample = bars()
    options = QUICK | {"iterations": 5, "levels": "auto"} | options
    assert seam(sample.image, sample.psf, (16, 48, 96), (2, 8, 8), **options) < BOUND


def test_nor_have_shared_margins_inside_after_a_coarse_start():
    sample = bars()
    options = QUICK | {"iterations": 5, "levels": "auto", "boundary": "half_padded"}
    assert seam(sample.image, sample.psf, (16, 48, 96), (2, 24, 24), **options) < BOUND


def test_nor_has_an_image_with_a_mask_and_a_background_array_after_a_coarse_start():
    sample = bars()
    mask = np.ones(sample.image.shape, bool)
    mask[5:9, 40:56, 20:60] = False
    uneven = np.linspace(1, 2.5, 96, dtype=np.float32)
    options = {"mask": mask, "background": np.broadcast_to(uneven, sample.image.shape)}
    options |= {"engine": "cpu", "iterations": 5, "levels": "auto"}
    assert seam(sample.image, sample.psf, (16, 48, 96), (2, 8, 8), **options) < BOUND


@pytest.mark.parametrize("options", [{"damping": 2.0}, {"read_noise": 1.0, "offset": 1.0}], ids=str)
def test_an_estimated_gain_is_that_of_the_whole(options):
    sample = bars()
    options = QUICK | {"iterations": 20} | options
    whole = deconvolve(sample.image, sample.psf, **options)
    tiles = prepare_blocks(sample.image, sample.psf, block=(16, 48, 96), **options)
    assert tiles.gain == whole.gain
    difference = np.abs(tiles.image.compute() - whole.image)[2:-2, 8:-8, 8:-8].max()
    assert difference < BOUND * whole.image.max()


@pytest.mark.slow
@pytest.mark.parametrize(("iterations", "levels"), [(14, 1), (40, 1), (20, "auto")])
def test_cells_have_no_seams(iterations, levels):
    # 14 iterations are what the discrepancy rule finds.
    image, psf = cells()
    found = seam(
        image, psf, (64, 256, 128), (8, 16, 16), background=116, engine="cpu",
        iterations=iterations, levels=levels,
    )  # fmt: skip
    assert found < BOUND


@pytest.fixture(scope="module")
def dry_psf():
    """Widefield at NA 0.8, summed along y: for what is the same all along it."""
    psf = make_psf(
        "vectorial", shape=(33, 127, 127), spacing=(0.5, 0.16, 0.16), na=0.8, wavelength=0.52,
        n_immersion=1.0, n_sample=1.0, n_glass=1.0,
    )  # fmt: skip
    return np.asarray(psf).sum(1, keepdims=True)


def slice_of(shape, psf, seed):
    """A slice (z, x) of blobs with structure in them."""
    rng = np.random.default_rng(seed)
    coarse, fine = (gaussian_filter(rng.normal(size=shape), (s, 0, s)) for s in (9, 3))
    truth = np.where(coarse > 0.3 * coarse.std(), 100 + 300 * np.maximum(fine / fine.std(), 0), 0)
    return rng.poisson(np.maximum(fftconvolve(truth, psf, "same"), 0) + 20)


def seam_of_halves(psf, shape, axis, margin, seed, **options):
    """Seam of a slice that is cut in the middle of an axis."""
    block = tuple(n // 2 if a == axis else n for a, n in enumerate(shape))
    return seam(
        slice_of(shape, psf, seed), psf, block, margin, background=20, engine="cpu",
        centre_psf=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("iterations", [10, 40])
@pytest.mark.parametrize("seed", [0, 4, 5])
def test_widefield_has_no_seams_along_z(dry_psf, seed, iterations):
    options = {"seed": seed, "iterations": iterations}
    assert seam_of_halves(dry_psf, (512, 1, 128), 0, (8, 0, 0), **options) < BOUND


@pytest.mark.parametrize("iterations", [10, 40, 100])
@pytest.mark.parametrize("seed", [2, 3, 5])
def test_widefield_has_no_seams_across(dry_psf, seed, iterations):
    options = {"seed": seed, "iterations": iterations}
    assert seam_of_halves(dry_psf, (66, 1, 704), 2, (4, 0, 16), **options) < BOUND


@pytest.mark.parametrize("weight", [0.002, 0.02])
def test_total_variation_has_no_seams_in_widefield(dry_psf, weight):
    """Nor at any voxel that is as flat as its neighbours."""
    options = {"iterations": 40, "regularization": "tv", "regularization_weight": weight, "seed": 3}
    assert seam_of_halves(dry_psf, (66, 1, 704), 2, (4, 0, 16), **options) < BOUND
    assert seam_of_halves(dry_psf, (512, 1, 128), 0, (8, 0, 0), **options) < BOUND


# Twice as many voxels along the axis that is cut, and the least distance to the outer border.
@pytest.mark.parametrize(
    ("weight", "shape", "margin"),
    [
        (0.1, (64, 1, 1200), (8, 0, 120)),
        (0.01, (64, 1, 1800), (8, 0, 260)),
        (0.003, (64, 1, 2600), (8, 0, 440)),
        (0.001, (64, 1, 4000), (8, 0, 720)),
        (0.1, (1100, 1, 128), (100, 0, 8)),
        (0.03, (1100, 1, 128), (160, 0, 8)),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_wiener_s_filter_has_no_seams_in_widefield(dry_psf, seed, weight, shape, margin):
    """Farther from the outer border than it sees: from there on the other side of the grid is."""
    options = {"seed": seed, "method": "wiener", "regularization_weight": weight}
    assert seam_of_halves(dry_psf, shape, int(np.argmax(shape)), margin, **options) < BOUND


AUTO = {"method": "wiener", "regularization_weight": "auto", "engine": "cpu", "centre_psf": False}


@pytest.mark.parametrize("background", [20, "auto"])
def test_an_automatic_weight_makes_no_seams_in_widefield(dry_psf, background):
    """It is that of the whole, 2e-3 here, and tiles are planned for it."""
    image, options = slice_of((64, 1, 3200), dry_psf, 0), AUTO | {"background": background}
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeconvWarning)
        tiles = prepare_blocks(image, dry_psf, block=(64, 1, 1600), **options)
    whole = deconvolve(image, dry_psf, **options)
    assert tiles.weights == {"gcv": whole.weights["gcv"]}
    assert whole.weights["gcv"] < 0.004
    difference = np.abs(tiles.image.compute() - whole.image)[8:-8, :, 600:-600].max()
    assert difference < BOUND * whole.image.max()


def test_of_a_large_image_the_weight_is_found_in_the_same_parts(monkeypatch):
    """Whether it is in memory, and whatever is known of its background."""
    sample, options = bars(), {"method": "wiener", "regularization_weight": "auto", "engine": "cpu"}
    all_of_it = deconvolve(sample.image, sample.psf, **options).weights["gcv"]
    monkeypatch.setattr(parts, "_VOXELS", 2**14)
    tilted = np.linspace(1, 2, 96)[:, np.newaxis] + np.zeros(sample.image.shape)
    for background in ("auto", 1.8, tilted):
        given = options | {"background": background}
        whole = deconvolve(sample.image, sample.psf, **given).weights["gcv"]
        tiles = prepare_blocks(sample.image, sample.psf, block=BLOCK, **given)
        assert tiles.weights["gcv"] == whole
        assert whole != all_of_it
        assert all_of_it / 3 < whole < 3 * all_of_it


def test_a_weight_that_tiles_do_not_see_far_enough_for_is_said(dry_psf):
    """Such as that of one volume in a series, or of any where the overlap is given."""
    bright = slice_of((64, 1, 2000), dry_psf, 0)
    dim = np.random.default_rng(0).binomial(bright, 0.02)
    block, said = (64, 1, 1000), "sees .* farther than tiles do.*: tiles are then"
    with pytest.warns(DeconvWarning, match=said):
        tiles = prepare_blocks(np.stack([dim, bright, dim, dim]), dry_psf, block=block, **AUTO)
    weights = [survey.weight for survey in tiles.surveys.values()]
    assert weights[1] < 0.2 * weights[0]
    with pytest.warns(DeconvWarning, match=said):
        prepare_blocks(bright, dry_psf, block=block, overlap=200, **AUTO)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeconvWarning)
        prepare_blocks(bright, dry_psf, block=block, overlap=800, **AUTO)
        prepare_blocks(np.stack([dim, bright]), dry_psf, block=block, **AUTO)
        prepare_blocks(np.stack([dim, bright, dim, dim]), dry_psf, block=bright.shape, **AUTO)


def test_what_does_not_fit_for_an_automatic_weight_is_an_error(dry_psf, monkeypatch):
    image = slice_of((64, 1, 4000), dry_psf, 0)
    with pytest.raises(
        DeconvError, match=r"To find the weight takes 11\.9 MB of memory, 5\.0 MB may"
    ):
        prepare_blocks(image, dry_psf, memory=5e6, **AUTO)
    monkeypatch.setattr(parts, "_VOXELS", 2**14)
    with pytest.raises(
        DeconvError, match=r"weight of 0\.00\d+ was found\. Even a tile .* larger wei"
    ):
        prepare_blocks(image, dry_psf, memory=3e6, **AUTO)
    # A dim one needs less than is expected.
    dim = np.random.default_rng(0).binomial(image, 0.003)
    with pytest.raises(DeconvError, match="Even a tile"):
        prepare_blocks(dim, dry_psf, memory=1.8e6, **AUTO | {"regularization_weight": 0.01})
    prepare_blocks(dim, dry_psf, memory=1.8e6, **AUTO)


def test_a_weight_is_that_of_the_whole_also_on_a_large_offset():
    sample, options = bars(), {"method": "wiener", "regularization_weight": "auto", "engine": "cpu"}
    image = sample.image.astype(np.uint32)
    weights = [
        found.weights["gcv"]
        for data in (image, image + 2 * 10**9)
        for found in (
            deconvolve(data, sample.psf, **options),
            prepare_blocks(data, sample.psf, block=BLOCK, **options),
        )
    ]
    assert len(set(weights)) == 1


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_bad_voxel_leaves_the_plan_and_is_refused(dry_psf, value):
    image = slice_of((64, 1, 2000), dry_psf, 0).astype(np.float32)
    good = plan_blocks(image, dry_psf, block=(64, 1, 1000), **AUTO)
    image[0, 0, 0] = value
    assert plan_blocks(image, dry_psf, block=(64, 1, 1000), **AUTO).overlap == good.overlap
    with pytest.raises(DeconvError, match="has 1 NaN or infinite voxels"):
        prepare_blocks(image, dry_psf, block=(64, 1, 1000), **AUTO)


def test_an_integer_background_does_not_wrap_round(engine):
    sample, level = bars(), np.full(bars().image.shape, 2, np.uint16)
    image, options = sample.image.astype(np.uint16), {"method": "wiener", "engine": engine}
    expected = deconvolve(image, sample.psf, background=level.astype(float), **options).image
    whole = deconvolve(image, sample.psf, background=level, **options).image
    np.testing.assert_array_equal(whole, expected)
    cut = deconvolve_blocks(image, sample.psf, background=level, block=(16, 48, 96), **options)
    difference = np.abs(cut.compute() - whole)[2:-2, 8:-8, 8:-8].max()
    assert difference < BOUND * whole.max()


def test_tiles_of_a_blank_image_are_planned_as_ever(dry_psf):
    image = np.full((64, 1, 2000), 7)
    with pytest.warns(DeconvWarning, match="constant"):
        tiles = prepare_blocks(image, dry_psf, block=(64, 1, 1000), **AUTO | {"background": 0})
    assert np.isfinite(tiles.image.compute()).all()
    series = np.stack([slice_of(image.shape, dry_psf, 0), 0 * image])
    with pytest.warns(DeconvWarning) as said:
        prepare_blocks(series, dry_psf, block=(64, 1, 1000), **AUTO)
    assert ["constant" in str(each.message) for each in said] == [True]


@pytest.mark.parametrize("weight", [0.1, 1.0])
@pytest.mark.parametrize("background", [2.0, np.linspace(1, 2, 192)[:, np.newaxis]], ids=np.ndim)
def test_a_dark_tile_is_filtered_as_part_of_a_bright_image(background, weight):
    """Wiener's filter keeps the mean of what it sees: it has to be that of the whole."""
    rng = np.random.default_rng(0)
    image = rng.poisson(np.where(np.arange(192) < 48, 40.0, 3.0)[:, np.newaxis], (16, 192, 96))
    options = {"method": "wiener", "regularization_weight": weight, "engine": "cpu"}
    level = np.broadcast_to(background, image.shape) if np.ndim(background) else background
    found = seam(image, bars().psf, (16, 96, 96), (2, 8, 8), background=level, **options)
    assert found < 1e-4


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 21), st.integers(17, 40), st.integers(17, 40)),
    block=st.tuples(st.integers(5, 30), st.integers(9, 30), st.integers(9, 30)),
    psf=st.tuples(*[st.integers(1, 7)] * 3),
    plane=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_sizes_fit_together(shape, block, psf, plane, seed):
    # Odd and even, planes and volumes, tiles larger than the image, and rests of a voxel.
    if plane:
        shape, block, psf = shape[1:], block[1:], psf[1:]
    rng = np.random.default_rng(seed)
    image = rng.poisson(30, shape).astype(np.uint16)
    grid = np.ix_(*(np.arange(m) - m // 2 for m in psf))
    kernel = np.exp(-sum(axis**2 for axis in grid) / 4)
    options = {"iterations": 3, "background": 10, "engine": "cpu", "centre_psf": False}
    whole = deconvolve(image, kernel, **options).image
    tiled = deconvolve_blocks(image, kernel, block=block, overlap=14, **options)
    assert tiled.chunks == da.core.normalize_chunks(np.minimum(block, shape).tolist(), shape)
    np.testing.assert_allclose(tiled.compute(), whole, atol=BOUND * whole.max(), rtol=0)


def test_axes_in_front_are_volumes_of_their_own():
    sample = bars()
    series = np.stack([sample.image, sample.image // 2])[:, np.newaxis]
    options = {"iterations": 5, "engine": "cpu"}
    tiled = deconvolve_blocks(series, sample.psf, block=BLOCK, **options)
    assert tiled.chunksize == (1, 1, *BLOCK)
    whole = deconvolve(series, sample.psf, **options).image
    np.testing.assert_allclose(tiled.compute(), whole, atol=BOUND * whole[1].max(), rtol=0)


def test_dask_zarr_and_numpy_give_the_same_bits(tmp_path):
    sample = bars()
    stored = zarr.create_array(tmp_path / "image.zarr", data=sample.image, chunks=(5, 31, 40))
    sources = [sample.image, stored, da.from_array(sample.image, chunks=(1, 50, 96))]
    sources.append(sample.image.astype(float))
    options = {"iterations": 3, "block": BLOCK, "engine": "cpu"}
    results = [deconvolve_blocks(each, sample.psf, **options).compute() for each in sources]
    assert results[0].dtype == np.float32
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_mask_and_background_are_cut_as_the_image_is():
    sample = bars()
    mask = np.ones(sample.image.shape, bool)
    mask[6:9, 40:56, 44:52] = False
    image = sample.image.astype(float)
    image[~mask] = np.nan
    background = np.linspace(1, 2.5, 96)
    options = {"iterations": 10, "engine": "cpu"}
    whole = deconvolve(image, sample.psf, mask=mask, background=background, **options).image
    tiled = deconvolve_blocks(
        da.from_array(image), sample.psf, block=BLOCK, mask=da.from_array(mask),
        background=da.from_array(np.broadcast_to(background, image.shape)), **options,
    )  # fmt: skip
    assert np.abs(tiled.compute() - whole)[2:-2, 8:-8, 8:-8].max() < BOUND * whole.max()


def test_a_tile_without_a_voxel_that_counts_is_dark():
    sample = bars()
    mask = np.zeros(sample.image.shape, bool)
    mask[:, :, 80:] = True
    tiled = deconvolve_blocks(
        sample.image, sample.psf, block=(16, 96, 40), overlap=4, mask=mask, iterations=2,
        background=1.8, engine="cpu",
    )  # fmt: skip
    assert not tiled[..., :40].compute().any()
    assert tiled[..., 80:].compute().any()


def test_planes_that_the_psf_changes_along_stay_together():
    sample = bars()
    options = {"depths": (0.0, 1.5), "iterations": 5} | QUICK
    wider = gaussian_filter(sample.psf.data, (2, 1.5, 1.5))
    psfs = [sample.psf, Psf(wider, sample.psf.spacing)]
    one = deconvolve(sample.image, sample.psf, **QUICK | {"iterations": 5}).image
    tiled = deconvolve_blocks(sample.image, psfs, block=BLOCK, **options)
    whole = deconvolve(sample.image, psfs, **options).image
    assert np.abs(one - whole).max() > 0.1 * whole.max()
    assert np.abs(tiled.compute() - whole)[2:-2, 8:-8, 8:-8].max() < BOUND * whole.max()


def test_each_tile_reads_only_what_it_sees():
    sample = bars()
    seen = []

    class Watched:
        shape, dtype, ndim = sample.image.shape, sample.image.dtype, 3

        def __getitem__(self, index):
            seen.append(index)
            return sample.image[index]

    tiled = deconvolve_blocks(
        Watched(), sample.psf, block=BLOCK, overlap=(0, 8, 10), iterations=1, **QUICK
    )
    seen.clear()
    tiled.blocks[0, 0, 1].compute()
    assert seen == [(slice(0, 16), slice(0, 56), slice(38, 96))]


def test_a_device_without_memory_gets_smaller_tiles(engine, monkeypatch):
    sample = bars()
    image = np.concatenate([sample.image, sample.image[:, ::-1]], 1)
    options = {"iterations": 10, "background": 1.8, "engine": engine}
    whole = deconvolve(image, sample.psf, **options).image
    tiled = deconvolve_blocks(image, sample.psf, block=image.shape, **options)
    require = type(engine).require

    def small(self, nbytes, largest, purpose):
        # The whole takes 46 MB, its halves 36, its quarters 33.
        if nbytes > 34e6:
            raise DeviceMemoryError("no memory")
        require(self, nbytes, largest, purpose)

    monkeypatch.setattr(type(engine), "require", small)
    with pytest.warns(DeconvWarning, match=r"16 × 192 × 96 voxels .* in \d+ smaller"):
        result = tiled.compute()
    assert np.abs(result - whole)[2:-2, 8:-8, 8:-8].max() < BOUND * whole.max()


def test_too_little_memory_for_any_tile_is_an_error(monkeypatch, no_limits):
    sample = bars()
    tiled = deconvolve_blocks(sample.image, sample.psf, block=BLOCK, iterations=2, **QUICK)
    set_limits(memory=1e6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)
        with pytest.raises(DeviceError, match=r"limit is 1\.0 MB"):
            tiled.compute()


@pytest.mark.parametrize("iterations", [10, 40])
def test_points_beside_a_border(iterations):
    """Bright points, of a compact PSF, at all distances from a border."""
    z, y, x = np.ogrid[-4:5, -7:8, -7:8]
    psf = np.exp(-(z**2 / 2.5 + (y**2 + x**2) / 3.7))
    psf /= psf.sum()
    truth = np.zeros((12, 64, 120))
    truth[6, 8::16, 44:76:4] = 3000.0
    blurred = fftconvolve(truth, psf, "same") + 20
    image = np.random.default_rng(7).poisson(np.maximum(blurred, 0)).astype(np.uint16)
    options = {"iterations": iterations, "background": 20, "engine": "cpu"}
    whole = deconvolve(image, psf, **options).image
    tiled = deconvolve_blocks(image, psf, block=(12, 64, 60), **options).compute()
    assert np.abs(tiled - whole).max() < BOUND * whole.max()
