"""Dock widget: PSF quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import FileEdit
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QFrame, QLabel, QPushButton, QScrollArea

from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.provenance import describe
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import Report, make_report
from napari_deconv.psf.report.words import narrow_table, optics
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import entry, layer_choice, number
from napari_deconv.widgets.common.layers import known, made_here, recipe_of
from napari_deconv.widgets.common.parts import Part, single
from napari_deconv.widgets.common.points import read_beads
from napari_deconv.widgets.optics import OpticsFields, stated_optics

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv._progress import Callback

__all__ = ["PsfQualityWidget"]

_FILES = (
    "Web page (*.html);;Page for print (*.pdf);;Figure (*.png);;Table (*.csv);;"
    "Data, to compare with later (*.json)"
)
# What of a PSF's parameters the theory takes over.
_OPTICS = (
    "modality", "na", "wavelength", "excitation", "pinhole", "pinhole_radius", "pinhole_distance",
    "illumination_na", "sheet", "depletion", "saturation", "n_immersion", "n_sample", "depth",
)  # fmt: skip
_UNLESS_STATED = {"modality": "widefield", "n_sample": 0.0, "depth": 0.0}
# The theory is made where these are known, and apply.
_NEEDED = ("na", "wavelength")
_MODEL = "vectorial"
_NOTES = {
    "microscope": ("Microscope", "Printed in the report."),
    "objective": ("Objective", "Printed in the report, for example 100×/1.4 oil."),
    "recorded": ("Recorded on", "Printed in the report."),
}


class PsfQualityWidget(OperationWidget):
    """Measure a PSF, and say what is wrong with it."""

    title = "PSF quality"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            napari_viewer, "PSF", "What is measured: a PSF layer, or one recorded bead."
        )
        self.beads = layer_choice(
            napari_viewer, "Beads",
            "The points of Bead detection that the PSF is from: the report then says how "
            "far they vary, and what they leave unexplained.", Points, none="none",
        )  # fmt: skip
        self.optics = OpticsFields()
        for name in _NEEDED:
            self.optics.numbers[name].value = 0.0
            self.optics.numbers[name].native.setSpecialValueText("unknown")
        self.tolerance = number(
            "Tolerance", 0.1, "Relative differences above it are pointed out.", step=0.05
        )
        self.earlier = FileEdit(
            label="Earlier report", mode="r", filter="*.json", nullable=True, value=None,
            tooltip="A report saved as JSON: what has changed since then is said.",
        )  # fmt: skip
        self.notes = {name: entry(label, "", tip) for name, (label, tip) in _NOTES.items()}
        main = [self.image, self.voxel_size.field, self.voxel_size.note, self.beads]
        self._build(
            [*main, *self.optics.main], [*self.notes.values(), self.earlier, self.tolerance]
        )
        self._report: Report | None = None
        self._add_results()
        self.image.changed.connect(self._read_optics)
        self.image.changed.connect(self._take_its_beads)

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        super()._run(prepare)
        self.save_button.setEnabled(self._worker is None)

    def _finished(self) -> None:
        super()._finished()
        self.save_button.setEnabled(True)

    def _add_results(self) -> None:
        """Make room for the numbers below the result line, and a button to save them."""
        self.save_button = QPushButton("Save report…")
        self.save_button.setToolTip("As a page (HTML, PDF), a figure (PNG), or data (CSV, JSON).")
        self.save_button.setVisible(False)
        self.save_button.clicked.connect(self._save)
        self._buttons.addWidget(self.save_button)
        self.numbers = QLabel()
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.numbers.setWordWrap(True)
        self.numbers.setAlignment(Qt.AlignmentFlag.AlignTop)
        scroll = QScrollArea()
        scroll.setWidget(self.numbers)
        scroll.setWidgetResizable(True)
        scroll.setMinimumHeight(90)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.layout().addWidget(scroll, 1)
        self._scroll = scroll
        scroll.setVisible(False)

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("psf", "true psf"), self.beads: ("beads",)}

    def _choice(self, field: ComboBox, roles: Sequence[str], by_hand: bool) -> Layer | None:
        chosen = super()._choice(field, roles, by_hand)
        return self._its_beads() if field is self.beads and not by_hand else chosen

    def _its_beads(self) -> Layer | None:
        """Find the points that the PSF has been distilled from, the newest if there are several."""
        made = {} if self.image.value is None else known(self.image.value)
        if "beads" not in made:
            return None
        found = [layer for layer in self.beads.choices if layer is not None]
        sources = [known(layer).get("source") for layer in found]
        its = [layer for layer, name in zip(found, sources, strict=True) if name == made["source"]]
        return its[-1] if its else None

    def _take_its_beads(self) -> None:
        if self.beads not in self._by_hand:
            self.beads.value = self._its_beads()
            self._by_hand.discard(self.beads)

    def _applies(self) -> dict[ValueWidget, bool]:
        return self.optics.applies(_MODEL) | {self.device: False}

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | self.optics.fields

    def _read_optics(self, psf: Image | None) -> None:
        """Take over the optics of a synthetic PSF, or of the image that it belongs to."""
        if psf is None:
            return
        made = known(psf)
        written = made.get("parameters", {})
        found = {name: written[name] for name in _OPTICS if written.get(name) is not None}
        if not found:  # it is not synthetic
            found = stated_optics(psf)
            if made.get("source") in self._viewer.layers:
                found |= stated_optics(self._viewer.layers[made["source"]])
        if found:
            self.optics.take(_UNLESS_STATED | found)

    def _theory(self) -> dict[str, Any] | None:
        """Read the optics; None if they are not all known."""
        applies, given = self.optics.applies(_MODEL), self.optics.parameters(_MODEL)
        needed = (name for name in _NEEDED if applies[self.optics.numbers[name]])
        return given if all(name in given for name in needed) else None

    # -- running ---------------------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        psf = self._part("PSF", single)
        return partial(
            _measure,
            psf,
            self._voxel(psf),
            dict(recipe_of(psf.layer)) if made_here(psf.layer) else None,
            self._read_beads(),
            theory=self._theory(),
            earlier=self.earlier.value,
            notes={name: field.value for name, field in self.notes.items()},
            tolerance=self.tolerance.value,
        )

    def _read_beads(self) -> tuple[Any, Any] | None:
        """Read the points, and the image that they were found in."""
        points = self.beads.value
        if points is None:
            return None
        name = known(points).get("source")
        if name not in self._viewer.layers:
            raise DeconvError(
                f"The image of “{points.name}” is not open: open it, or choose no beads."
            )
        image = single(self._viewer.layers[name], "bead image")
        return image, read_beads(points, image, self._voxel(image))

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        engine = get_engine("cpu")
        if isinstance(result, Path):
            return f"Saved {result.name}.", describe("make_report", {}, engine)
        self._report = result
        self.numbers.setText(_table(result))
        self.save_button.setVisible(True)
        self._scroll.setVisible(True)
        line = "\n".join(result.findings) or "Nothing is out of tolerance."
        if result.theory is None:
            line += "\nSet aperture and wavelengths to compare with theory."
            return line, describe("make_report", {}, engine)
        made = result.theory.metadata
        return f"{line}\nTheory: {optics(made)}.", describe("make_report", made, engine)

    def _save(self) -> None:
        """Ask where to, and write the report."""
        path, _ = QFileDialog.getSaveFileName(self, "Save report", "psf.html", _FILES)
        if path and self._worker is None:
            self._run(lambda: partial(_write, self._report, Path(path)))


def _measure(
    part: Part,
    spacing: tuple[float, ...],
    metadata: dict[str, Any] | None,
    beads: tuple[Any, Any] | None,
    *,
    callback: Callback,
    **compared: Any,
) -> Report:
    """Make the report; it is one step, so there is no progress to report."""
    data = np.asarray(part)
    if metadata is None:  # not made here
        data, _ = repair_psf(data)
    psf = Psf(data, spacing, metadata)
    statistics = None
    if beads is not None:
        image, found = np.asarray(beads[0]), beads[1]
        diameter = (metadata or {}).get("parameters", {}).get("bead_diameter") or 0.0
        statistics = bead_statistics(found, image, psf, bead_diameter=diameter)
    return make_report(psf, statistics=statistics, **compared)


def _write(report: Report, path: Path, *, callback: Callback) -> Path:
    report.save(path)
    return path


def _table(report: Report) -> str:
    """Write the numbers as rich text, which has the colours of the theme."""
    lines = []
    for title, *cells in narrow_table(report.rows):
        columns = "".join(f'<td align="right">&nbsp;{escape(cell)}</td>' for cell in cells)
        head = escape(title.strip())
        shift = "&nbsp;&nbsp;" if title.startswith(" ") else ""
        lines.append(f"<tr><td>{shift}{head}</td>{columns}</tr>")
    return f'<table width="100%" cellspacing="0" cellpadding="1">{"".join(lines)}</table>'
