"""Compare: what is shown of layers together, and that all is as before afterwards."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from comparing import SHAPE, UNITS, VIEWS, add, look, settle, shown, state, temporary, volume
from hand import SPACING
from napari._vispy.visuals.text import Text
from napari.layers import Image, Shapes
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest

pytestmark = pytest.mark.usefixtures("quick_collection", "dask_in_place")


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


def test_a_layer_without_a_unit_among_layers_with_one_is_named(compare, pair):
    pair[1].scale, pair[1].units = (1, 1, 1), ("pixel",) * 3
    for fields in ({"view": "beside"}, {"view": "none", "measure": "profile"}):
        look(compare, **fields)
        assert "Not in the scale of the other layers" in compare.result_line.text()
        assert "“cells · RL”" in compare.result_line.text()
    pair[0].units = ("pixel",) * 3  # now they lie on each other as far as napari knows
    look(compare, view="split")
    assert compare.result_line.text() == ""


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


@pytest.mark.parametrize("floating", [False, True])
def test_hiding_the_dock_restores_everything_until_it_is_back(
    qtbot, viewer, open_widget, pair, floating
):
    hand = open_widget("Compare")
    window = hand.dock.parentWidget()
    with qtbot.waitExposed(window):
        window.show()
    hand.dock.setFloating(floating)
    before = state(viewer)[:3]
    look(hand.widget, view="split")
    assert shown(viewer) == ["cells (compare)", "cells · RL (compare)", "Divider (compare)"]
    hand.dock.close()  # as the button in its title does
    settle(hand.widget)
    assert state(viewer)[:3] == before
    add(viewer, "newer", volume(5), "result", pair[0])
    settle(hand.widget)
    assert temporary(viewer) == []
    hand.dock.show()
    settle(hand.widget)
    assert shown(viewer)[-1] == "Divider (compare)"
    viewer.close()


def test_another_tab_over_it_leaves_the_view(qtbot, viewer, open_widget, pair):
    hand = open_widget("Compare")
    window = hand.dock.parentWidget()
    with qtbot.waitExposed(window):
        window.show()
    other = open_widget("Convolve").dock
    window.tabifyDockWidget(hand.dock, other)
    look(hand.widget, view="beside")
    other.raise_()
    qtbot.waitUntil(lambda: hand.widget.visibleRegion().isEmpty(), timeout=5000)
    settle(hand.widget)
    assert shown(viewer) == ["cells (compare)", "cells · RL (compare)"]


def test_a_layer_that_the_user_shows_meanwhile_stays_shown(viewer, compare):
    look(compare, view="beside")
    viewer.layers["other"].visible = True
    look(compare, view="split")
    look(compare, view="none")
    assert [layer.visible for layer in viewer.layers] == [True] * 4


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


def drawn_width(name):
    """As wide as napari draws it."""
    return Text(name, face=QGuiApplication.font().family(), font_size=10).get_width_height()[0]


def test_long_names_do_not_overlap(viewer, compare, pair):
    for layer in pair:
        layer.name = f"2024-03-11 {'a long name ' * 8}{layer.name}"
    look(compare, view="beside")
    assert viewer.layers[0].name != pair[0].name
    for size in ((500, 900), (500, 400)):
        viewer.canvas.size = size
        for view in ("split", "beside", "projections"):
            look(compare, view=view)
            names = shown(viewer)[:2]
            assert all(name.startswith("2024") for name in names)
            assert names[1].endswith("RL")
            for name in names:
                assert 0.3 * size[1] < drawn_width(name) < 0.5 * size[1] - 10
            tips = [layer.get_source_str() for layer in viewer.layers if layer.visible]
            added = " · projections" if view == "projections" else " (compare)"
            assert tips[:2] == [layer.name + added for layer in pair]
    look(compare, view="split")
    narrow = shown(viewer)[0]
    viewer.canvas.size = (500, 1600)
    assert len(shown(viewer)[0]) > len(narrow)
    look(compare, view="blink")
    viewer.canvas.size = (500, 4000)
    assert shown(viewer)[0] == f"{pair[0].name} (compare)"


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
