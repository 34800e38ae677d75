"""Input fields that several widgets share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    FloatSpinBox,
    Label,
    LineEdit,
    SpinBox,
)
from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_deconv.errors import DeconvError
from napari_deconv.widgets.common.layers import (
    is_unstated,
    known,
    role,
    space_axes,
    spacing,
    spacing_is_certain,
    stated_spacing,
)

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.widgets.common.parts import Part

_ORANGE = "#d9730d"  # to be read in the dark and in the light theme

# What was typed for layers that say no voxel size, or a wrong one; and the fields that show it.
_typed: WeakKeyDictionary[Layer, str] = WeakKeyDictionary()
_open: WeakSet[VoxelSize] = WeakSet()

__all__ = [
    "PsfVoxelSize",
    "VoxelSize",
    "check",
    "choice",
    "entry",
    "given_spacing",
    "integer",
    "layer_choice",
    "note",
    "number",
    "orange",
    "read_number",
    "read_numbers",
]


def choice(label: str, choices: Sequence[tuple[str, Any]], tooltip: str) -> ComboBox:
    """Offer (text, value) pairs, the first one chosen."""
    field = _narrow(ComboBox(label=label, choices=choices, tooltip=tooltip))
    listed = field.native.view()  # as wide as its longest text, however narrow the field
    listed.setMinimumWidth(listed.sizeHintForColumn(0) + 2 * listed.frameWidth())
    return field


def layer_choice(
    viewer: ViewerModel,
    label: str,
    tooltip: str,
    kind: type[Layer] = Image,
    none: str = "choose one",
) -> ComboBox:
    """Offer the layers of a kind in the viewer; `none` is the text for choosing none of them."""

    def layers(_: ComboBox) -> list[Layer]:
        return [each for each in viewer.layers if isinstance(each, kind) and role(each) != "aside"]

    field = ComboBox(label=label, tooltip=tooltip, choices=layers, nullable=True)
    field.null_string = none
    field.reset_choices()
    return _narrow(field)


def number(
    label: str,
    value: float,
    tooltip: str,
    *,
    step: float,
    least: float = 0.0,
    most: float = 1e6,
    zero: str = "",
) -> FloatSpinBox:
    """Ask for a number; `step` also sets the decimals, `zero` is shown instead of the least one."""
    field = FloatSpinBox(label=label, value=value, tooltip=tooltip, step=step, min=least, max=most)
    field.native.setSpecialValueText(zero)
    return field


def integer(label: str, value: int, tooltip: str) -> SpinBox:
    """Ask for a whole number above 0."""
    return SpinBox(label=label, value=value, tooltip=tooltip, min=1, max=100_000)


def entry(label: str, value: str, tooltip: str, empty: str = "") -> LineEdit:
    """Ask for one or several numbers of any size; `empty` is shown in grey where there is none."""
    field = LineEdit(label=label, value=value, tooltip=tooltip)
    field.native.setPlaceholderText(empty)
    return field


def check(text: str, value: bool, tooltip: str) -> CheckBox:
    """Ask for yes or no."""
    return CheckBox(text=text, value=value, tooltip=tooltip)


def note(text: str = "") -> Label:
    """Make room for a line below a field."""
    label = Label(label="", value=text)
    label.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    label.native.setWordWrap(True)  # after the policy: it makes the height follow the width
    return label


def read_number(text: str) -> float:
    """Read one number.

    Raises
    ------
    DeconvError
        If it is none, or not finite.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DeconvError(f"“{text}” is not understood: expected one number.")
    return value


def read_numbers(text: str, kind: type[float] = float) -> tuple[Any, ...]:
    """Read the numbers of a text such as ``0.2 × 0.08 × 0.08``.

    Raises
    ------
    DeconvError
        If something in it is no number of that kind, int or float, above 0.
    """
    words = [word for word in re.split(r"[×x*,;\s]+", text) if word]
    try:
        values = tuple(kind(word) for word in words)
    except ValueError:
        values = (0,)
    if not all(0 < value < math.inf for value in values):
        whole = "whole " if kind is int else ""
        raise DeconvError(
            f"“{text}” is not understood: expected {whole}numbers above 0 with × between them."
        )
    return values


def _narrow(field: ComboBox) -> ComboBox:
    """Let long layer names be cut instead of widening the dock."""
    combo: QComboBox = field.native
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    return field


