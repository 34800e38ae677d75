"""Parts of layers: lazily read, exactly in place, cut out of what is in view."""

from __future__ import annotations

from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.parts import seen, single, surroundings, whole

STACK = np.arange(20 * 60 * 80).reshape(20, 60, 80)
PLACE = {
    "scale": (300, 100, 100),
    "units": ("nm",) * 3,
    "translate": (1000, 2000, 3000),
    "rotate": [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]],
    "affine": np.diag([1.0, 2, 1, 1]) + np.eye(4, k=3) * 70,
}


def pyramid(**options):
    levels = [STACK, STACK[:, ::2, ::2], STACK[:, ::4, ::4]]
    return Image(levels, multiscale=True, name="pyramid", **options)


def boxes(shape):
    bounds = [st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True) for n in shape]
    return st.tuples(*bounds).map(lambda box: tuple(slice(*sorted(pair)) for pair in box))


@given(boxes(STACK.shape))
def test_a_part_lies_where_its_voxels_are(box):
    source = Image(STACK, **PLACE)
    part = replace(whole(source, "image"), box=box)
    data = np.asarray(part)
    np.testing.assert_array_equal(data, STACK[box])
    layer = Image(data, rgb=False, **part.placement())
    start = [each.start for each in box]
    for point in np.random.default_rng(0).uniform(0, 40, (5, 3)):
        expected = source.data_to_world(point + start)
        np.testing.assert_allclose(layer.data_to_world(point), expected, rtol=1e-9)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_lies_on_the_full_resolution(level):
    source = pyramid(**PLACE)
    part = whole(source, "image", level)
    assert part.name == ("pyramid" if level == 0 else f"pyramid (level {level})")
    np.testing.assert_array_equal(np.asarray(part), source.data[level])
    layer = Image(np.asarray(part), **part.placement())
    point = np.array([3, 5, 7])
    expected = source.data_to_world(point * [1, 2**level, 2**level])
    np.testing.assert_allclose(layer.data_to_world(point), expected)


def test_nothing_is_read_before_it_is_used():
    read = []
    lazy = da.from_array(STACK, chunks=(5, 60, 80)).map_blocks(
        lambda block, block_info=None: read.append(1) or block, dtype=STACK.dtype,
        meta=np.empty((0, 0, 0)),
    )  # fmt: skip
    with dask.config.set(scheduler="synchronous"):
        layer = Image(lazy, contrast_limits=(0, 1))
        read.clear()
        part = whole(layer, "image").grown((2, 2))
        assert (part.shape, part.ndim, read) == (STACK.shape, 3, [])
        np.testing.assert_array_equal(np.asarray(part), STACK)
    assert len(read) == 4


def test_no_copy_is_made_of_what_is_in_memory():
    assert np.shares_memory(np.asarray(whole(Image(STACK), "image")), STACK)


@given(boxes(STACK.shape), st.integers(0, 5), st.integers(0, 5))
def test_a_part_within_a_grown_one(box, rows, columns):
    part = replace(whole(Image(STACK), "image"), box=box)
    grown = part.grown((rows, columns))
    assert grown.shape[0] == part.shape[0]
    assert all(
        0 <= g.start <= p.start < p.stop <= g.stop for g, p in zip(grown.box, box, strict=True)
    )
    np.testing.assert_array_equal(np.asarray(grown)[part.within(grown)], np.asarray(part))


def test_a_series_is_no_single_stack():
    series = np.zeros((2, 3, 4, 5))
    assert single(Image(STACK), "image").shape == STACK.shape
    with pytest.raises(DeconvError, match=r"“beads” has 4 axes.*Split Stack"):
        single(Image(series, name="beads"), "image")
    with pytest.raises(DeconvError, match="has 3 axes"):
        single(Image(STACK, axis_labels=("t", "y", "x")), "image")


def test_rgb_and_nothing_are_refused():
    with pytest.raises(DeconvError, match="RGB"):
        whole(Image(np.zeros((8, 8, 3), np.uint8), rgb=True), "image")
    with pytest.raises(DeconvError, match="No PSF is chosen"):
        whole(None, "PSF")
    assert whole(Labels(STACK), "mask").shape == STACK.shape


# -- what is in view -----------------------------------------------------------------------------
@pytest.mark.parametrize("place", [{}, PLACE], ids=["plain", "rotated, in nm"])
def test_what_is_in_view(viewer, qtbot, place):
    viewer.add_image(STACK, name="stack", **place)
    layer = viewer.layers["stack"].__wrapped__
    viewer.dims.set_current_step(0, 4)
    qtbot.wait(100)
    part = seen(viewer, whole(layer, "image"), 3, 10**9)
    assert part.box == (slice(1, 8), slice(0, 60), slice(0, 80))
    viewer.scene.camera.zoom *= 4
    centre = layer.data_to_world((4, 30, 40))
    viewer.scene.camera.center = centre
    qtbot.wait(100)
    part = seen(viewer, whole(layer, "image"), 3, 10**9)
    assert part.box[0] == slice(1, 8)
    for box, middle, size in zip(part.box[1:], (30, 40), (60, 80), strict=True):
        assert box.start < middle < box.stop
        assert box.stop - box.start < size
        assert abs((box.start + box.stop) / 2 - middle) <= 1
    layer.visible = False
    viewer.scene.camera.center = layer.data_to_world((4, 1000, 1000))
    qtbot.wait(100)
    with pytest.raises(DeconvError, match="Hardly anything of “stack” is in view"):
        seen(viewer, whole(layer, "image"), 3, 10**9)


def test_a_large_field_is_cut_down_about_its_middle(viewer, qtbot):
    layer = viewer.add_image(STACK).__wrapped__
    qtbot.wait(100)
    part = seen(viewer, whole(layer, "image"), 0, 900)
    assert part.shape == (1, 30, 30)
    assert part.box[1:] == (slice(15, 45), slice(25, 55))
    part = seen(viewer, whole(layer, "image"), 0, 70 * 60)
    assert part.shape == (1, 60, 70)


def test_of_a_series_the_shown_volume_is_taken(viewer, qtbot):
    series = np.stack([STACK, STACK + 1, STACK + 2])
    layer = viewer.add_image(series, axis_labels=("t", "z", "y", "x")).__wrapped__
    viewer.dims.current_step = (2, 7, 0, 0)
    qtbot.wait(100)
    part = seen(viewer, whole(layer, "image"), 1, 10**9)
    assert part.box[:2] == (slice(2, 3), slice(6, 9))
    wide = surroundings(part, 5 * 60 * 80)
    assert wide.box == (slice(2, 3), slice(5, 10), slice(0, 60), slice(0, 80))


def test_of_a_pyramid_the_view_is_that_of_the_level(viewer, qtbot):
    layer = pyramid()
    viewer.add_layer(layer)
    qtbot.wait(100)
    viewer.scene.camera.zoom *= 2
    qtbot.wait(100)
    fine = seen(viewer, whole(layer, "image", 0), 0, 10**9)
    coarse = seen(viewer, whole(layer, "image", 1), 0, 10**9)
    for a, b in zip(fine.box[1:], coarse.box[1:], strict=True):
        assert abs(a.start / 2 - b.start) <= 1
        assert abs(a.stop / 2 - b.stop) <= 1


def test_from_the_side(viewer, qtbot):
    layer = viewer.add_image(STACK).__wrapped__
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 50)
    qtbot.wait(100)
    part = seen(viewer, whole(layer, "image"), 2, 10**9)
    assert part.box == (slice(0, 20), slice(48, 53), slice(0, 80))
