"""Layers that are not in memory: the region in view."""

from __future__ import annotations

from functools import partial

import dask.array as da
import numpy as np
import pytest
import zarr
from hand import SPACING
from large_cases import POINTS, PSF, RUN, UM
from napari.settings import get_plugin_settings

from napari_deconv import deconvolve, estimate_background, prepare_blocks
from napari_deconv.errors import DeconvWarning
from napari_deconv.recipe.recipe import Recipe
from napari_deconv.widgets.common.layers import KEY

pytestmark = pytest.mark.usefixtures("dask_in_place")

SHAPE = (24, 72, 72)
PLACE = UM | {"translate": (1, 2, 3), "affine": np.diag([1.0, 2, 1, 1]) + np.eye(4, k=3) * 7}


def in_zarr(array):
    stored = zarr.create_array({}, shape=array.shape, chunks=(8, 36, 36), dtype=array.dtype)
    stored[...] = array
    return stored


def pyramid(array):
    lazy = da.from_array(array, chunks=(8, 36, 36))
    return [lazy, lazy[:, ::2, ::2], lazy[:, ::4, ::4]]


KINDS = {
    "Dask": (partial(da.from_array, chunks=(8, 36, 36)), {}),
    "Zarr": (in_zarr, {}),
    "pyramid": (pyramid, {"multiscale": True}),
    "mapped": (lambda array: array.view(np.memmap), {}),
}


def box_of(result, source):
    """Where a result lies in its source, from where both are in the world."""
    corners = np.array([np.zeros(result.ndim), np.array(result.data.shape) - 1])
    voxels = np.array([source.world_to_data(result.data_to_world(corner)) for corner in corners])
    np.testing.assert_allclose(voxels, np.round(voxels), atol=1e-6)
    low, high = np.round(voxels).astype(int)
    return tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))


def level_used(result, whole):
    """The background of a result of a region, which has to be that of the whole."""
    level = result.metadata[KEY]["parameters"]["background"]
    assert level == pytest.approx(estimate_background(whole, engine="cpu"), rel=1e-6)
    return level


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_takes_the_region_in_view(viewer, ready, bead_image, kind):
    make, options = KINDS[kind]
    layer = viewer.add_image(make(bead_image), name="cells", rgb=False, **PLACE, **options)
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 3
    viewer.scene.camera.center = layer.data_to_world((5, 36, 30))
    viewer.dims.set_point(0, layer.data_to_world((5, 0, 0))[0])
    assert hand.widget.region.native.isVisibleTo(hand.widget)
    hand.run()
    result = viewer.layers[-1]
    assert result.name == "cells (region) · RL 6"
    box = box_of(result, layer)
    assert box[0] == slice(0, 5 + len(POINTS))  # as far as the PSF reaches
    field = np.array(viewer.canvas.size) / viewer.scene.camera.zoom / (2 * SPACING[1], SPACING[2])
    for seen, pixels in zip(box[1:], field, strict=True):
        assert 0 < seen.start < seen.stop < 72
        assert 0 <= seen.stop - seen.start - pixels <= 3  # those at the borders in full
    level = level_used(result, bead_image)
    expected = deconvolve(bead_image[box], PSF, background=level, **RUN).image
    np.testing.assert_array_equal(result.data, expected, strict=True)
    line = hand.widget.result_line.text()
    assert line.startswith(f"Of the region in view, {result.data.shape[1]} × ")
    assert f"Background {level:.4g}." in line
    recipe = Recipe.of(result.metadata[KEY])
    assert recipe.layers[0] == "cells (region)"
    arrays = hand.widget._inputs.arrays(viewer, recipe.layers)
    np.testing.assert_array_equal(recipe.run(arrays=arrays).image, result.data)


def test_labels_are_left_out_of_the_region(viewer, ready, bead_image):
    lazy = da.from_array(bead_image, chunks=(8, 36, 36))
    labels = np.zeros(SHAPE, int)
    labels[4:9, 30:40, 33:38] = 1
    layer = viewer.add_image(lazy, name="cells", **UM)
    viewer.add_labels(labels, name="dead", visible=False, **UM)
    hand = ready()
    hand.widget.leave_out.value = viewer.layers["dead"]
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    viewer.dims.set_current_step(0, 5)
    hand.run()
    result = viewer.layers[-1]
    box = box_of(result, layer)
    level = result.metadata[KEY]["parameters"]["background"]
    whole = prepare_blocks(lazy, PSF, mask=da.from_array(labels == 0), **RUN)
    assert level == pytest.approx(whole.background, rel=1e-6)
    mask = labels[box] == 0
    expected = deconvolve(bead_image[box], PSF, mask=mask, background=level, **RUN).image
    np.testing.assert_array_equal(result.data, expected)
    recipe = Recipe.of(result.metadata[KEY])
    arrays = hand.widget._inputs.arrays(viewer, recipe.layers)
    np.testing.assert_array_equal(recipe.run(arrays=arrays).image, expected)


