"""Compare: what is shown of layers together, and that all is as before afterwards."""

from __future__ import annotations

import gc
import weakref

import dask
import dask.array as da
import numpy as np
import pytest
from hand import SPACING, Hand
from napari.layers import Image, Shapes
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_deconv.widgets.common.layers import KEY, provenance

SHAPE = (6, 40, 50)
UNITS = ("µm",) * 3
VIEWS = ("beside", "split", "blink", "projections")


@pytest.fixture(scope="module", autouse=True)
def quick_collection():
    """Leave out of each collection what is there before: napari collects with every removal."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_threads_of_dask():
    with dask.config.set(scheduler="synchronous"):
        yield


def volume(seed, shape=SHAPE):
    return np.random.default_rng(seed).gamma(2, 50, shape).astype(np.float32)


def add(viewer, name, data, kind=None, source=None, **options):
    options = {"scale": SPACING, "units": UNITS, "rgb": False} | options
    metadata = {} if kind is None else provenance({}, kind, source)
    return viewer.add_image(data, name=name, metadata=metadata, **options)


@pytest.fixture
def pair(viewer):
    """An image, its result, points, and a hidden layer."""
    cells = add(viewer, "cells", volume(1))
    add(viewer, "other", volume(2))
    viewer.add_points(np.ones((3, 3)), name="beads", units=UNITS)
    result = add(viewer, "cells · RL", volume(3), "result", cells)
    viewer.layers["other"].visible = False
    viewer.layers.selection.active = viewer.layers["beads"]
    return cells, result


@pytest.fixture
def compare(open_widget, pair):
    return open_widget("Compare").widget


def settle(widget):
    """Let timers of 0 ms come, and the worker end."""
    for _ in range(5):
        QApplication.processEvents()
    while widget._worker is not None:
        QTest.qWait(10)
    QApplication.processEvents()


def look(widget, **fields):
    for name, value in fields.items():
        getattr(widget.fields, name).value = value
    settle(widget)


def measure(qtbot, widget, what):
    look(widget, measure=what)
    Hand(qtbot, None, widget).run()
    QApplication.processEvents()


def state(viewer):
    """What of the viewer has to be as before."""
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    return (
        [(layer, layer.name, layer.visible, layer.name_overlay.visible) for layer in viewer.layers],
        set(viewer.layers.selection),
        (grid.enabled, grid.stride, grid.shape, grid.spacing),
        (tuple(camera.center), camera.zoom, camera.mouse_pan),
        (viewer.dims.point, viewer.dims.order, viewer.dims.range),
        len(viewer.mouse_drag_callbacks),
    )


def shown(viewer):
    return [layer.name for layer in viewer.layers if layer.visible]


# -- which layers --------------------------------------------------------------------------------
def test_the_source_follows_the_result_until_they_are_swapped(viewer, compare, pair):
    assert (compare.image.value, compare.after.value, compare.third.value) == (*pair, None)
    other = viewer.layers["other"]
    newer = add(viewer, "other · RL", volume(4), "result", other)
    assert (compare.image.value, compare.after.value) == (other, newer)
    compare.after.value = pair[1]
    assert compare.image.value == pair[0]
    compare.fields.swap.native.click()
    assert (compare.image.value, compare.after.value) == pair[::-1]
    viewer.add_points(np.ones((1, 3)))
    assert (compare.image.value, compare.after.value) == pair[::-1]


def test_one_layer_cannot_be_compared(viewer, open_widget):
    add(viewer, "cells", volume(1))
    widget = open_widget("Compare").widget
    before = state(viewer)
    look(widget, view="split")
    assert "two layers" in widget.result_line.text()
    assert state(viewer) == before


# -- views and leaving them ----------------------------------------------------------------------
def test_leaving_a_view_restores_everything(viewer, compare):
    viewer.canvas.grid.stride, viewer.canvas.grid.spacing = 2, 0.1
    before = state(viewer)
    for view, measure in (*((view, "profile") for view in VIEWS), ("beside", "none")):
        look(compare, view=view, measure=measure)
        assert state(viewer) != before
        assert not {"cells", "beads", "cells · RL"} & set(shown(viewer))
        look(compare, view="none", measure="none")
        assert state(viewer) == before
    look(compare, measure="profile")
    assert state(viewer) != before
    look(compare, measure="none")
    assert state(viewer) == before


def test_closing_the_dock_restores_everything(viewer, open_widget, pair):
    before = state(viewer)
    for view in ("split", "projections"):
        hand = open_widget("Compare")
        look(hand.widget, view=view, measure="profile")
        viewer.window.remove_dock_widget(hand.dock)
        assert state(viewer) == before
        settle(hand.widget)
        assert state(viewer) == before


SLOW = [pytest.param(view, "source", marks=pytest.mark.slow) for view in VIEWS if view != "split"]


@pytest.mark.parametrize(("view", "gone"), [*SLOW, ("split", "source"), ("split", "picture")])
def test_removing_a_layer_leaves_the_view(viewer, compare, pair, view, gone):
    before = state(viewer)
    look(compare, view=view)
    if gone == "source":
        viewer.layers.remove(pair[1])
        before[0].remove((pair[1], "cells · RL", True, False))
    else:
        viewer.layers.remove(next(layer for layer in viewer.layers if layer.visible))
    settle(compare)
    assert compare.fields.view.value == "none"
    after = state(viewer)
    assert after[0] == before[0]
    assert after[2] == before[2]
    assert after[5] == before[5]


def temporary(viewer):
    return [layer for layer in viewer.layers if role(layer) == "aside"]


def test_each_temporary_layer_is_made_once(viewer, compare, pair):
    """napari takes long to add and to remove one."""
    before = state(viewer)
    expected = {
        "beside": ["cells (compare)", "cells · RL (compare)"],
        "split": ["cells (compare)", "cells · RL (compare)", "Divider (compare)"],
        "blink": ["cells (compare)"],
        "projections": ["cells · projections", "cells · RL · projections"],
    }
    for view in VIEWS:
        look(compare, view=view)
    made = set(temporary(viewer))
    assert len(made) == 5
    for view in (*reversed(VIEWS), "split", "beside"):
        look(compare, view=view)
        assert set(temporary(viewer)) == made
        assert shown(viewer) == expected[view]
        if view != "split":
            for picture, source in zip(compare._now.pictures, pair, strict=True):
                assert picture.layer.data.shape == source.data.shape
                np.testing.assert_array_equal(picture.layer.translate, source.translate)
    pair[1].data = volume(9)
    look(compare, view="projections")
    top = viewer.layers["cells · RL · projections"].data[0][:40, :50]
    np.testing.assert_array_equal(top, pair[1].data.max(0))
    look(compare, view="none")
    assert temporary(viewer) == []
    assert state(viewer) == before


def test_the_line_lies_on_top_and_stays_where_it_is(viewer, compare):
    look(compare, view="beside", measure="profile")
    compare._now.profile.ends = [(0.5, 1, 1), (0.5, 2, 3)]
    for view in ("split", "blink", "none", "beside", "split"):
        look(compare, view=view)
        visible = [layer for layer in viewer.layers if layer.visible]
        assert visible[-1].name.startswith("Profile (compare)")
        assert viewer.layers.selection.active.name.startswith("Profile (compare)")
        np.testing.assert_allclose(np.array(compare._now.profile.ends)[:, 1:], [(1, 1), (2, 3)])
    assert len(temporary(viewer)) == 5  # two pictures, two lines, a divider


def role(layer):
    return layer.metadata.get(KEY, {}).get("role")


def test_the_grid_has_before_on_the_left_with_names(viewer, compare):
    look(compare, view="beside")
    assert viewer.canvas.grid.enabled
    cells = [viewer.canvas.grid.position(i, viewer.layers) for i in range(len(viewer.layers))]
    places = {layer.name: cell for layer, cell in zip(viewer.layers, cells, strict=True)}
    assert places["cells (compare)"] == (0, 0)
    assert places["cells · RL (compare)"] == (0, 1)
    assert viewer.layers["cells (compare)"].name_overlay.visible
    look(compare, measure="profile")
    cells = [viewer.canvas.grid.position(i, viewer.layers) for i in range(len(viewer.layers))]
    visible = [
        (type(layer), cell)
        for layer, cell in zip(viewer.layers, cells, strict=True)
        if layer.visible
    ]
    assert visible == [(Image, (0, 0)), (Shapes, (0, 0)), (Image, (0, 1)), (Shapes, (0, 1))]
    compare.third.value = viewer.layers["other"]
    look(compare, measure="none")
    assert len(shown(viewer)) == 3


def test_what_was_seen_whole_is_seen_whole_in_its_cell(viewer, compare):
    viewer.reset_view()
    zoom = viewer.scene.camera.zoom
    look(compare, view="beside", measure="profile")
    width, height = 5.0 * viewer.scene.camera.zoom, viewer.canvas.size[1] / 2
    assert width < height
    start, end = compare._now.profile.ends
    assert -0.05 < start[2] < end[2] < 4.95
    look(compare, view="none", measure="none")
    assert viewer.scene.camera.zoom == zoom
    viewer.scene.camera.zoom = 5 * zoom  # looking at a detail
    look(compare, view="beside")
    assert viewer.scene.camera.zoom == 5 * zoom


def test_voxels_are_shared_and_never_changed(viewer, compare, pair):
    data = [layer.data for layer in pair]
    copies = [array.copy() for array in data]
    limits = [layer.contrast_limits for layer in pair]
    for view in VIEWS[:-1]:
        look(compare, view=view, contrast="percentiles")
        pictures = [p.layer for p in compare._now.pictures]
        for picture, array in zip(pictures, data, strict=True):
            assert np.shares_memory(picture.data, array)
        look(compare, divider=0.2)
    look(compare, view="projections")
    look(compare, view="none")
    for layer, array, copy, limit in zip(pair, data, copies, limits, strict=True):
        assert layer.data is array
        np.testing.assert_array_equal(array, copy)
        assert layer.contrast_limits == limit


def test_a_result_that_grows_and_is_moved_is_followed(viewer, compare, pair):
    for view in VIEWS[:-1]:
        look(compare, view=view)
        new = volume(9) + len(view)
        pair[1].data = new
        picture = compare._now.pictures[1].layer
        assert np.shares_memory(picture.data, new)
    pair[1].translate = (0, 1, 0)
    settle(compare)
    np.testing.assert_allclose(compare._now.pictures[1].layer.translate, (0, 1, 0))


def test_another_number_of_axes_is_followed(viewer, compare, pair):
    look(compare, view="split", measure="profile")
    add(viewer, "series", volume(5, (2, *SHAPE)), scale=(1, *SPACING), units=("s", *UNITS))
    settle(compare)
    assert compare._now.split.line.ndim == 4
    assert len(compare._now.profile.ends[0]) == 4


# -- split ---------------------------------------------------------------------------------------
def seen_from(layer, point):
    """The value of a layer at a place in the world, None outside."""
    return layer.get_value(point, world=True) if layer.visible else None


def check_sides(viewer, widget, at):
    """Left of the divider is the first layer, right of it the second, and nothing twice."""
    left, right = (picture.layer for picture in widget._now.pictures)
    middle = viewer.dims.point
    for x in np.arange(0.03, 4.9, 0.2):
        if abs(x - at) < 0.06:
            continue
        point = (middle[0], 2.0, x)
        own = (left, right) if x < at else (right, left)
        source = widget._now.pictures[0 if x < at else 1].source
        index = tuple(np.rint(source.world_to_data(point)).astype(int))
        assert seen_from(own[0], point) == source.data[index], x
        assert seen_from(own[1], point) is None, x


def test_each_side_shows_its_layer_where_it_lies(viewer, compare):
    for place in (0.0, 0.3, 0.5, 1.0):
        look(compare, view="split", divider=place)
        check_sides(viewer, compare, -0.05 + 5.0 * place)


def test_the_divider_lies_between_the_sides(viewer, compare):
    look(compare, view="split", divider=0.3)
    line = viewer.layers["Divider (compare)"]
    ends = np.array([line.data_to_world(end) for end in line.data[0]])
    np.testing.assert_allclose(ends[:, 2], -0.05 + 5.0 * 0.3)
    np.testing.assert_allclose(sorted(ends[:, 1]), (-0.05, 3.95))


def canvas_point(viewer, world):
    """Where in the canvas a point (y, x) of the world is."""
    camera = viewer.scene.camera
    size = np.array(viewer.canvas.size)
    y, x = (np.array(world) - np.array(camera.center)[-2:]) * camera.zoom + size / 2
    return QPoint(round(x), round(y))


def drag(viewer, start, end):
    """Drag with the mouse in the canvas."""
    native = viewer.window._qt_viewer.canvas.native
    first, last = canvas_point(viewer, start), canvas_point(viewer, end)
    QTest.mouseMove(native, first)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=first)
    for share in (0.25, 0.5, 0.75, 1.0):
        QTest.mouseMove(native, first + (last - first) * share)
        QApplication.processEvents()
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=last)
    QApplication.processEvents()


@pytest.fixture
def real(make_napari_viewer, qtbot):
    """A viewer that is shown, with a pair of layers and the widget."""
    viewer = make_napari_viewer(show=True)
    cells = add(viewer, "cells", volume(1))
    add(viewer, "cells · RL", volume(3), "result", cells)
    _, widget = viewer.window.add_plugin_dock_widget("napari-deconv", "Compare")
    qtbot.wait(300)
    return viewer, widget


@pytest.mark.filterwarnings("ignore:.*qt_viewer.*")
def test_the_divider_and_the_profile_are_dragged_in_the_canvas(real):
    viewer, widget = real
    look(widget, view="split")
    centre = tuple(viewer.scene.camera.center)
    drag(viewer, (2.0, 2.45), (2.0, 3.95))
    assert widget.fields.divider.value == pytest.approx(0.8, abs=0.03)
    assert tuple(viewer.scene.camera.center) == centre  # the picture stays
    drag(viewer, (2.0, 1.0), (2.0, 2.0))  # far from the divider: the picture moves
    assert widget.fields.divider.value == pytest.approx(0.8, abs=0.03)
    assert tuple(viewer.scene.camera.center) != centre
    assert viewer.scene.camera.mouse_pan
    viewer.reset_view()
    look(widget, view="none", measure="profile")
    start, end = widget._now.profile.ends
    drag(viewer, end[1:], (3.0, 4.0))
    np.testing.assert_allclose(widget._now.profile.ends[0], start, atol=1e-6)
    np.testing.assert_allclose(widget._now.profile.ends[1][1:], (3.0, 4.0), atol=0.05)


# -- blink ---------------------------------------------------------------------------------------
def test_layers_blink_by_themselves_or_by_a_key(qtbot, viewer, compare):
    assert not compare.blink_key.isEnabled()
    look(compare, view="blink", interval=0.1)
    first, other = ["cells (compare)"], ["cells · RL (compare)"]
    assert shown(viewer) == first
    qtbot.waitUntil(lambda: shown(viewer) == other, timeout=2000)
    qtbot.waitUntil(lambda: shown(viewer) == first, timeout=2000)
    look(compare, interval=0.0)
    before = shown(viewer)
    qtbot.wait(150)
    assert shown(viewer) == before
    compare.blink_key.activated.emit()
    assert shown(viewer) == (other if before == first else first)
    look(compare, view="none")
    assert not compare._blink.isActive()
    assert not compare.blink_key.isEnabled()


# -- contrast ------------------------------------------------------------------------------------
def test_contrast_is_each_layers_own_or_of_the_same_percentiles(compare, pair):
    pair[0].contrast_limits = (10, 20)
    look(compare, view="beside")
    first, second = (picture.layer for picture in compare._now.pictures)
    assert first.contrast_limits == [10, 20]
    assert second.contrast_limits == pair[1].contrast_limits
    look(compare, contrast="range")
    np.testing.assert_allclose(first.contrast_limits, (pair[0].data.min(), pair[0].data.max()))
    look(compare, contrast="percentiles", darkest=5.0, brightest=99.0)
    for layer, source in zip((first, second), pair, strict=True):
        np.testing.assert_allclose(layer.contrast_limits, np.percentile(source.data, (5, 99)), 1e-5)


# -- kinds of layers -----------------------------------------------------------------------------
def turned(angle):
    return {"rotate": np.array([[1, 0, 0], *np.c_[np.zeros(2), rotation(angle)]])}


def rotation(degrees):
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


KINDS = {
    "plane": lambda: (volume(1, (40, 50)), {"scale": SPACING[1:], "units": UNITS[1:]}),
    "series": lambda: (
        volume(1, (3, *SHAPE)),
        {"scale": (1, *SPACING), "units": ("s", *UNITS), "axis_labels": ("t", "z", "y", "x")},
    ),
    "dask": lambda: (da.from_array(volume(1), chunks=(1, 20, 20)), {}),
    "multiscale": lambda: (
        [volume(1, (6, 64, 64)), volume(2, (6, 32, 32)), volume(3, (6, 16, 16))],
        {"multiscale": True},
    ),
    "rotated": lambda: (volume(1), turned(90)),
    "affine": lambda: (volume(1), {"affine": np.diag([1, 1.2, -0.8, 1])}),
    "integers": lambda: (volume(1).astype(np.uint16), {}),
    "nanometres": lambda: (volume(1), {"scale": np.multiply(SPACING, 1000), "units": ("nm",) * 3}),
    "pixels": lambda: (volume(1), {"scale": (1, 1, 1), "units": ("pixel",) * 3}),
    "coarse": lambda: (volume(1, (3, 20, 25)), {"scale": np.multiply(SPACING, 2)}),
    "rgb": lambda: (volume(1, (40, 50, 3)).astype(np.uint8), {"rgb": True, "scale": (0.1, 0.1)}),
}


OFTEN = ("series",)


ALL = [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_of_layer_can_be_compared(viewer, open_widget, kind, said):
    data, options = KINDS[kind]()
    if kind == "rgb":
        options["units"] = UNITS[1:]
    first = add(viewer, "first", data, **options)
    other = "integers" if kind in ("coarse", "nanometres") else kind
    second_data, second_options = KINDS[other]()
    second_options = (options if other == kind else {}) | second_options
    second = add(viewer, "second", second_data, "result", first, **second_options)
    widget = open_widget("Compare").widget
    assert (widget.image.value, widget.after.value) == (first, second)
    before = state(viewer)
    for view in VIEWS[:-1]:
        look(widget, view=view, measure="profile", contrast="percentiles")
        look(widget, divider=0.3, contrast="own")
        if viewer.dims.ndim > 2:
            viewer.dims.set_current_step(0, 1)
        settle(widget)
    viewer.dims.ndisplay = min(3, viewer.dims.ndim)
    look(widget, view="split", divider=0.6)
    viewer.dims.ndisplay = 2
    look(widget, view="none", measure="none")
    assert state(viewer)[:3] == before[:3]
    assert not said()


QUARTERS = [90, *(pytest.param(angle, marks=pytest.mark.slow) for angle in (180, 270))]


@pytest.mark.parametrize("angle", QUARTERS)
def test_the_split_of_turned_layers_is_where_the_divider_is(viewer, open_widget, angle):
    first = add(viewer, "first", volume(1), **turned(angle))
    add(viewer, "second", volume(2), "result", first, **turned(angle))
    widget = open_widget("Compare").widget
    look(widget, view="split", divider=0.3)
    left, right = (picture.layer for picture in widget._now.pictures)
    low, high = np.array([layer.extent.world[:, 2] for layer in (left, right)])
    box = first.extent.world[:, 2]
    at = box[0] - 0.05 + 0.3 * (np.ptp(box) + 0.1)
    assert low[1] < at < high[0]
    np.testing.assert_allclose((low[0], high[1]), box, atol=1e-9)
    np.testing.assert_allclose(high[0] - low[1], 0.1)


def test_the_split_of_a_pyramid_keeps_its_levels_together(viewer, open_widget):
    data, options = KINDS["multiscale"]()
    first = add(viewer, "first", data, **options)
    add(viewer, "second", data, "result", first, **options)
    widget = open_widget("Compare").widget
    look(widget, view="split", divider=0.3)
    left, right = (picture.layer for picture in widget._now.pictures)
    for one, other, whole in zip(left.data, right.data, first.data, strict=True):
        assert one.shape[-1] + other.shape[-1] == whole.shape[-1]
        assert one.shape[-1] / whole.shape[-1] == left.data[0].shape[-1] / 64
        assert np.shares_memory(one, whole)


def test_lazy_layers_are_not_computed_whole(viewer, open_widget):
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones((1, 40, 50), np.float32)

    lazy = da.map_blocks(plane, chunks=((1,) * 30, (40,), (50,)), dtype=np.float32)
    first = add(viewer, "first", lazy, contrast_limits=(0, 2))
    add(viewer, "second", lazy, "result", first, contrast_limits=(0, 2))
    widget = open_widget("Compare").widget
    read.clear()
    for view in VIEWS[:-1]:
        look(widget, view=view, measure="profile", contrast="percentiles")
    assert len(set(read)) <= 3


# -- nothing left --------------------------------------------------------------------------------
def own(emitter):
    """Count the callbacks that are not napari's own, which keeps those of past grids."""
    targets = [callback[0]() for callback in emitter.callbacks if isinstance(callback, tuple)]
    return sum(type(target).__module__.startswith("napari_deconv") for target in targets)


def test_nothing_is_left_after_many_views(viewer, open_widget, pair):
    hand = open_widget("Compare")
    emitters = [viewer.dims.events.point, viewer.scene.camera.events.zoom, pair[0].events.data]
    emitters += [viewer.layers.events.removed, viewer.dims.events.ndim]
    before = [own(emitter) for emitter in emitters]
    gone = []
    for turn in range(4):
        look(hand.widget, view=VIEWS[turn % 4], measure="profile" if turn % 2 else "none")
        gone += [weakref.ref(layer) for layer in temporary(viewer)]
    look(hand.widget, view="none", measure="none")
    assert [own(emitter) for emitter in emitters] == before
    viewer.window.remove_dock_widget(hand.dock)
    QTest.qWait(50)
    gc.collect()
    assert sum(layer() is not None for layer in gone) == 0
