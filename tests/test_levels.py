"""Coarse to fine: the binned problem is the problem, and what is carried up lies where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv import DeconvError, convolve, deconvolve, iterate
from napari_deconv.deconvolution.levels import (
    _every_second,
    binnings,
    coarse_to_fine,
    fine_line,
)
from napari_deconv.deconvolution.volume import Problem


def gaussian(shape, sigma):
    grids = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij")
    psf = np.exp(-0.5 * sum((g / s) ** 2 for g, s in zip(grids, sigma, strict=True)))
    return (psf / psf.sum()).astype(np.float32)


def problem(image, psf, background=0.0, mask=None, boundary="padded", spacing=(1.0, 1.0, 1.0)):
    offset = np.full((1, 1, 1), background)
    return Problem(image, offset, mask, (psf,), (0.0,), spacing, boundary)


def levels_of(given, levels):
    return coarse_to_fine(given, binnings(given.image.shape, given.psfs, levels))


def binned(volume, factors):
    for axis, factor in enumerate(factors):
        shape = list(volume.shape)
        shape[axis : axis + 1] = [shape[axis] // factor, factor]
        volume = volume.take(range(shape[axis] * factor), axis).reshape(shape).sum(axis + 1)
    return volume


WIDE = gaussian((9, 13, 14), (1.5, 2.0, 2.2))


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(16, 21)] * 3), st.integers(0, 99))
def test_sums_are_kept_and_the_psf_stays_normalised(shape, seed):
    rng = np.random.default_rng(seed)
    image = rng.poisson(50, shape)
    coarse, fine = levels_of(problem(image, WIDE, 7.0), 2)
    assert fine.image is image
    np.testing.assert_array_equal(coarse.image, binned(image, (2, 2, 2)))
    assert coarse.background.item() == 56
    assert coarse.psfs[0].sum() == pytest.approx(1, abs=1e-6)
    assert coarse.spacing == (2, 2, 2)


@pytest.mark.parametrize("size", [(9, 13, 14), (8, 12, 11), (10, 15, 13)])
def test_the_coarse_model_is_the_fine_one_where_the_object_is_even_within_coarse_voxels(size):
    """Bin(h ⊗ up(X)/8) = h_c ⊗ X exactly, for any X and any PSF."""
    rng = np.random.default_rng(1)
    psf = rng.random(size).astype(np.float32) * gaussian(size, (1.5, 2, 2.2))
    psf /= psf.sum()
    wide = gaussian(size, (1.5, 2, 2.2))
    coarse_object = rng.random((12, 16, 18)).astype(np.float32)
    fine_object = coarse_object.repeat(2, 0).repeat(2, 1).repeat(2, 2) / 8
    for kernel in (wide, psf):
        blurred = convolve(fine_object, kernel, boundary="zero", engine="cpu")
        levels = levels_of(problem(blurred, wide), 2)
        coarse_kernel = kernel
        for axis in range(3):
            coarse_kernel = _every_second(coarse_kernel, axis)
        expected = convolve(coarse_object, coarse_kernel, boundary="zero", engine="cpu")
        np.testing.assert_allclose(levels[0].image, expected, atol=1e-6 * expected.max())


def test_a_background_image_and_a_mask_are_binned():
    image = np.ones((16, 17, 18))
    mask = np.ones(image.shape, bool)
    mask[4, 5, 6] = False
    given_ = Problem(image, image * 3, mask, (WIDE,), (0.0,), (1, 1, 1), "padded")
    coarse = levels_of(given_, 2)[0]
    np.testing.assert_array_equal(coarse.background, np.full((8, 8, 9), 24))
    assert not coarse.mask[2, 2, 3]
    assert coarse.mask.sum() == coarse.mask.size - 1


def test_only_axes_that_are_sampled_finely_enough_are_binned():
    image = np.ones((32, 64, 64))
    narrow_in_z = gaussian((9, 13, 13), (0.6, 2, 2))
    coarse = levels_of(problem(image, narrow_in_z), 2)[0]
    assert coarse.image.shape == (32, 32, 32)
    assert len(levels_of(problem(image, gaussian((5, 5, 5), (0.5,) * 3)), 3)) == 1
    plane = levels_of(problem(np.ones((1, 64, 64)), gaussian((1, 13, 13), (1, 2, 2))), 2)
    assert plane[0].image.shape == (1, 32, 32)


def test_each_axis_is_binned_while_8_voxels_of_it_are_left():
    wide = gaussian((41, 41, 41), (10, 10, 10))
    assert binnings((40, 100, 17), [wide], 9) == [(2, 2, 2), (2, 2, 1), (1, 2, 1)]
    assert binnings((40, 100, 17), [wide], 2) == [(2, 2, 2)]
    assert binnings((40, 100, 17), [wide], 1) == []


def test_an_axis_is_binned_while_the_binned_psf_has_no_contrast_at_half_a_cycle():
    """exp(−π²σ²/2) of a Gaussian is below 0.02 from σ = 0.89 on; each binning halves σ."""
    for sigma, times in ((0.8, 0), (1.2, 1), (2.2, 2), (4.4, 3)):
        psf = gaussian((1, 1, 45), (1, 1, sigma))
        assert len(binnings((1, 1, 4096), [psf], 9)) == times


def test_small_images_are_not_binned_away():
    shapes = [p.image.shape for p in levels_of(problem(np.ones((20, 40, 80)), WIDE), 9)]
    assert min(shapes[0]) >= 8


@pytest.mark.parametrize("shape", [(16, 20, 24), (17, 21, 23)])
@pytest.mark.parametrize("margin", [0, 6])
def test_a_slope_is_carried_up_exactly(engine, shape, margin):
    """Linear interpolation at the voxels' centres keeps a slope, margins and all."""
    images = tuple(n // 2 for n in shape)
    coarse_grid, grid = (
        tuple(n + extra for n in sizes) for sizes, extra in ((images, margin), (shape, 2 * margin))
    )

    def slope(sizes, whole, factor):
        def place(size, length):
            index = np.arange(length)
            index = np.where(index < size + (length - size) // 2, index, index - length)
            return (index + 0.5) * factor

        z, y, x = (place(n, m) for n, m in zip(sizes, whole, strict=True))
        return 100 + z[:, None, None] + 2 * y[:, None] + 3 * x

    lines = tuple(fine_line(c, 2, n, m) for c, n, m in zip(coarse_grid, shape, grid, strict=True))
    out = engine.full(grid, np.nan)
    engine.interpolate(engine.asarray(slope(images, coarse_grid, 2)), lines, out)
    carried, expected = engine.to_numpy(out), slope(shape, grid, 1)
    inner = tuple(slice(1, n // 2 * 2 - 1) for n in shape)
    np.testing.assert_allclose(carried[inner], expected[inner], rtol=1e-5)
    if margin:
        # voxels before the image lie at the end of the grid
        np.testing.assert_allclose(carried[-4:, 1:9, 1:9], expected[-4:, 1:9, 1:9], rtol=1e-5)


@pytest.fixture(scope="module")
def specimen():
    rng = np.random.default_rng(3)
    truth = np.zeros((20, 48, 48), np.float32)
    truth[tuple(rng.integers(3, n - 3, 40) for n in truth.shape)] = 4000
    truth[8:12, 10:40, 20:23] = 150
    blurred = convolve(truth, WIDE, boundary="zero", engine="cpu")
    return truth, rng.poisson(np.maximum(blurred, 0) + 20)


@pytest.mark.parametrize(("planes", "first"), [(25, 30), (7, 60)])
def test_how_many_steps_a_coarse_level_takes(specimen, engine, planes, first):
    """More where the PSF does not fall off along an axis; the image does not matter."""
    psf = gaussian((planes, 17, 17), (4, 2, 2))
    for image in (specimen[1], np.random.default_rng(1).poisson(2.0, (40, 40, 40))):
        levels: dict[int, int] = {}
        for state in iterate(image, psf, levels="auto", iterations=2, background=0, engine=engine):
            levels[state.level] = state.iteration
        assert levels == {3: first, 2: 15, 1: 2}


def test_a_coarse_start_saves_fine_iterations(specimen):
    truth, image = specimen
    options = {"background": 20, "engine": "cpu", "iterations": 6}

    def correlation(levels):
        result = deconvolve(image, WIDE, levels=levels, **options)
        assert result.iterations == 6
        return np.corrcoef(result.image.ravel(), truth.ravel())[0, 1]

    assert correlation(2) > correlation(1) + 0.03


def test_states_say_their_level_and_always_show_the_image(specimen, engine):
    _, image = specimen
    states = []
    for state in iterate(image, WIDE, levels=2, iterations=3, background=20, engine=engine):
        states.append((state.level, state.iteration, state.iterations))
        assert state.image.shape == image.shape
        if state.iteration == 30:  # the first steps still bring the light to its place
            light = image.sum() - 20 * image.size
            assert state.image.sum() == pytest.approx(light, rel=0.1)
    assert states[-3:] == [(1, 1, 3), (1, 2, 3), (1, 3, 3)]
    assert {level for level, *_ in states[:-3]} == {2}
    assert len(states) == 30 + 3


def test_thirty_and_thirty_more_are_sixty_after_a_coarse_start(specimen):
    _, image = specimen
    options = {"background": 20, "engine": "cpu", "levels": "auto"}
    both = deconvolve(image, WIDE, iterations=12, **options)
    first = deconvolve(image, WIDE, iterations=6, **options)
    more = deconvolve(image, WIDE, iterations=6, initial=first, **options)
    np.testing.assert_array_equal(more.image, both.image)


@pytest.mark.parametrize("size", [32, 33])
def test_a_point_stays_at_its_voxel(size):
    point = np.zeros((size,) * 3)
    point[(size // 2,) * 3] = 1e4
    psf = gaussian((17,) * 3, (2, 2, 2))
    image = convolve(point, psf, boundary="zero", engine="cpu").clip(0)
    result = deconvolve(image, psf, levels="auto", iterations=20, background=0, engine="cpu")
    bright = np.where(result.image > 0.1 * result.image.max(), result.image, 0)
    centre = [(bright * axis).sum() / bright.sum() for axis in np.indices(point.shape)]
    np.testing.assert_allclose(centre, size // 2, atol=0.02)


@pytest.mark.parametrize("levels", [0, -1, 1.5, "two", None])
def test_levels_that_are_none(levels):
    with pytest.raises(DeconvError, match="levels"):
        deconvolve(np.eye(8), np.ones((3, 3)), levels=levels)
