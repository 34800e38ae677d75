"""The same hand for every widget: inputs, More, preview, Run and Cancel, progress, result line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import Label, Widget
from napari.layers import Layer
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeySequence, QShortcut, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.provenance import made, record
from napari_deconv.widgets.common.adding import Adding
from napari_deconv.widgets.common.canvas import RemovalContext
from napari_deconv.widgets.common.choosing import LayerWidget
from napari_deconv.widgets.common.devices import device_field, find_devices, offer_devices
from napari_deconv.widgets.common.form import Form
from napari_deconv.widgets.common.history import History, Settings
from napari_deconv.widgets.common.inputs import Inputs
from napari_deconv.widgets.common.kept import Kept
from napari_deconv.widgets.common.layers import provenance
from napari_deconv.widgets.common.outcome import Outcome
from napari_deconv.widgets.common.preferences import apply_limits
from napari_deconv.widgets.common.progress import ProgressBar
from napari_deconv.widgets.common.turns import Turns
from napari_deconv.widgets.common.words import in_fields_words, in_short
from napari_deconv.widgets.common.workers import Task, Worker, busy, traced

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv.engines.protocol import Device
    from napari_deconv.widgets.common.preview import Preview

__all__ = ["OperationWidget"]

_WIDTH = 320


class OperationWidget(LayerWidget):
    """A dock widget that runs one operation in a thread and shows its result as layers.

    A subclass makes its fields, among them `image`, hands them to `_build`, and writes `_prepare`,
    `_show` and what else is below.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that results are added to.
    """

    title = ""
    preview: Preview | None = None

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._worker: Worker | None = None
        self._turns = Turns(self)
        self._adding = Adding(viewer, self, self._turns)
        self._removal_context = RemovalContext(viewer)
        self._started = self._seconds = 0.0
        self._said: list[str] = []
        self._inputs = Inputs({})
        self._record: Mapping[str, Any] | None = None
        self._settings: Settings | None = None
        self._prepared_by: Callable[[], Callable[..., Any] | None] = self._prepare
        self._set: dict[str, ValueWidget] = {}
        self.device = device_field()

    # -- what a subclass writes ------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        """Read the fields and layers; return what to call with ``callback=`` in the thread."""
        raise NotImplementedError

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        """Add the layers of a result; return a line about it, and what `describe` gave."""
        raise NotImplementedError

    def _applies(self) -> dict[ValueWidget, bool]:
        """Say of the fields that do not always apply whether they do now; the others are hidden."""
        return {}

    def _parameters(self) -> dict[str, ValueWidget]:
        """Name the fields as the messages of the core name their parameters."""
        fields = {name: field for name, field in vars(self).items() if isinstance(field, Widget)}
        return fields | {"spacing": self.voxel_size.field, "engine": self.device}

    def _input_layers(self) -> dict[str, Layer | None]:
        """Name the layers that a run reads as the function that it calls does."""
        return {"image": self.image.value}

    def _typed_for_psf(self) -> tuple[float, ...] | None:
        """Give the voxel size that was typed for a PSF which says none."""
        return None

    def _picture(self) -> Callable[[Any], Any] | None:
        """Give what is made in the thread of an estimate to show it, if any is shown."""
        return None

    def _pictured(self, picture: Any, iteration: int) -> None:
        """Show what was made of an estimate."""

    def _measured(self, row: dict[str, float]) -> None:
        """Show how well it fits."""

    # -- layout ----------------------------------------------------------------------------------
    def _build(self, main: Sequence[ValueWidget], more: Sequence[ValueWidget]) -> None:
        """Lay out the fields in rows, those of `more` folded, above Run and the result line."""
        self._watch_layers()
        after = main.index(self.image) + 1
        main = [*main[:after], self.resolution, *main[after:]]
        self._form = Form(main, [*more, self.device], self._arrange)
        self._form.folded.connect(self._look_for_devices)
        self._form.dropped.connect(self._open_dropped)
        self._rows = self._form.rows
        self.more_button = self._form.more_button
        self.history = History(self._restored)
        self.defaults_button = QPushButton("Defaults")
        self.defaults_button.setToolTip("Forget the settings of the last run.")
        self.defaults_button.clicked.connect(lambda: self._kept.reset())
        self._form.beside_more.addWidget(self.defaults_button)
        self._form.beside_more.addWidget(self.history)
        QWidget.setTabOrder(self._form.more_button, self.defaults_button)
        QWidget.setTabOrder(self.defaults_button, self.history)
        for field in self._layer_fields():
            self._form.take_drops(field)

        self.run_button = QPushButton("Run")
        self.run_button.setToolTip("Ctrl+Return runs, Esc cancels.")
        self.run_button.clicked.connect(self._run_or_cancel)
        self.progress_bar = ProgressBar()
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self.run_button)
        self._buttons.addWidget(self.progress_bar, stretch=1)
        self.outcome = Outcome(lambda names: self._inputs.arrays(self._viewer, names))
        self.result_line = self.outcome.line

        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self._form, stretch=1)
        if self.preview is not None:
            self.preview.setParent(self)
            self.preview.words = lambda text: in_fields_words(text, self._parameters())
            for field in self._rows:
                field.changed.connect(self.preview.request)
            self.preview.request()
            layout.addWidget(self.preview.box.native)
            layout.addWidget(self.preview.note)
        layout.addLayout(self._buttons)
        layout.addWidget(self.outcome)
        layout.addStretch()
        self.setMinimumWidth(_WIDTH)
        self._add_shortcuts()
        self._kept = Kept(self.title, self._lasting())
        self._kept.recall()
        self._arrange()

    def _add_shortcuts(self) -> None:
        for keys, action in (("Ctrl+Return", self._start), ("Escape", self.cancel)):
            shortcut = QShortcut(QKeySequence(keys), self, action)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _arrange(self) -> None:
        """Show the fields that apply, and the notes that say something."""
        applies = self._applies()
        for field in self._rows:
            if isinstance(field, Label):
                applies[field] = applies.get(field, True) and bool(field.value)
        applies[self.resolution] = self._is_multiscale()
        self._form.show_rows(applies)
        self.defaults_button.setVisible(self._form.unfolded)

    def _look_for_devices(self) -> None:
        """Look for devices when More is first unfolded."""
        if self._form.unfolded and len(self.device.choices) < 3:
            worker = find_devices()
            worker.returned.connect(self._offer_devices)
            worker.start()

    def _offer_devices(self, found: tuple[list[Device], Device]) -> None:
        offer_devices(self.device, *found)

    # -- settings --------------------------------------------------------------------------------
    def _lasting(self) -> dict[str, ValueWidget]:
        """Name the fields whose values are kept for the next time."""
        apart = {self.resolution, self.device, *self._layer_fields()}
        lasting = {
            name: field
            for name, field in self._parameters().items()
            if field in self._rows and field not in apart
        }
        return lasting if self.preview is None else lasting | {"preview": self.preview.box}

    def _remembered(self, values: Mapping[ValueWidget, Any]) -> Settings:
        """Remember values of fields; a voxel size goes with its layer."""
        return Settings(values, {size.field: layer for layer, size in self._voxel_sizes().items()})

    def _restored(self, title: str, complete: bool, prepare: Callable[[], Any] | None) -> None:
        """Say that the settings of an earlier run are back, and run it if that was asked for."""
        if not complete:
            self.result_line.setText(f"A layer of “{title}” is gone: choose another one.")
        elif prepare is not None:
            if self._worker is None:
                self._run(prepare)
        else:
            self.result_line.setText(f"The settings of “{title}” are back.")

    # -- layers ----------------------------------------------------------------------------------
    def _metadata(
        self, call: Mapping[str, Any], kind: str, stop_reason: str = "", **more: Any
    ) -> dict[str, Any]:
        """Write down where a layer of the result comes from; `kind` is its role."""
        how = made(self._seconds, get_engine(call["engine"]), stop_reason)
        self._record = record(call, self._inputs.origins, how)
        return provenance(self._record, kind, self._inputs.layers.get("image"), **more)

    # -- running ---------------------------------------------------------------------------------
    def _run_or_cancel(self) -> None:
        if self._worker is None:
            self._start()
        else:
            self.cancel()

    def _start(self) -> None:
        if self._worker is None:
            self._run(self._prepare)

    def cancel(self) -> None:
        """Ask the running operation to stop; it does after its current step."""
        if self._worker is not None:
            self._worker.quit()
            self.run_button.setEnabled(False)
            self.result_line.setText("Cancelling …")

    def _run(self, prepare: Callable[[], Callable[..., Any] | None]) -> None:
        """Call in the thread what `prepare` gives, if anything."""
        try:
            apply_limits()
            function = prepare()
        except DeconvError as error:
            self._failed(error)
            return
        if function is None:
            return
        self._inputs = Inputs(self._input_layers(), self._taken, self._typed_for_psf())
        self._settings = self._remembered({field: field.value for field in self._rows})
        self._prepared_by = prepare
        applies, named = self._applies(), self._parameters()
        self._set = {name: field for name, field in named.items() if applies.get(field, True)}
        if self.preview is not None:
            self.preview.pause(True)
        traceable = partial(traced, function, self._inputs.files())
        task = Task(self.title, traceable, self._picture())
        # Without napari's own progress: the moving picture that it shows meanwhile repaints the
        # whole window, which drawn without a graphics card takes as long as the run.
        worker = create_worker(task, _worker_class=Worker, _ignore_errors=True)
        worker.started.connect(self._begun)
        worker.progressed.connect(self.progress_bar.step)
        worker.warned.connect(self._warned)
        worker.errored.connect(self._failed)
        worker.returned.connect(self._returned)
        worker.aborted.connect(self._aborted)
        worker.finished.connect(self._ended)
        self._worker = worker
        self._said.clear()
        self.run_button.setText("Cancel")
        self.progress_bar.wait()
        self.result_line.setText("Waiting for the other run …" if busy() else "")
        worker.measured.connect(self._measured)
        worker.pictured.connect(self._pictured)
        worker.waiting.connect(self._waited_for)
        worker.start()

    def _begun(self) -> None:
        self._started = time.perf_counter()
        self.progress_bar.begin()
        if not self._worker.abort_requested:
            self.result_line.setText("")

    def _waited_for(self) -> None:
        """Let the worker go on when what it has sent is drawn, which is after this turn."""
        self._turns.add(self._worker.shown)

    def _warned(self, warning: tuple[Any, ...]) -> None:
        message, category = warning[:2]
        if issubclass(category, DeconvWarning):
            text = in_fields_words(str(message), self._parameters())
            if text not in self._said:  # of a series, each volume may say the same
                self._said.append(text)
                show_warning(text)
        elif not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            notification_manager.receive_warning(*warning)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, DeconvError):
            message = in_fields_words(str(error), self._parameters())
            show_error(message)
        else:
            message = f"{self.title} failed, {type(error).__name__}: {error}"
            unexpected = RuntimeError(message)
            unexpected.__cause__ = error
            notification_manager.receive_error(RuntimeError, unexpected, error.__traceback__)
        self.result_line.setText(message)

    def _returned(self, returned: tuple[Any, Mapping[str, Any]]) -> None:
        """Show it in a turn of its own: what the worker said last comes in with it."""
        self._seconds = time.perf_counter() - self._started
        self._turns.add(partial(self._arrived, *returned))

    def _arrived(self, result: Any, places: Mapping[str, Any]) -> None:
        # The viewer or the dock may have closed since the worker sent it.
        if self._worker.abort_requested:
            self._aborted()
            return
        self._record = None
        self._inputs.found(places)
        line, call = self._show(result)
        self._turns.add(partial(self._told, line, call))

    def _told(self, line: str, call: Mapping[str, Any]) -> None:
        """Say what came out, and remember how."""
        # Notifications are cut off, and gone after some seconds.
        line = f"{line} {self._inputs.resolution}{self._seconds:.1f} s on {call['engine']}."
        self.result_line.setText("\n".join([line, *self._said]))
        if self._record is not None:
            self.outcome.take(self._record)
        self.history.add(self._run_title(call["parameters"]), self._settings, self._prepared_by)
        self._kept.remember()

    def _run_title(self, parameters: Mapping[str, Any]) -> str:
        """Name a run in the history: the image, what was done to it, with which PSF."""
        layers, what = self._inputs.layers, in_short(parameters, self._set)
        source, psf = (layers[name].name if name in layers else "" for name in ("image", "psf"))
        return " · ".join(filter(None, (source, what, psf, f"{self._seconds:.1f} s")))

    def _aborted(self) -> None:
        self.result_line.setText("Cancelled.")

    def _ended(self) -> None:
        self._turns.add(self._finished)

    def _finished(self) -> None:
        self._worker = None
        self.run_button.setText("Run")
        self.run_button.setEnabled(True)
        self.progress_bar.setVisible(False)
        if self.preview is not None:
            self.preview.pause(False)

    # -- opening and closing ---------------------------------------------------------------------
    def showEvent(self, event: QShowEvent) -> None:
        """Notice the window that it is shown in."""
        super().showEvent(event)
        self._removal_context.watch(self)

    def changeEvent(self, event: QEvent) -> None:
        """Notice being docked, and being taken out: closing a dock sends nothing else."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is not None:
            self.reset_choices()
            return
        self.cancel()
        self._inputs = Inputs({})
        if self.preview is not None:
            self.preview.close()
        self._removal_context.release()
        for size in self._voxel_sizes().values():
            size.release()
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            emitter.disconnect(self.reset_choices)
