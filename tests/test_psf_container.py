"""The PSF container: checks, files, centring, resampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from scipy.special import ndtr

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.psf import Psf, centre_psf, resample_psf
from napari_deconv.psf.synthetic.models import make_psf

SIZES = st.integers(1, 13)


def gaussian_integrals(shape, spacing, sigma, centre=None):
    """A Gaussian integrated over voxels, float64, sum 1 over all space."""
    data = np.ones((1,) * len(shape))
    for axis, (n, step, s) in enumerate(zip(shape, spacing, sigma, strict=True)):
        middle = n // 2 if centre is None else centre[axis]
        edges = (np.arange(n + 1) - 0.5 - middle) * step / s
        line = np.diff(ndtr(edges))
        data = data * line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return data


def centroid(data):
    return [
        float(np.sum(np.arange(n) * data.sum(axis=tuple(a for a in range(data.ndim) if a != axis))))
        / float(data.sum())
        for axis, n in enumerate(data.shape)
    ]


# -- the container -------------------------------------------------------------------------------


def test_an_array_of_our_own_is_not_copied():
    values = np.random.default_rng(0).random((5, 6, 7), dtype=np.float32)
    copied = Psf(values, 0.1, {"a": 1})
    taken = Psf.of_own(values, 0.1, {"a": 1})
    assert np.shares_memory(taken.data, values)
    assert not taken.data.flags.writeable
    assert (taken.spacing, taken.metadata) == (copied.spacing, copied.metadata)
    np.testing.assert_array_equal(taken.data, copied.data)


@given(st.lists(SIZES, min_size=2, max_size=3), st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
@settings(deadline=None, max_examples=40)
def test_data_are_float32_of_sum_one(shape, seed, scale):
    values = np.random.default_rng(seed).random(shape) * scale + scale / 100
    before = values.copy()
    psf = Psf(values, 0.1)
    assert psf.data.dtype == np.float32
    assert psf.shape == tuple(shape)
    assert psf.ndim == len(shape)
    assert psf.spacing == (0.1,) * len(shape)
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(psf.data, values / values.sum(), rtol=1e-6)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(Psf(psf.data, 0.1).data, psf.data)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64", "bool", ">u2"])
def test_any_real_dtype(dtype):
    psf = Psf(np.eye(5, dtype=dtype), (0.2, 0.1))
    np.testing.assert_allclose(psf.data, np.eye(5) / 5, rtol=1e-7)


def test_it_is_an_array():
    psf = Psf(np.arange(12.0).reshape(3, 4), 0.1)
    np.testing.assert_array_equal(np.asarray(psf), psf.data)
    assert np.asarray(psf, dtype=np.float64).dtype == np.float64
    copy = np.array(psf)
    copy[0, 0] = 7
    assert psf.data[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        psf.data[0, 0] = 7
    with pytest.raises(AttributeError):
        psf.spacing = (1.0, 1.0)
    assert repr(psf) == "Psf(shape=(3, 4), spacing=(0.1, 0.1) µm)"


def test_metadata_are_copied_plain_values():
    given_metadata = {"fwhm": (1.0, 2.0), "beads": {"used": 3}}
    psf = Psf(np.ones((5, 5)), 0.1, given_metadata)
    given_metadata["beads"]["used"] = 4
    assert psf.metadata == {"fwhm": [1.0, 2.0], "beads": {"used": 3}}
    assert Psf(np.ones((5, 5)), 0.1).metadata == {}
    for bad in ({"image": np.ones(3)}, {"value": math.nan}):
        with pytest.raises(DeconvError, match="JSON"):
            Psf(np.ones((5, 5)), 0.1, bad)


def test_negative_values_are_clipped_and_said():
    values = np.full((4, 5), 0.5)
    values[0, 0] = -0.19
    with pytest.warns(DeconvWarning, match=r"negative values, 0\.02 of") as caught:
        psf = Psf(values, 0.1)
    assert caught[0].filename == __file__
    assert psf.data[0, 0] == 0
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    assert values[0, 0] == -0.19


@pytest.mark.parametrize(
    ("values", "spacing", "message"),
    [
        (np.zeros((5, 5)), 0.1, "no value above 0"),
        (-np.ones((5, 5)), 0.1, "no value above 0"),
        (np.full((5, 5), np.nan), 0.1, "NaN"),
        (np.where(np.eye(5), np.inf, 1), 0.1, "infinite"),
        (np.ones((5, 5), complex), 0.1, "complex"),
        (np.ones((0, 5)), 0.1, "empty"),
        (np.ones(5), 0.1, "shape"),
        (np.ones((2, 5, 5, 5)), 0.1, "one channel"),
        (np.array([["a", "b"]]), 0.1, "dtype"),
        (np.ones((5, 5)), None, "voxel size"),
        (np.ones((5, 5)), (0.1, 0.1, 0.1), "2 numbers"),
        (np.ones((5, 5)), (0.1, 0), "above 0"),
        (np.ones((5, 5)), (0.1, math.inf), "above 0"),
    ],
)
def test_what_is_no_psf(values, spacing, message):
    with pytest.raises(DeconvError, match=message):
        Psf(values, spacing)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 6), (7, 6), (1, 7, 6)])
def test_saved_and_loaded_is_the_same(tmp_path, shape):
    spacing = (0.3, 0.1083, 0.1083)[-len(shape) :]
    metadata = {"model": "µ", "nested": {"list": [1, 2.5, None]}, "<&>": "</Description>"}
    psf = Psf(np.random.default_rng(0).random(shape), spacing, metadata)
    psf.save(tmp_path / "psf.ome.tif")
    again = Psf.load(tmp_path / "psf.ome.tif")
    np.testing.assert_array_equal(again.data, psf.data.reshape(again.shape))
    assert again.spacing == pytest.approx(spacing[-again.ndim :], rel=1e-12)
    assert again.metadata == metadata
    assert [path.name for path in tmp_path.iterdir()] == ["psf.ome.tif"]


def test_model_survives_the_file(tmp_path):
    psf = make_psf("gaussian", shape=(9, 11, 11), spacing=(0.2, 0.1, 0.1), fwhm=0.4)
    psf.save(tmp_path / "psf.tif")
    assert Psf.load(tmp_path / "psf.tif").metadata == psf.metadata


def test_spacing_from_imagej_or_given(tmp_path):
    values = np.random.default_rng(1).integers(0, 99, (4, 6, 7)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "imagej.tif", values, imagej=True, resolution=(10, 8),
        metadata={"spacing": 0.25, "unit": "um", "axes": "ZYX"},
    )  # fmt: skip
    psf = Psf.load(tmp_path / "imagej.tif")
    assert psf.spacing == pytest.approx((0.25, 0.125, 0.1))
    np.testing.assert_allclose(psf.data, values / values.sum(), rtol=1e-6)
    assert Psf.load(tmp_path / "imagej.tif", spacing=(0.5, 0.2, 0.2)).spacing == (0.5, 0.2, 0.2)


def test_a_file_without_voxel_size(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.ones((6, 6, 7), np.float32))
    with pytest.raises(DeconvError, match="states no voxel size: give spacing"):
        Psf.load(tmp_path / "plain.tif")
    assert Psf.load(tmp_path / "plain.tif", spacing=0.1).spacing == (0.1, 0.1, 0.1)
    with pytest.raises(DeconvError, match=r"missing\.tif"):
        Psf.load(tmp_path / "missing.tif", spacing=0.1)


# -- centring ------------------------------------------------------------------------------------


@given(st.data())
@settings(deadline=None, max_examples=80)
def test_centring_pads_and_never_rolls(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9))
    peak = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    values = np.random.default_rng(0).random(shape) * 0.01
    values[peak] = 10
    centred, moved = centre_psf(values)
    middle = tuple(n // 2 for n in centred.shape)
    assert centred[middle] == 10
    start = [m - p for m, p in zip(middle, peak, strict=True)]
    inside = tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))
    np.testing.assert_array_equal(centred[inside], values)
    assert np.count_nonzero(centred) == values.size
    offset = tuple(p - n // 2 for p, n in zip(peak, shape, strict=True))
    assert moved == (offset if any(offset) else ())
    assert all(c <= 2 * n for c, n in zip(centred.shape, shape, strict=True))


def test_a_centred_psf_stays_as_it_is():
    for shape in [(8, 9, 10), (9, 9), (1, 9, 9)]:
        psf = Psf(gaussian_integrals(shape, (1.0,) * len(shape), (1.5,) * len(shape)), 0.1)
        centred, moved = centre_psf(psf)
        assert moved == ()
        np.testing.assert_array_equal(centred, psf.data)
    # between two voxels either may be the centre
    values = gaussian_integrals((8, 8), (1.0, 1.0), (1.5, 1.5), centre=(3.5, 3.5))
    assert centre_psf(values)[1] == ()


def test_one_hot_voxel_is_no_peak():
    values = gaussian_integrals((21, 21), (1.0, 1.0), (2.0, 2.0))
    values[3, 17] = 1.2 * values.max()
    assert centre_psf(values)[1] == ()


def test_measured_psf_off_its_centre(data_dir):
    values = tifffile.imread(data_dir / "beads/haase_peer_psf_45cubed.tif")
    centred, moved = centre_psf(values)
    assert max(abs(np.subtract(moved, (4, -4, 1)))) <= 2  # the raw maximum lies at (26, 18, 23)
    smooth_peak = tuple(np.add(moved, 22))
    assert centred[tuple(n // 2 for n in centred.shape)] == values[smooth_peak]
    assert centred.sum() == pytest.approx(values.sum())


# -- resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(41, 61, 60), (61, 60)])
@pytest.mark.parametrize("factor", [3.0, 2.7, 1.3])
def test_coarser_voxels_integrate(shape, factor):
    ndim = len(shape)
    fine, sigma = (0.06, 0.03, 0.03)[-ndim:], (0.2, 0.1, 0.12)[-ndim:]
    coarse = tuple(step * factor for step in fine)
    psf = resample_psf(Psf(gaussian_integrals(shape, fine, sigma), fine, {"from": "beads"}), coarse)
    assert psf.spacing == coarse
    assert psf.metadata == {"from": "beads"}
    assert all(n % 2 == 1 for n in psf.shape)
    assert all(m * factor >= n for m, n in zip(psf.shape, shape, strict=True))
    expected = gaussian_integrals(psf.shape, coarse, sigma)
    np.testing.assert_allclose(psf.data, expected / expected.sum(), atol=2e-4 * expected.max())
    middle = [n // 2 for n in psf.shape]
    np.testing.assert_allclose(centroid(psf.data.astype(float)), middle, atol=0.02)


@pytest.mark.parametrize("shape", [(15, 21, 20), (21, 20)])
@pytest.mark.parametrize("factor", [0.5, 0.37])
def test_finer_voxels_interpolate(shape, factor):
    ndim = len(shape)
    coarse, sigma = (0.2, 0.1, 0.1)[-ndim:], (0.4, 0.21, 0.2)[-ndim:]
    axes = np.ix_(*((np.arange(n) - n // 2) * s for n, s in zip(shape, coarse, strict=True)))
    values = np.exp(-sum((x / s) ** 2 for x, s in zip(axes, sigma, strict=True)) / 2)
    fine = tuple(step * factor for step in coarse)
    psf = resample_psf(Psf(values, coarse), fine)
    assert all(n % 2 == 1 for n in psf.shape)
    axes = np.ix_(*((np.arange(n) - n // 2) * s for n, s in zip(psf.shape, fine, strict=True)))
    expected = np.exp(-sum((x / s) ** 2 for x, s in zip(axes, sigma, strict=True)) / 2)
    np.testing.assert_allclose(psf.data, expected / expected.sum(), atol=2e-3 * psf.data.max())
    middle = [n // 2 for n in psf.shape]
    np.testing.assert_allclose(centroid(psf.data.astype(float)), middle, atol=0.02)


def test_a_fine_model_resampled_is_the_coarse_model():
    optics = {"na": 1.3, "wavelength": 0.6, "engine": "cpu"}
    fine = make_psf("gibson_lanni", shape=(141, 141), spacing=0.03, **optics)
    coarse = make_psf("gibson_lanni", shape=(47, 47), spacing=0.09, **optics)
    np.testing.assert_allclose(
        resample_psf(fine, 0.09).data, coarse.data, atol=1e-5 * coarse.data.max()
    )


@given(
    st.lists(SIZES, min_size=2, max_size=3),
    st.floats(0.2, 5.0),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None, max_examples=60)
def test_resampling_any_shape(shape, factor, seed):
    psf = Psf(np.random.default_rng(seed).random(shape) + 0.01, 0.1)
    new = resample_psf(psf, 0.1 * factor)
    assert new.data.min() >= 0
    assert new.data.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    assert all(m * factor * (1 + 1e-5) >= n for m, n in zip(new.shape, shape, strict=True))


def test_a_delta_stays_at_its_voxel():
    for shape in [(8, 9, 10), (7, 8)]:
        delta = np.zeros(shape)
        delta[tuple(n // 2 for n in shape)] = 1
        for factor in (0.4, 0.5, 1.5, 3.0):
            new = resample_psf(Psf(delta, 0.1), 0.1 * factor)
            assert np.unravel_index(np.argmax(new.data), new.shape) == tuple(
                n // 2 for n in new.shape
            )


def test_the_same_voxels_are_left_alone():
    psf = Psf(np.random.default_rng(0).random((6, 7, 8)), (0.2, 0.1, 0.1))
    assert resample_psf(psf, (0.2, 0.1, 0.1)) is psf
    only_z = resample_psf(psf, (0.1, 0.1, 0.1))
    assert only_z.shape == (15, 7, 9)
    with pytest.raises(DeconvError, match="above 0"):
        resample_psf(psf, (0.2, 0.0, 0.1))