class VoxelSize:
    """The voxel size of a layer: shown, editable, asked for where it is missing.

    Parameters
    ----------
    name : str
        What the layer is called in messages.
    label : str
        Of the field.

    Attributes
    ----------
    field : LineEdit
        What is shown and typed.
    note : Label
        Says in orange what is missing or uncertain; empty else.
    """

    def __init__(self, name: str = "layer", label: str = "Voxel size (µm)") -> None:
        self._name = name
        self.field = LineEdit(
            label=label,
            tooltip="Distance between voxels, z × y × x. Taken from the layer; what you type here "
            "is used instead, in all widgets, and leaves the layer as it is.",
        )
        self.field.changed.connect(self._remember)
        self.note = note()
        self._layer: Layer | None = None
        self._read: tuple[float, ...] | None = None
        self._text = ""
        _open.add(self)

    def follow(self, layer: Layer | None) -> None:
        """Show the voxel size of another layer, from now on."""
        if layer is self._layer:
            return
        self.release()
        self._layer = layer
        if layer is not None:
            layer.events.scale.connect(self._read_again)
            layer.events.units.connect(self._read_again)
        self._refresh()

    def release(self) -> None:
        """Stop following."""
        if self._layer is not None:
            self._layer.events.scale.disconnect(self._read_again)
            self._layer.events.units.disconnect(self._read_again)
        self._layer = None

    def value(self, axes: int) -> tuple[float, ...]:
        """Return the voxel size of `axes` space axes.

        Raises
        ------
        DeconvError
            If it is missing or not that many numbers.
        """
        if self._read and len(self._read) >= axes and self.field.value == self._text:
            return self._read[-axes:]
        names = " × ".join("zyx"[-axes:])
        if not self.field.value.strip():
            raise DeconvError(
                f"{_lacks(self._layer, self._name)}. Enter it above as {names} in µm; "
                "it is printed in the microscope's metadata."
            )
        values = read_numbers(self.field.value)
        if len(values) != axes:
            raise DeconvError(
                f"“{self.field.value}” is not a voxel size here: expected {axes} numbers, "
                f"{names} in µm, for example {' × '.join(['0.3', '0.1', '0.1'][-axes:])}."
            )
        return values

    def _refresh(self) -> None:
        layer = self._layer
        self._read = None if layer is None else spacing(layer)
        self._text = " × ".join(f"{step:.5g}" for step in self._read or ())
        typed = None if layer is None else _typed.get(layer)
        self._ask(typed)
        shown = self._text if typed is None else typed
        with self.field.changed.blocked():
            self.field.value = shown
        self.field.changed.emit(shown)  # the note may have come or gone alone

    def _ask(self, typed: str | None) -> None:
        """Say what is missing, unless something is typed."""
        self.note.value = orange("" if typed else self._complaint())

    def _complaint(self) -> str:
        """Say what is missing or uncertain, if anything is."""
        layer = self._layer
        if layer is None:
            return ""
        if self._read is None:
            return f"{_lacks(layer, self._name)}: enter it."
        if "spacing" not in known(layer) and not spacing_is_certain(layer):
            return f"The {self._name}'s scale has no unit: are these µm?"
        return ""

    def _read_again(self) -> None:
        """Forget what was typed: the layer has learnt its voxel size."""
        _typed.pop(self._layer, None)
        self._refresh()

    def _remember(self, text: str) -> None:
        """Keep what is typed for the layer, and show it in the other widgets."""
        if self._layer is None or text == _typed.get(self._layer, self._text):
            return
        _typed[self._layer] = text
        self._ask(text)
        for other in _open:
            if other is not self and other._layer is self._layer:
                other._refresh()


class PsfVoxelSize(VoxelSize):
    """The voxel size of a PSF: asked for where the layer does not say it."""

    def __init__(self) -> None:
        super().__init__("PSF", "PSF voxel size (µm)")

    def applies(self, psf: Layer | None) -> dict[ValueWidget, bool]:
        """Say whether the field is shown."""
        asked = psf is not None and spacing(psf) is None
        return {self.field: asked, self.note: asked}

    def of(self, psf: Part) -> tuple[float, ...]:
        """Return the voxel size of a PSF.

        Raises
        ------
        DeconvError
            If it is missing or not understood.
        """
        return spacing(psf.layer) or self.value(psf.ndim)


def given_spacing(layer: Layer) -> tuple[float, ...] | None:
    """Return the voxel size in µm that a layer says, else what was typed for it; None if neither.

    What was typed is passed over where it is not understood.
    """
    try:
        typed = read_numbers(_typed.get(layer, ""))
    except DeconvError:
        typed = ()
    return spacing(layer) or (typed if len(typed) == space_axes(layer) else None)


def _lacks(layer: Layer | None, name: str) -> str:
    """Say why a layer has no voxel size that is to be believed."""
    if layer is None:
        return "No voxel size is given"
    stated = stated_spacing(layer)
    if stated is None:
        return f"The {name} has no voxel size"
    steps = " × ".join(f"{step:.3g}" for step in stated)
    if is_unstated(layer):
        return f"The {name} says {steps} µm, as napari does where the voxel size is not known"
    return f"The {name} says {steps} µm, which is no voxel size of a microscope"


def orange(text: str) -> str:
    """Make a line for a `note`."""
    return f'<span style="color: {_ORANGE}">{text}</span>' if text else ""
