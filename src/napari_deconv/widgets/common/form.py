"""Rows of fields, those that are right for most images folded away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, Label
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QWidget,
)

from napari_deconv.widgets.common.line import make_room

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

__all__ = ["Form"]

_REARRANGED = (QEvent.Type.LayoutRequest, QEvent.Type.Resize, QEvent.Type.Polish)


class Form(QScrollArea):
    """Fields in rows, in the order of the keyboard; it scrolls if it gets long.

    Parameters
    ----------
    main, more : sequence of ValueWidget
        The fields; those of `more` are shown after a click on “More”.
    arrange : callable
        Called without arguments whenever a field has changed: it calls `show_rows`.

    Attributes
    ----------
    rows : dict
        Each field with its label; None for what has its text in itself.
    unfolded : bool
        Whether `more` is shown.
    """

    folded = Signal()
    dropped = Signal(object, list)

    def __init__(
        self,
        main: Sequence[ValueWidget],
        more: Sequence[ValueWidget],
        arrange: Callable[[], None],
    ) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # Tab goes from field to field
        self._arrange = arrange
        self._more = list(more)
        self._drops: dict[QObject, ValueWidget] = {}
        self.unfolded = False
        self.rows: dict[ValueWidget, QLabel | None] = {}
        self.more_button = QPushButton("▸ More")
        self.more_button.setToolTip("Settings that are right for most images.")
        self.more_button.clicked.connect(self._fold)
        self.beside_more = QHBoxLayout()
        self.beside_more.addWidget(self.more_button)
        self.beside_more.addStretch()
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.setContentsMargins(0, 0, 4, 0)
        for field in main:
            self._add(field)
        self._form.addRow(self.beside_more)
        for field in self._more:
            self._add(field)
        inner = QWidget()
        inner.setLayout(self._form)
        self.setWidget(inner)
        inner.installEventFilter(self)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def _add(self, field: ValueWidget) -> None:
        if isinstance(field, CheckBox | Label):
            self.rows[field] = None
            self._form.addRow(field.native)
        else:
            self.rows[field] = label = QLabel(field.label)
            label.setToolTip(field.tooltip)
            label.setBuddy(field.native)
            self._form.addRow(label, field.native)
        field.changed.connect(self._arrange)
        field.native.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        field.native.installEventFilter(self)

    def take_drops(self, field: ValueWidget) -> None:
        """Let files be dropped on a field: `dropped` then says which."""
        field.native.setAcceptDrops(True)
        self._drops[field.native] = field

    def show_rows(self, applies: Mapping[ValueWidget, bool]) -> None:
        """Show the fields that apply, and of those below More only the unfolded ones."""
        for field, label in self.rows.items():
            shown = applies.get(field, True) and (self.unfolded or field not in self._more)
            field.native.setVisible(shown)
            if isinstance(field, Label):
                make_room(field.native)
            if label is not None:
                label.setVisible(shown)

    def _fit(self) -> None:
        """Take no more height than the rows do; less makes it scroll."""
        self.setMaximumHeight(self.widget().sizeHint().height() + 2)

    def _fold(self) -> None:
        self.unfolded = not self.unfolded
        self.more_button.setText("▾ More" if self.unfolded else "▸ More")
        self._arrange()
        self.folded.emit()

    def eventFilter(self, field: QObject, event: QEvent) -> bool:
        """Take files that are dropped, and leave the wheel to scrolling.

        The wheel changes a field only after a click into it.
        """
        if event.type() == QEvent.Type.Wheel and not field.hasFocus():
            event.ignore()
            return True
        if event.type() == QEvent.Type.Resize and isinstance(field, QLabel):
            make_room(field)
        if field is self.widget() and event.type() in _REARRANGED:
            self._fit()
        if field in self._drops and event.type() in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
            if paths:
                event.acceptProposedAction()
                if event.type() == QEvent.Type.Drop:
                    self.dropped.emit(self._drops[field], paths)
                return True
        return super().eventFilter(field, event)
