"""The widgets among what napari has: its command palette, the keys, its linked views."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from comparing import look
from hand import SPACING
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QScrollArea, QWidget

UM = {"scale": SPACING, "units": ("µm",) * 3}
TITLES = [
    "Background subtraction", "Bead detection", "PSF distilling", "Synthetic PSF", "Deconvolution",
    "PSF quality", "Compare", "Convolve", "Simulate acquisition",
]  # fmt: skip


@pytest.mark.parametrize("title", TITLES)
def test_the_command_palette_opens_it(qtbot, viewer, title):
    window = viewer.window.__wrapped__._qt_window
    palette = window._command_palette
    with qtbot.waitExposed(window):
        window.show()
    palette.show()
    QTest.keyClicks(palette._line, title.lower())
    found = [command.title for command in palette._list.iter_command()]
    for _ in range(found.index(f"{title} (Deconvolution)")):
        QTest.keyClick(palette._line, Qt.Key.Key_Down)
    QTest.keyClick(palette._line, Qt.Key.Key_Return)
    opened = [name for name in viewer.window.dock_widgets if name.startswith(title)]
    assert len(opened) == 1
    viewer.window.remove_dock_widget("all")


@pytest.mark.parametrize("title", TITLES)
def test_tab_goes_from_top_to_bottom(qtbot, viewer, open_widget, bead_image, psf_array, title):
    viewer.add_image(psf_array, name="PSF", **UM)
    viewer.add_image(bead_image, name="cells", **UM)
    widget = open_widget(title).widget
    window = widget.window()
    with qtbot.waitExposed(window):
        window.show()
    if title != "Compare":
        widget._form.more_button.click()
    qtbot.wait(100)
    stops = [each for each in chain(widget) if stops_at(each, widget)]
    places = [place(each, widget) for each in stops]
    assert len(places) > 4
    for (part, y, x), (next_part, next_y, next_x) in pairwise(places):
        assert next_part >= part
        below, beside = next_y - y > 8, abs(next_y - y) <= 8 and next_x >= x
        assert below or beside or next_part > part


@pytest.mark.parametrize("title", TITLES)
def test_each_has_its_parts_in_the_same_order(qtbot, viewer, open_widget, bead_image, title):
    viewer.add_image(bead_image, name="bare")
    widget = open_widget(title).widget
    if title == "Compare":  # it has nothing to run before
        widget.fields.measure.value = "spectrum"
    with qtbot.waitExposed(widget.window()):
        widget.window().show()
    qtbot.wait(100)
    first, *others = (field for field in widget._rows if field.native.isVisibleTo(widget))
    assert first is widget.image
    voxels = widget.voxel_size.field
    if voxels in others and title != "Compare":  # which asks for several layers first
        assert others[0] is voxels
    preview = [] if widget.preview is None else [widget.preview.box.native]
    parts = [widget._form, *preview, widget.run_button, widget.outcome]
    heights = [part.mapTo(widget, QPoint(0, 0)).y() for part in parts]
    assert heights == sorted(heights)
    assert len(set(heights)) == len(parts)


def chain(widget):
    """Go through all that belongs to a widget in the order in which Tab goes."""
    first = each = widget.nextInFocusChain()
    while True:
        if widget.isAncestorOf(each):
            yield each
        each = each.nextInFocusChain()
        if each is first:
            return


def stops_at(each: QWidget, widget: QWidget) -> bool:
    takes = each.focusPolicy() & Qt.FocusPolicy.TabFocus
    inner = isinstance(each.parent(), QAbstractSpinBox)
    return bool(takes) and not inner and each.isVisibleTo(widget) and each.isEnabled()


def place(each: QWidget, widget: QWidget) -> tuple[bool, int, int]:
    """Say where it is: below what scrolls or not, how far down, how far to the right."""
    scrolls = next(iter(widget.findChildren(QScrollArea)), None)
    inside = scrolls is not None and scrolls.widget().isAncestorOf(each)
    corner = each.mapTo(scrolls.widget() if inside else widget, QPoint(0, each.height() // 2))
    return not inside, corner.y(), corner.x()


def test_views_beside_each_other_move_together(viewer, compare):
    look(compare, view="beside")
    canvas = viewer.window.__wrapped__._qt_viewer.canvas
    assert len(canvas.grid_cameras) == 2
    camera = viewer.scene.camera
    camera.zoom, camera.center = 2 * camera.zoom, (0.0, 1.5, 2.5)
    for each in canvas.grid_cameras:
        assert each.zoom == pytest.approx(camera.zoom)
        np.testing.assert_allclose(each.center[-2:], (1.5, 2.5))
