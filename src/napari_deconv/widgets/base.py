"""The same hand for every widget: inputs, More, Run and Cancel, progress, result line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, Label, Widget
from napari.qt.threading import create_worker
from napari.utils.notifications import notification_manager, show_error, show_warning
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_deconv.engines import get_engine, list_devices
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.recipe import describe
from napari_deconv.widgets.fields import VoxelSize, choice
from napari_deconv.widgets.layers import in_sight, provenance, psf_options, role
from napari_deconv.widgets.words import in_fields_words
from napari_deconv.widgets.workers import Task, Worker, busy

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv._progress import Callback
    from napari_deconv.engines.protocol import Device
    from napari_deconv.psf.psf import Psf

__all__ = ["OperationWidget", "recorded"]

_WIDTH = 320


def recorded(
    function: Callable[..., Any],
    *arrays: Any,
    device: str,
    callback: Callback | None,
    **parameters: Any,
) -> tuple[Any, dict[str, Any]]:
    """Call a function of the core and describe the call; returns its result and the recipe."""
    engine = get_engine(device)
    if callback is not None:
        parameters["callback"] = callback
    result = function(*arrays, **parameters, engine=engine)
    parameters.pop("callback", None)
    return result, describe(function.__name__, parameters, engine)


def _make_room(note: QLabel) -> None:
    """Keep a form from squeezing a note of several lines."""
    note.setMinimumHeight(max(0, note.heightForWidth(note.width())))


class OperationWidget(QWidget):
    """A dock widget that runs one operation in a thread and shows its result as layers.

    A subclass makes its fields, among them `image`, hands them to `_build`, and writes `_prepare`,
    `_show` and what else is below.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that results are added to.
    """

    title = ""
    image: ComboBox

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker: Worker | None = None
        self._started = self._counting = 0.0
        self._said: list[str] = []
        self._known: dict[ComboBox, list[Layer]] = {}
        self._by_hand: set[ComboBox] = set()
        self.voxel_size = VoxelSize()
        self.device = choice(
            "Device",
            [("Automatic", "auto")],
            "Where it is computed. Automatic takes a GPU if there is one, else the CPU.",
        )

    # -- what a subclass writes ------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        """Read the fields and layers; return what to call with ``callback=`` in the thread."""
        raise NotImplementedError

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        """Add the layers of a result; return a line about it, and the recipe."""
        raise NotImplementedError

    def _applies(self) -> dict[ValueWidget, bool]:
        """Say of the fields that do not always apply whether they do now; the others are hidden."""
        return {}

    def _parameters(self) -> dict[str, ValueWidget]:
        """Name the fields as the messages of the core name their parameters."""
        fields = {name: field for name, field in vars(self).items() if isinstance(field, Widget)}
        return fields | {"spacing": self.voxel_size.field, "engine": self.device}

    # -- layout ----------------------------------------------------------------------------------
    def _build(self, main: Sequence[ValueWidget], more: Sequence[ValueWidget]) -> None:
        """Lay out the fields in rows, those of `more` folded, above Run and the result line."""
        self.image.changed.connect(self.voxel_size.follow)
        for choosing in self._layer_fields():
            choosing.changed.connect(lambda _, field=choosing: self._by_hand.add(field))
        self.more_button = QPushButton("▸ More")
        self.more_button.setToolTip("Settings that are right for most images.")
        self.more_button.clicked.connect(self._fold)
        self._more = [*more, self.device]
        self._unfolded = False
        self._rows: dict[ValueWidget, QLabel | None] = {}
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for field in main:
            self._add_row(form, field)
        form.addRow(self.more_button)
        for field in self._more:
            self._add_row(form, field)

        inner = QWidget()
        inner.setLayout(form)
        form.setContentsMargins(0, 0, 4, 0)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(_WIDTH)

        self.run_button = QPushButton("Run")
        self.run_button.clicked.connect(self._run_or_cancel)
        self.progress_bar = QProgressBar()
        self.progress_bar.setVisible(False)
        self.result_line = QLabel()
        self.result_line.setWordWrap(True)
        self.result_line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(self.run_button)
        self._buttons.addWidget(self.progress_bar, stretch=1)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(scroll)
        layout.addLayout(self._buttons)
        layout.addWidget(self.result_line)
        self._arrange()

    def _add_row(self, form: QFormLayout, field: ValueWidget) -> None:
        if isinstance(field, CheckBox | Label):
            self._rows[field] = None
            form.addRow(field.native)
        else:
            self._rows[field] = label = QLabel(field.label)
            label.setToolTip(field.tooltip)
            form.addRow(label, field.native)
        field.changed.connect(self._arrange)
        field.native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        field.native.installEventFilter(self)

    def eventFilter(self, field: QObject, event: QEvent) -> bool:
        """Leave the wheel to scrolling: it changes a field only after a click into it."""
        if event.type() == QEvent.Type.Wheel and not field.hasFocus():
            event.ignore()
            return True
        if event.type() == QEvent.Type.Resize and isinstance(field, QLabel):
            _make_room(field)
        return super().eventFilter(field, event)

    def _arrange(self) -> None:
        """Show the fields that apply, and of those below More only the unfolded ones."""
        applies = self._applies()
        note = self.voxel_size.note
        applies[note] = applies.get(note, True) and bool(note.value)
        for field, label in self._rows.items():
            shown = applies.get(field, True) and (self._unfolded or field not in self._more)
            field.native.setVisible(shown)
            if isinstance(field, Label):
                _make_room(field.native)
            if label is not None:
                label.setVisible(shown)

    def _fold(self) -> None:
        """Fold or unfold More; devices are looked for when it is first unfolded."""
        self._unfolded = not self._unfolded
        self.more_button.setText("▾ More" if self._unfolded else "▸ More")
        self._arrange()
        if self._unfolded and len(self.device.choices) == 1:
            task = Task(
                "Looking for devices", lambda callback: (list_devices(), get_engine("auto").device)
            )
            worker = create_worker(task, _worker_class=Worker, _ignore_errors=True)
            worker.returned.connect(self._offer_devices)
            worker.start()

    def _offer_devices(self, found: tuple[list[Device], Device]) -> None:
        devices, automatic = found
        self.device.choices = [(f"Auto ({automatic.kind})", "auto")] + [
            (f"{device.name}, {device.kind}, {device.memory / 1e9:.0f} GB", device.key)
            for device in devices
        ]

    # -- layers ----------------------------------------------------------------------------------
    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        """Name the fields that choose layers, each with the roles that fit it, the best first."""
        return {}

    def reset_choices(self, *_: Any) -> None:
        """Follow the layers of the viewer; napari calls this.

        The newest layer that fits is chosen, until the user chooses another one.
        """
        for field, roles in self._layer_fields().items():
            by_hand, before = field in self._by_hand, field.value
            field.value = self._choice(field, roles, by_hand)
            if not by_hand or (field.value is None and before is not None):
                self._by_hand.discard(field)
        self.voxel_size.follow(self.image.value)

    def _choice(self, field: ComboBox, roles: Sequence[str], by_hand: bool) -> Layer | None:
        before, known = field.value, self._known.get(field)
        field.reset_choices()
        layers = [layer for layer in field.choices if layer is not None]
        fitting = ([layer for layer in layers if role(layer) == one] for one in roles)
        sensible: list[Layer] = next(filter(None, fitting), [])
        self._known[field] = sensible
        kept = before in layers or (by_hand and before is None)
        if kept and (by_hand or not any(layer not in (known or ()) for layer in sensible)):
            return before
        active = self._viewer.layers.selection.active
        if known is None and active in sensible:
            return active
        return sensible[-1] if sensible else None

    def _show_psf(
        self,
        psf: Psf,
        name: str,
        recipe: Mapping[str, Any],
        source: Layer | None,
        kind: str = "psf",
    ) -> None:
        """Add a PSF beside the layer it belongs to, and show both; `kind` is its role."""
        options = psf_options(psf, name, provenance(recipe, kind, source), source)
        if not in_sight(self._viewer, self._viewer.add_image(psf.data, **options)):
            self._viewer.reset_view()

    # -- running ---------------------------------------------------------------------------------
    def _run_or_cancel(self) -> None:
        if self._worker is None:
            self._run(self._prepare)
        else:
            self.cancel()

    def cancel(self) -> None:
        """Ask the running operation to stop; it does after its current step."""
        if self._worker is not None:
            self._worker.quit()
            self.run_button.setEnabled(False)
            self.result_line.setText("Cancelling …")

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        try:
            task = Task(self.title, prepare())
        except DeconvError as error:
            self._failed(error)
            return
        worker = create_worker(
            task, _worker_class=Worker, _ignore_errors=True, _progress={"desc": self.title}
        )
        worker.started.connect(self._begun)
        worker.progressed.connect(self._progressed)
        worker.warned.connect(self._warned)
        worker.errored.connect(self._failed)
        worker.returned.connect(self._returned)
        worker.aborted.connect(self._aborted)
        worker.finished.connect(self._finished)
        self._worker = worker
        self._said.clear()
        self.run_button.setText("Cancel")
        self.progress_bar.setRange(0, 0)
        self.progress_bar.setVisible(True)
        self.result_line.setText("Waiting for the other run …" if busy() else "")
        worker.start()

    def _begun(self) -> None:
        self._started = self._counting = time.perf_counter()
        if not self._worker.abort_requested:
            self.result_line.clear()

    def _progressed(self, iteration: int, iterations: int, coarse: bool) -> None:
        """Fill the bar; steps on a coarse level take little time, and do not count."""
        if self.progress_bar.maximum() == 0:
            self.progress_bar.setRange(0, iterations)
            self.progress_bar.setValue(0)
        if coarse:
            self.progress_bar.setFormat("coarse start")
            if self.progress_bar.value() == 0:
                self._counting = time.perf_counter()
            return
        left = (time.perf_counter() - self._counting) * (iterations - iteration) / iteration
        self.progress_bar.setRange(0, iterations)
        self.progress_bar.setValue(iteration)
        self.progress_bar.setFormat(f"{iteration}/{iterations} · {left:.0f} s left")
        overview = self._worker.pbar
        overview.total = iterations
        overview.update(iteration - overview.n)

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

    def _returned(self, result: Any) -> None:
        # The viewer or the dock may have closed since the worker sent it.
        if self._worker.abort_requested:
            self._aborted()
            return
        line, recipe = self._show(result)
        seconds = time.perf_counter() - self._started
        # Notifications are cut off, and gone after some seconds.
        self.result_line.setText(
            "\n".join([f"{line} {seconds:.1f} s on {recipe['engine']}.", *self._said])
        )

    def _aborted(self) -> None:
        self.result_line.setText("Cancelled.")

    def _finished(self) -> None:
        self._worker = None
        self.run_button.setText("Run")
        self.run_button.setEnabled(True)
        self.progress_bar.setVisible(False)

    # -- closing ---------------------------------------------------------------------------------
    def changeEvent(self, event: QEvent) -> None:
        """Notice being docked, and being taken out: closing a dock sends nothing else."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is not None:
            self.reset_choices()
            return
        self.cancel()
        self.voxel_size.release()
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            emitter.disconnect(self.reset_choices)
