"""Layers are removed in the OpenGL context of the canvas: in another one, napari 0.9 crashes."""

from __future__ import annotations

import pytest
from hand import SPACING
from kinds import STACK
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtOpenGLWidgets import QOpenGLWidget

UM = {"scale": SPACING, "units": ("µm",) * 3}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def open_shown(open_widget, qtbot):
    """Open a widget and wait until it is on the screen."""

    def open_it(title):
        hand = open_widget(title)
        qtbot.waitUntil(hand.widget.isVisible, timeout=5000)
        return hand

    return open_it


@pytest.fixture
def other_context():
    """A context that is current instead, as that of the window is once it has been composed."""
    surface, context = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    assert context.create()

    def enter(*_):
        assert context.makeCurrent(surface)

    yield enter
    context.doneCurrent()
    surface.destroy()


@pytest.fixture
def contexts(viewer):
    """The contexts that layers have been removed in, as the canvas finds them."""
    found = []
    viewer.layers.events.removed.connect(
        lambda event: found.append(QOpenGLContext.currentContext()), position="first"
    )
    return found


def _canvas(dock):
    return dock.parent().centralWidget().findChild(QOpenGLWidget)


@pytest.mark.parametrize("title", ["Background subtraction", "Deconvolution", "Compare"])
def test_layers_are_removed_in_the_canvas(viewer, open_shown, other_context, contexts, title):
    layers = [viewer.add_image(STACK, **UM) for _ in range(3)]
    hand = open_shown(title)
    other_context()
    viewer.layers.remove(layers[0])
    other_context()
    with viewer.layers.batched_update():
        viewer.layers.remove(layers[1])
        viewer.layers.remove(layers[2])
    assert len(contexts) == 3
    assert set(contexts) == {_canvas(hand.dock).context()}


def test_a_floating_dock_finds_the_canvas(viewer, open_shown, other_context, contexts):
    layers = [viewer.add_image(STACK, **UM) for _ in range(2)]
    hand = open_shown("Convolve")
    hand.dock.setFloating(True)
    hand.dock.hide()
    hand.dock.show()
    other_context()
    viewer.layers.remove(layers[0])
    assert contexts == [_canvas(hand.dock).context()]


def test_a_preview_that_closes_with_its_dock(viewer, qtbot, open_shown, other_context, contexts):
    viewer.add_image(STACK, **UM)
    hand = open_shown("Background subtraction")
    hand.widget.preview.box.value = True
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=20_000)
    canvas = _canvas(hand.dock)
    other_context()
    viewer.window.remove_dock_widget(hand.dock)
    assert contexts == [canvas.context()]