def test_going_on_is_of_the_same_region_though_a_preview_takes_another(viewer, ready, bead_image):
    viewer.add_image(da.from_array(bead_image, chunks=(8, 36, 36)), name="cells", **UM)
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    hand.run()
    before = dict(viewer.layers[-1].metadata[KEY]["inputs"]["image"])
    assert before == {"layer": "cells (region)"}
    hand.widget.preview.box.value = True
    hand.widget.settings.iterations.value += 1
    idle = lambda: hand.widget.preview._worker is None  # noqa: E731
    hand.qtbot.wait(100)
    hand.qtbot.waitUntil(idle, timeout=20_000)
    hand.widget.going_on.button.click()
    hand.wait()
    result = viewer.layers["cells (region) · RL 16"]
    assert result.metadata[KEY]["inputs"]["image"] == before
    recipe = Recipe.of(result.metadata[KEY])
    arrays = hand.widget._inputs.arrays(viewer, recipe.layers)
    np.testing.assert_array_equal(recipe.run(arrays=arrays).image, result.data)


def test_going_on_keeps_the_background(viewer, ready, bead_image):
    layer = viewer.add_image(da.from_array(bead_image, chunks=(8, 36, 36)), name="cells", **UM)
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    hand.run()
    hand.widget.going_on.button.click()
    hand.wait()
    result = viewer.layers[-1]
    level = level_used(result, bead_image)
    more = RUN | {"iterations": RUN["iterations"] + 10}
    expected = deconvolve(bead_image[box_of(result, layer)], PSF, background=level, **more).image
    np.testing.assert_allclose(result.data, expected, rtol=1e-5)


def test_light_below_zero_is_left_to_the_run(viewer, ready, bead_image, said):
    lazy = da.from_array(bead_image - 200.0, chunks=(8, 36, 36))
    layer = viewer.add_image(lazy, name="cells", **UM)
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom *= 2
    hand.run()
    result = viewer.layers[-1]
    assert result.metadata[KEY]["parameters"]["background"] == "auto"
    assert "count as 0" in hand.widget.result_line.text()
    with pytest.warns(DeconvWarning, match="below 0"):
        expected = deconvolve(lazy[box_of(result, layer)].compute(), PSF, **RUN).image
    np.testing.assert_array_equal(result.data, expected)


def test_of_a_series_the_volume_in_view(viewer, ready, bead_image):
    series = np.stack([bead_image, bead_image[:, ::-1]])
    series[0, 0, 0, 0] += 1
    viewer.add_image(
        da.from_array(series, chunks=(1, 24, 36, 72)), name="cells", units=("second", *["µm"] * 3),
        scale=(2.5, *SPACING),
    )  # fmt: skip
    hand = ready()
    viewer.reset_view()
    viewer.scene.camera.zoom /= 2
    viewer.dims.set_point(0, 2.5)
    viewer.dims.set_point(1, 12 * SPACING[0])
    hand.run()
    result = viewer.layers[-1]
    assert box_of(result, viewer.layers["cells"])[:2] == (slice(1, 2), slice(6, 19))
    level = level_used(result, series[1])
    expected = deconvolve(series[1:, 6:19], PSF, background=level, **RUN).image
    np.testing.assert_array_equal(result.data, expected)


def test_a_small_image_in_memory_has_no_regions(viewer, ready, bead_image, memory, said):
    viewer.add_image(np.zeros((9, 20, 20), np.float32), name="small", **UM)
    layer = viewer.add_image(bead_image, name="cells", **UM)
    hand = ready()
    widget = hand.widget
    parts = (widget.region.native, widget.disk_button)
    shown = lambda: [part.isVisibleTo(widget) for part in parts]  # noqa: E731
    assert shown() == [True, True]  # it does not fit
    widget.region.value = "all"
    hand.click()
    assert "choose the region in view, or run all to disk" in widget.result_line.text()
    widget.image.value = viewer.layers["small"]
    assert shown() == [False, False]
    get_plugin_settings("napari-deconv").compute.memory = 0
    widget.image.value = layer
    assert shown() == [False, False]


def test_it_fits_into_a_narrow_dock(viewer, ready, cells):
    widget = ready().widget
    assert widget.disk_button.isVisibleTo(widget)
    assert widget.minimumSizeHint().width() <= 320
    assert widget.run_button.nextInFocusChain() is widget.disk_button
