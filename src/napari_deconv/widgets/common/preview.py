"""What a setting does, shown at once on what is in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.adding import add_unselected
from napari_deconv.widgets.common.fields import check
from napari_deconv.widgets.common.layers import take_away
from napari_deconv.widgets.common.line import Line
from napari_deconv.widgets.common.preferences import apply_limits
from napari_deconv.widgets.common.turns import Turns
from napari_deconv.widgets.common.workers import Task, Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["LayerData", "Preview"]

LayerData = tuple[Any, dict[str, Any], str]
"""Data, options and type of a layer; its text is a list, each of which is shown after the other."""

_DEBOUNCE = 25  # ms
_PATIENCE = 1000  # ms

# What differs from one picture to the next.
_CHANGING = (
    "name", "scale", "units", "translate", "blending", "contrast_limits", "metadata",
    "features", "size", "border_color",
)  # fmt: skip


class Preview(QObject):
    """Runs an operation on what is in view, again whenever a setting or the view changes.

    Its layers are no result: they are hidden while the operation runs, and then until a setting is
    changed; they go when it is switched off, and when the dock closes.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that it shows its layers in.
    prepare : callable
        Reads the fields; returns what to call with ``callback=`` in a thread, or None.
    present : callable
        Turns a result, or an estimate on the way to it, into layers.

    Attributes
    ----------
    box : CheckBox
        Switches it on and off.
    note : Line
        Says why there is none, or `hint`.
    hint : str
        What is said while it is seen: how much of the view it is of.
    words : callable
        Puts a message into the words of the fields.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        prepare: Callable[[], Callable[..., Any] | None],
        present: Callable[[Any], Sequence[LayerData]],
    ) -> None:
        super().__init__()
        self.box: CheckBox = check(
            "Preview", True, "Shows what the settings do to the part of the image that is in view, "
            "as you change them.",
        )  # fmt: skip
        self.note = Line()
        self.hint = ""
        self.words: Callable[[str], str] = str
        self.note.hide()
        self._viewer = viewer
        self._prepare = prepare
        self._present = present
        self._layers: list[Layer] = []
        self._worker: Worker | None = None
        self._wanted = self._paused = self._broken = False
        self._turns = Turns(self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DEBOUNCE)
        self._timer.timeout.connect(self._start)
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(_PATIENCE)
        self._patience.timeout.connect(self._explain)
        self.box.changed.connect(self._switch)
        viewer.dims.events.point.connect(self.follow)
        viewer.scene.camera.events.connect(self.follow)

    def request(self, *_: Any) -> None:
        """Make it anew: a setting has changed."""
        if self.box.value and not self._paused:
            self._timer.start()

    def follow(self, *_: Any) -> None:
        """Make it anew if there is one, or it could not be made: the view has changed."""
        if self._broken or any(layer.visible for layer in self._layers):
            self.request()

    def pause(self, paused: bool) -> None:
        """Hide it while the operation itself runs, and then until a setting is changed."""
        self._paused = paused
        self._broken = False
        self._stop()
        self._hide()
        self._say("")

    def _hide(self) -> None:
        """Hide its layers: to take them away holds the window up, napari collects garbage then."""
        for layer in self._layers:
            layer.visible = False

    def _stop(self) -> None:
        """Drop what is on its way."""
        self._timer.stop()
        self._turns.clear()
        self._wanted = False
        if self._worker is not None:
            self._worker.quit()

    def clear(self) -> None:
        """Take its layers away."""
        self._stop()
        take_away(self._viewer, self._layers)
        self._layers = []
        self._say("")

    def close(self) -> None:
        """End it for good."""
        self._paused = True
        self.clear()
        self._viewer.dims.events.point.disconnect(self.follow)
        self._viewer.scene.camera.events.disconnect(self.follow)

    def _switch(self, on: bool) -> None:
        if on:
            self.request()
        else:
            self.clear()

    def _start(self) -> None:
        if self._paused:
            return
        if self._worker is not None:  # its result would be out of date
            self._wanted = True
            self._worker.quit()
            return
        try:
            apply_limits()
            function = self._prepare()
        except DeconvError as error:
            self._failed(error)
            return
        if function is None:
            self.clear()
            return
        task = Task("Preview", function, picture=np.asarray)
        self._worker = worker = Worker(task)  # napari would remember each until its window closes
        # Of methods: these connections end with this object, when its window is closed.
        worker.pictured.connect(self._show)
        worker.waiting.connect(self._waited_for)
        worker.returned.connect(self._show)
        worker.errored.connect(self._failed)
        worker.finished.connect(self._finished)
        worker.start()
        self._patience.start()

    def _waited_for(self) -> None:
        """Let the worker go on when what it has sent is drawn, which is after this turn."""
        self._turns.add(self._worker.shown)

    def _explain(self) -> None:
        """Say why there is nothing to be seen yet, if another run is the reason."""
        if self._worker is not None and not self._worker.is_running:
            self._say("The preview waits for another run to end.")

    def _show(self, result: Any) -> None:
        """Put the newest picture in place of the one before."""
        if self._worker.abort_requested:
            return
        made = self._present(result)
        self._broken = False
        self._say(self.hint)
        self._turns.clear()
        texts = [options.pop("text", ()) for _, options, _ in made]
        standing = [layer for layer in self._layers if layer in self._viewer.layers]
        if [_kind(layer) for layer in standing] == [_kind_of(each) for each in made]:
            self._layers = standing  # others have been deleted by hand
            steps = [partial(_change, *each) for each in zip(self._layers, made, strict=True)]
        else:
            take_away(self._viewer, self._layers)
            self._layers = [Layer.create(data, options, kind) for data, options, kind in made]
            steps = [
                partial(add_unselected, self._viewer, layer, self.box.native)
                for layer in self._layers
            ]
        for layer, each in zip(self._layers, texts, strict=True):
            steps += [partial(setattr, layer, "text", text) for text in each]
        first, *others = steps
        first()
        for step in others:  # at once they would hold the window up
            self._turns.add(step)

    def _failed(self, error: Exception) -> None:
        self._hide()
        self._broken = True
        self._say(f"No preview: {self.words(str(error))}")

    def _say(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _finished(self) -> None:
        self._worker = None
        if self._wanted:
            self._wanted = False
            self._start()


def _change(layer: Layer, made: LayerData) -> None:
    """Show the newest in a layer."""
    data, options, _ = made
    layer.data = data
    for name in _CHANGING:
        if name in options and not np.array_equal(getattr(layer, name), options[name]):
            setattr(layer, name, options[name])
    if not layer.visible:  # to show what is shown takes as long as to show it first
        layer.visible = True


def _kind(layer: Layer) -> tuple[str, int]:
    """Say what has to agree for a layer to take other data."""
    return type(layer).__name__.lower(), layer.ndim


def _kind_of(made: LayerData) -> tuple[str, int]:
    """Say the same of what is to be shown."""
    data, _, kind = made
    return kind, data.shape[1] if kind == "points" else data.ndim
