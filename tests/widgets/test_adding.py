"""Layers come in steps, and the window is painted in between."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtWidgets import QWidget

from napari_deconv.widgets.common.adding import add_unselected
from napari_deconv.widgets.common.window import main_window, paint_later

PLANE = np.zeros((4, 4))


@pytest.fixture
def widget(open_widget):
    return open_widget("Convolve").widget


def test_a_layer_is_added_then_painted_then_shown(viewer, widget, qtbot):
    adding, window = widget._adding, main_window(widget)
    paints = []

    def note(event):
        paints.append(window.updatesEnabled())

    viewer.layers.events.inserted.connect(note)
    layer = adding.layer(Image(PLANE))
    adding.change(layer, "opacity", 0.5)
    layer.events.visible.connect(note)
    assert layer not in viewer.layers
    assert not layer.visible
    qtbot.waitUntil(lambda: layer.opacity == 0.5)
    assert layer in viewer.layers
    assert layer.visible
    assert paints == [False, True]
    assert viewer.layers.selection == {layer}
    viewer.layers.events.inserted.disconnect(note)
    layer.events.visible.disconnect(note)


def test_after_an_error_the_window_is_painted_too(widget, qtbot):
    window = main_window(widget)
    with pytest.raises(AttributeError):
        add_unselected(None, Image(PLANE), widget)
    assert not window.updatesEnabled()
    qtbot.waitUntil(window.updatesEnabled)


def test_a_widget_without_a_window_has_none_to_paint(qtbot):
    alone = QWidget()
    qtbot.addWidget(alone)
    paint_later(alone)
    assert main_window(alone) is None
    assert alone.updatesEnabled()


def test_a_layer_is_added_and_what_is_selected_stays(viewer):
    first, second = (viewer.add_image(PLANE, name=name) for name in "ab")
    selection = viewer.layers.selection
    for selected, active in (({first}, first), ({first, second}, None), (set(), None)):
        viewer.layers.selection = selected
        told = []
        selection.events.connect(told.append)
        add_unselected(viewer, Image(PLANE), QWidget())
        selection.events.disconnect(told.append)
        assert (set(selection), selection.active, told) == (selected, active, [])
    assert len(viewer.layers) == 5
