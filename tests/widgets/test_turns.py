"""One thing after the other, and the window in between."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_deconv.widgets.common.turns import Turns


def test_things_are_done_in_order_and_events_in_between(qtbot):
    turns, done = Turns(owner := QObject()), []
    for number in range(3):
        turns.add(lambda number=number: (done.append(number), QTimer.singleShot(0, beat)))

    def beat():
        done.append("event")

    assert done == []
    qtbot.waitUntil(lambda: len(done) == 6)
    assert done == [0, "event", 1, "event", 2, "event"]
    del owner


def test_what_a_turn_adds_comes_next(qtbot):
    turns, done = Turns(owner := QObject()), []

    def first():
        done.append("first")
        for part in ("its own", "its last"):
            turns.add(lambda part=part: done.append(part))

    turns.add(first)
    turns.add(lambda: done.append("second"))
    qtbot.waitUntil(lambda: "second" in done)
    assert done == ["first", "its own", "its last", "second"]
    del owner


def test_what_is_dropped_is_not_done(qtbot):
    turns, done = Turns(owner := QObject()), []
    turns.add(lambda: done.append("first"))
    turns.clear()
    turns.add(lambda: done.append("second"))
    qtbot.wait(100)
    assert done == ["second"]
    del owner


def test_what_fails_does_not_hold_up_the_rest(qtbot):
    turns, done = Turns(owner := QObject()), []
    turns.add(lambda: 1 / 0)
    turns.add(lambda: done.append("rest"))
    with qtbot.capture_exceptions() as failed:
        qtbot.waitUntil(lambda: done == ["rest"])
    assert [kind for kind, *_ in failed] == [ZeroDivisionError]
    del owner


@pytest.mark.parametrize("title", ["Background subtraction", "Bead detection", "Convolve"])
def test_a_layer_is_drawn_in_a_turn_of_its_own(viewer, open_widget, bead_image, title):
    viewer.add_image(bead_image[12, 24:48, 24:48], name="PSF", scale=(0.1, 0.1), units="um")
    viewer.add_image(bead_image, name="beads", scale=(0.2, 0.1, 0.1), units="um")
    before = set(viewer.layers)
    added = []
    viewer.layers.events.inserted.connect(lambda event: added.append(event.value.visible))
    open_widget(title).run()
    assert added == [False]
    assert all(layer.visible for layer in set(viewer.layers) - before)
