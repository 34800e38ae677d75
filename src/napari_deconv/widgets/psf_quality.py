"""Dock widget: PSF quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import FileEdit
from napari.layers import Image, Points
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QFrame, QLabel, QPushButton, QScrollArea

from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import Report, make_report
from napari_deconv.psf.report.words import narrow_table, optics
from napari_deconv.recipe import describe
from napari_deconv.widgets.base import OperationWidget
from napari_deconv.widgets.fields import entry, layer_choice, number
from napari_deconv.widgets.layers import KEY, layer_array, space_axes
from napari_deconv.widgets.points import read_beads

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["PsfQualityWidget"]

_FILES = (
    "Web page (*.html);;Page for print (*.pdf);;Figure (*.png);;Table (*.csv);;"
    "Data, to compare with later (*.json)"
)
# What the theory takes over besides the fields, where the layers know it.
_KNOWN = (
    "modality", "excitation", "pinhole", "pinhole_radius", "pinhole_distance", "illumination_na",
    "sheet", "depletion", "saturation", "n_sample", "depth",
)  # fmt: skip
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
        self.image = layer_choice("PSF", "What is measured: a PSF layer, or one recorded bead.")
        self.beads = layer_choice(
            "Beads", "The points of Bead detection that the PSF is from: the report then says how "
            "far they vary, and what they leave unexplained.", Points, none="none",
        )  # fmt: skip
        self.optics = {
            "na": number("Numerical aperture", 0, "Printed on the objective. With the emission it "
                         "gives the theory to compare with.", step=0.05, zero="unknown"),
            "wavelength": number("Emission (µm)", 0, "Wavelength of the recorded light.",
                                 step=0.005, zero="unknown"),
            "n_immersion": number("Immersion index", 1.515, "Oil 1.515, glycerol 1.47, water "
                                  "1.333, air 1.", step=0.001, least=1.0),
        }  # fmt: skip
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
            [*main, *self.optics.values()], [*self.notes.values(), self.earlier, self.tolerance]
        )
        self._report: Report | None = None
        self._known_optics: dict[str, Any] = {}
        self._add_results()
        self.image.changed.connect(self._read_optics)

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
        scroll.setMinimumHeight(160)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.layout().addWidget(scroll, 1)
        self._scroll = scroll
        scroll.setVisible(False)

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("psf", "true psf"), self.beads: ("beads",)}

    def _applies(self) -> dict[ValueWidget, bool]:
        return {self.device: False}

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | self.optics

    def _read_optics(self, psf: Image | None) -> None:
        """Take over the optics of a synthetic PSF, or of the image that it belongs to."""
        made = {} if psf is None else psf.metadata.get(KEY, {})
        source = made.get("source")
        known = dict(made.get("parameters", {}))
        if source in self._viewer.layers:
            known |= self._viewer.layers[source].metadata.get(KEY, {}).get("optics", {})
        for name, field in self.optics.items():
            if known.get(name):
                field.value = known[name]
        self._known_optics = {name: known[name] for name in _KNOWN if known.get(name)}

    # -- running ---------------------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        layer = self.image.value
        data = layer_array(layer, "PSF")
        voxel = self.voxel_size.value(space_axes(layer))
        theory = self._known_optics | {name: field.value for name, field in self.optics.items()}
        known = theory["na"] > 0 and theory["wavelength"] > 0
        return partial(
            _measure,
            data,
            voxel,
            layer.metadata.get(KEY),
            self._read_beads(),
            theory=theory if known else None,
            earlier=self.earlier.value,
            notes={name: field.value for name, field in self.notes.items()},
            tolerance=self.tolerance.value,
        )

    def _read_beads(self) -> tuple[Any, Any] | None:
        """Read the points, and the image that they were found in."""
        points = self.beads.value
        if points is None:
            return None
        name = points.metadata.get(KEY, {}).get("source")
        if name not in self._viewer.layers:
            raise DeconvError(
                f"The image of “{points.name}” is not open: open it, or choose no beads."
            )
        image = self._viewer.layers[name]
        voxel = self.voxel_size.value(space_axes(image))
        return layer_array(image, "bead image"), read_beads(points, image, voxel)

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        recipe = describe("make_report", {}, get_engine("cpu"))
        if isinstance(result, Path):
            return f"Saved {result.name}.", recipe
        self._report = result
        self.numbers.setText(_table(result))
        self.save_button.setVisible(True)
        self._scroll.setVisible(True)
        line = "\n".join(result.findings) or "Nothing is out of tolerance."
        if result.theory is not None:
            line += f"\nTheory: {optics(result.theory.metadata)}."
        return line, recipe

    def _save(self) -> None:
        """Ask where to, and write the report."""
        path, _ = QFileDialog.getSaveFileName(self, "Save report", "psf.html", _FILES)
        if path and self._worker is None:
            self._run(lambda: partial(_write, self._report, Path(path)))


def _measure(
    data: Any,
    spacing: tuple[float, ...],
    metadata: dict[str, Any] | None,
    beads: tuple[Any, Any] | None,
    *,
    callback: Callback,
    **compared: Any,
) -> Report:
    """Make the report; it is one step, so there is no progress to report."""
    if metadata is None:  # not made here
        data, _ = repair_psf(data)
    psf = Psf(data, spacing, metadata)
    statistics = None
    if beads is not None:
        image, found = beads
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
