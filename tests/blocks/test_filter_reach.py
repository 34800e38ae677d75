"""How far Wiener's filter sees, against kernels computed on large grids in float64."""

from __future__ import annotations

import numpy as np
import pytest
from tests.blocks.cases import bars, cells

from napari_deconv.blocks import filter_reach as module
from napari_deconv.blocks.filter_reach import filter_reach


def beyond(psf, weight, grid):
    """Share of Σ|k| beyond each distance, along both axes of a slice."""
    laid = np.zeros(grid)
    laid[tuple(slice(n) for n in psf.shape)] = psf / psf.sum()
    otf = np.fft.fft2(np.roll(laid, [-(n // 2) for n in psf.shape], (0, 1)))
    kernel = np.abs(np.fft.ifft2(otf.conj() / (np.abs(otf) ** 2 + weight)))
    shares = []
    for axis in (0, 1):
        profile = kernel.sum(1 - axis)
        distance = np.abs(np.fft.fftfreq(profile.size, 1 / profile.size)).round().astype(int)
        within = np.cumsum(np.bincount(distance, weights=profile))
        shares.append(1 - within / within[-1])
    return shares


@pytest.mark.parametrize("weight", [1.0, 0.1, 0.01, 1e-3])
@pytest.mark.parametrize("case", [bars, cells], ids=["confocal", "widefield"])
def test_half_a_percent_of_the_kernel_lies_beyond(case, weight):
    psf = np.asarray(case().psf if case is bars else case()[1])
    planes, *_ = psf.shape
    space = 100, 3000, 3000
    z, y, x = filter_reach([psf], weight, space)
    along_z, along_x = beyond(psf.sum(1, dtype=float), weight, (2 * 100 + planes, 6000))
    assert y == pytest.approx(x, abs=2)
    for share, radius in ((along_z, z), (along_x, x)):
        assert radius == pytest.approx(np.count_nonzero(share >= 0.005), rel=0.1, abs=1)


def test_of_several_psfs_the_farthest_counts():
    psf = np.asarray(bars().psf)
    wide = psf.repeat(2, axis=2)
    (*_, x), (_, y, wide_x) = (filter_reach([p], 0.01, (16, 400, 400)) for p in (psf, wide))
    assert wide_x > 1.5 * x
    assert filter_reach([psf, wide], 0.01, (16, 400, 400))[1:] == (y, wide_x)


def test_of_a_kernel_that_is_not_followed_to_its_end_all_is_seen(monkeypatch):
    _, psf = cells()
    *_, x = filter_reach([np.asarray(psf)], 0.001, (64, 16000, 16000))
    assert 500 < x < 1500
    monkeypatch.setattr(module, "_VOXELS", 2**18)
    assert filter_reach([np.asarray(psf)], 0.001, (64, 16000, 16000))[1:] == (16000, 16000)


def test_along_an_axis_that_cannot_be_followed_all_is_seen_and_not_along_others(monkeypatch):
    """A long stack: z is as long as the grid may be."""
    psf = np.tile(np.hanning(11)[1:-1, np.newaxis] * np.hanning(11)[1:-1], (9, 1, 1))
    monkeypatch.setattr(module, "_VOXELS", 2**16)
    _, y, x = filter_reach([psf.astype(np.float32)], 0.01, (2000, 3000, 3000))
    assert y == x < 1000


def test_one_voxel_is_its_own_kernel():
    assert filter_reach([np.ones((1, 1, 1), np.float32)], 0.01, (64, 64)) == (0, 0)
