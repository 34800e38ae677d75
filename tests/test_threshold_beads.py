"""Thresholds against those of scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.filters
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label

from bead_fields import (
    bead,
)
from napari_deconv.beads import threshold_beads
from napari_deconv.errors import DeconvError


def blobs(shape, dtype, seed=0):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    image = (image - image.min()) / np.ptp(image)
    return (200 * image**3).astype(dtype)


def assert_same_regions(labels, mask):
    """Labels are the connected regions of a mask, up to their numbers."""
    expected, count = label(mask, np.ones((3,) * mask.ndim))
    assert labels.dtype == np.int32
    assert labels.max() == count > 1
    np.testing.assert_array_equal(labels > 0, mask)
    assert len(np.unique(labels[mask].astype(np.int64) * (count + 1) + expected[mask])) == count


@pytest.mark.parametrize("shape", [(60, 71), (12, 40, 33)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_global_thresholds_are_those_of_scikit_image(shape, dtype, method):
    image = blobs(shape, dtype)
    limit = getattr(skimage.filters, f"threshold_{method}")(image)
    assert_same_regions(threshold_beads(image, method, engine="cpu"), image > limit)


@pytest.mark.parametrize("shape", [(60, 71), (12, 40, 33)])
def test_local_threshold_is_that_of_scikit_image(shape, engine):
    image = blobs(shape, np.float32)
    local = skimage.filters.threshold_local(
        image.astype(np.float64), 121, "gaussian", offset=-30, mode="reflect", param=15
    )
    mask = image > local
    labels = threshold_beads(image, "local", value=30, engine=engine)
    certain = np.abs(image - local) > 1e-3
    np.testing.assert_array_equal(labels[certain] > 0, mask[certain])
    assert_same_regions(labels, labels > 0)


def test_local_threshold_ignores_the_noise():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 10, (20, 60, 60)) + bead((20, 60, 60), (10, 30, 30), 500)
    labels = threshold_beads(image, "local", engine="cpu")
    assert labels.max() <= 2
    assert labels[10, 30, 30] > 0


@settings(deadline=None, max_examples=30)
@given(value=st.integers(1, 150), seed=st.integers(0, 5))
def test_manual_threshold(value, seed):
    image = blobs((20, 31), np.uint8, seed)
    labels = threshold_beads(image, "manual", value=value, engine="cpu")
    np.testing.assert_array_equal(labels > 0, image > value)


def test_regions_do_not_reach_into_other_volumes():
    image = np.zeros((2, 3, 8, 8), np.uint8)
    image[:, :, 2:4, 2:4] = 9
    labels = threshold_beads(image, engine="cpu")
    assert np.unique(labels[0]).tolist() == [0, 1]
    assert np.unique(labels[1]).tolist() == [0, 2]


@pytest.mark.parametrize("method", ["manual", "local"])
@pytest.mark.parametrize("value", [np.nan, np.inf, "a"])
def test_a_value_that_is_no_number_is_refused(method, value):
    with pytest.raises(DeconvError, match=f"value={value!r}: expected a finite number"):
        threshold_beads(blobs((20, 31), np.uint8), method, value=value, engine="cpu")


@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_methods_that_find_the_threshold_ignore_a_value(method):
    image = blobs((20, 31), np.uint8)
    np.testing.assert_array_equal(
        threshold_beads(image, method, value=np.nan, engine="cpu"),
        threshold_beads(image, method, engine="cpu"),
    )
