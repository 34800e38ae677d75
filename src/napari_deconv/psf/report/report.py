"""A report about a point-spread function: for a methods section, or the monthly check."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_deconv._checks import check_number
from napari_deconv.errors import DeconvError
from napari_deconv.files import check_target, replacing
from napari_deconv.psf.measure import PsfReport, measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report.comparison import FORMAT, FORMAT_VERSION, expected_psf, read_report
from napari_deconv.psf.report.findings import find

if TYPE_CHECKING:
    from napari_deconv.beads.statistics import BeadStatistics

__all__ = ["REPORT_SUFFIXES", "Report", "Row", "make_report"]

REPORT_SUFFIXES = (".html", ".pdf", ".png", ".csv", ".json")
"""Endings of the files that `Report.save` writes."""

# What is measured, its title and unit, in the order of the tables.
_QUANTITIES = {
    "fwhm": ("FWHM, Gaussian", "µm"),
    "fwhm_half_maximum": ("FWHM, half height", "µm"),
    "r_squared": ("R² of the Gaussian", ""),
    "asymmetry": ("asymmetry x/y − 1", ""),
    "tilt": ("tilt", "µm/µm"),
    "focal_shift": ("focal shift", "µm"),
    "flux_outside": ("light beyond 3 FWHM", ""),
    "mtf10": ("10 % contrast at", "1/µm"),
}
_COLUMNS = (
    "quantity",
    "axis",
    "value",
    "unit",
    "sd",
    "theory",
    "ratio",
    "earlier",
    "drift_percent",
)


@dataclass(frozen=True)
class Row:
    """A number of a report, with what it is compared with.

    Attributes
    ----------
    name, title : str
        ``"fwhm"``, and the same in words.
    axis : str
        ``"z"``, ``"y"`` or ``"x"``; empty for numbers of the whole PSF.
    unit : str
        Empty for pure numbers.
    value : float
        The number.
    sd : float or None
        Standard deviation over the beads.
    theory, earlier : float or None
        The same number of the theoretical PSF, and of the earlier report.
    """

    name: str
    title: str
    axis: str
    unit: str
    value: float
    sd: float | None = None
    theory: float | None = None
    earlier: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value over theory, for widths and frequencies; of other numbers it says nothing."""
        return self.value / self.theory if self._is_size and self.theory else None

    @property
    def drift(self) -> float | None:
        """Change since the earlier report in %, for widths and frequencies."""
        return 100 * (self.value / self.earlier - 1) if self._is_size and self.earlier else None

    @property
    def _is_size(self) -> bool:
        return self.name in ("fwhm", "fwhm_half_maximum", "mtf10", "bead_fwhm")


@dataclass(frozen=True, eq=False)
class Report:
    """A point-spread function, measured and compared; made by `make_report`.

    Attributes
    ----------
    psf : Psf
        What was measured.
    measured : PsfReport
        Its measures.
    statistics : BeadStatistics or None
        The beads that it is from.
    theory : Psf or None
        What it is compared with.
    expected : PsfReport or None
        The measures of the theory.
    earlier : mapping or None
        The earlier report, as `to_dict` gave it.
    notes : dict of str
        Text about the recording: recorded, microscope, objective, …
    findings : tuple of str
        What is out of tolerance, in words; empty if nothing is.
    tolerance : float
        The relative difference from which on something is pointed out.
    written : str
        The day it was made, ISO 8601.
    """

    psf: Psf
    measured: PsfReport
    statistics: BeadStatistics | None
    theory: Psf | None
    expected: PsfReport | None
    earlier: Mapping[str, Any] | None
    notes: dict[str, str]
    findings: tuple[str, ...]
    tolerance: float
    written: str

    @property
    def rows(self) -> list[Row]:
        """All numbers, one row each."""
        statistics, beads = self.statistics, None
        if statistics is not None:
            beads = statistics.fwhm_sd
        rows: list[Row] = []
        for name, (title, unit) in _QUANTITIES.items():
            sd = beads if name == "fwhm" else None
            rows += self._rows_of(name, title, unit, sd)
        if statistics is not None:
            axes = "zyx"[-self.psf.ndim :]
            widths = zip(axes, statistics.fwhm_mean, statistics.fwhm_sd, strict=True)
            rows += [Row("bead_fwhm", "FWHM of beads", a, "µm", w, s) for a, w, s in widths]
            residual = statistics.residual_rms
            rows.append(Row("residual", "residual of beads", "", "σ", residual))
        return rows

    def _rows_of(self, name: str, title: str, unit: str, sd: tuple[float, ...] | None) -> list[Row]:
        """Make the rows of a quantity, one an axis."""
        value = getattr(self.measured, name)
        if not isinstance(value, tuple):
            if value is None:
                return []
            theory = getattr(self.expected, name, None)
            earlier = (self.earlier or {}).get(name)
            return [Row(name, title, "", unit, value, None, theory, earlier)]
        if not value:
            return []
        axes = "zyx"[-len(value) :]
        columns = [sd, getattr(self.expected, name, None), (self.earlier or {}).get(name)]
        others = [column or (None,) * len(value) for column in columns]
        return [
            Row(name, title, axis, unit, *numbers)
            for axis, *numbers in zip(axes, value, *others, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Give everything but the voxels by name, as JSON can hold it.

        The measures have the names of `PsfReport`; ``"units"`` has their units.
        """
        report: dict[str, Any] = {
            FORMAT: FORMAT_VERSION,
            "version": version("napari-deconv"),
            "written": self.written,
            "notes": self.notes,
            "shape": list(self.psf.shape),
            "spacing": list(self.psf.spacing),
            **self.measured.to_dict(),
            "units": {"spacing": "µm", "centre": "voxels"}
            | {name: unit for name, (_, unit) in _QUANTITIES.items() if unit},
            "metadata": self.psf.metadata,
            "tolerance": self.tolerance,
            "findings": list(self.findings),
        }
        if self.statistics is not None:
            report["beads"] = self.statistics.to_dict()
        if self.theory is not None and self.expected is not None:
            report["theory"] = {
                "metadata": self.theory.metadata,
                **self.expected.to_dict(),
                "ratio": self._by_name("ratio"),
            }
        if self.earlier is not None:
            report["earlier"] = {
                "written": self.earlier.get("written"),
                "notes": self.earlier.get("notes"),
                "drift_percent": self._by_name("drift"),
            }
        return report

    def _by_name(self, column: str) -> dict[str, list[float]]:
        """Collect the numbers of a column that are there, by quantity."""
        found: dict[str, list[float]] = {}
        for row in self.rows:
            number = getattr(row, column)
            if number is not None:
                found.setdefault(row.name, []).append(number)
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the report; the file appears under its name only when it is complete.

        Parameters
        ----------
        path : path-like
            ``.html`` : one page with everything in it. ``.pdf`` : one page A4. ``.png`` : the
            figure. ``.csv`` : a row a number. ``.json`` : `to_dict`, to compare later ones with.

        Raises
        ------
        DeconvError
            If the ending is another one, or the file cannot be written.
        """
        path = Path(path)
        check_target(path, REPORT_SUFFIXES)
        suffix = path.suffix.lower()
        with replacing(path) as temporary:
            if suffix == ".json":
                text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
                temporary.write_text(text + "\n", encoding="utf-8")
            elif suffix == ".csv":
                self._write_csv(temporary)
            elif suffix == ".html":
                from napari_deconv.psf.report.page import make_page

                temporary.write_text(make_page(self), encoding="utf-8")
            else:
                from napari_deconv.psf.report.figure import draw_page, draw_report

                figure = draw_page(self) if suffix == ".pdf" else draw_report(self)
                figure.savefig(temporary, format=suffix[1:], dpi=150)

    def _write_csv(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(_COLUMNS)
            for name, text in self.notes.items():
                table.writerow([name, "", text])
            for axis, step in zip("zyx"[-self.psf.ndim :], self.psf.spacing, strict=True):
                table.writerow(["spacing", axis, step, "µm"])
            for status, count in (
                {} if self.statistics is None else self.statistics.counts
            ).items():
                table.writerow([f"beads {status}", "", count])
            for row in self.rows:
                table.writerow(
                    [row.name, row.axis, row.value, row.unit, row.sd, row.theory, row.ratio,
                     row.earlier, row.drift]
                )  # fmt: skip


def make_report(
    psf: Psf,
    *,
    statistics: BeadStatistics | None = None,
    theory: Psf | Mapping[str, Any] | None = None,
    earlier: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    notes: Mapping[str, str] | None = None,
    tolerance: float = 0.1,
) -> Report:
    """Measure a PSF, compare it, and point out what is wrong with it.

    Parameters
    ----------
    psf : Psf
        Distilled from beads, recorded, or synthetic.
    statistics : BeadStatistics, optional
        What `bead_statistics` says of the beads that it is from.
    theory : Psf or mapping, optional
        The PSF that the optics should have, or the parameters of `make_psf`: ``{"na": 1.4,
        "wavelength": 0.52, …}``. Voxels and window are those of `psf`. The model is ``"vectorial"``
        from NA 0.7 on, else ``"gibson_lanni"``, unless it is given.
    earlier : path-like or mapping, optional
        A report that `Report.save` wrote as JSON, for the drift since then.
    notes : mapping of str, optional
        Text to print: ``{"recorded": …, "microscope": …, "objective": …, …}``.
    tolerance : float
        Relative differences above it are pointed out.

    Returns
    -------
    Report
        To look at or to save.

    Raises
    ------
    DeconvError
        If the PSF cannot be measured, or what it is to be compared with is not usable.
    """
    check_number(tolerance, "tolerance", 0.0)
    measured = measure_psf(psf)
    ideal = expected_psf(theory, psf)
    expected = None if ideal is None else measure_psf(ideal)
    before = None if earlier is None else _of_same_axes(read_report(earlier), psf)
    findings = find(
        psf, measured, statistics=statistics, theory=ideal, expected=expected, earlier=before,
        tolerance=tolerance,
    )  # fmt: skip
    return Report(
        psf=psf,
        measured=measured,
        statistics=statistics,
        theory=ideal,
        expected=expected,
        earlier=before,
        notes=_checked_notes(notes or {}),
        findings=findings,
        tolerance=tolerance,
        written=date.today().isoformat(),
    )


def _of_same_axes(earlier: Mapping[str, Any], psf: Psf) -> Mapping[str, Any]:
    if len(earlier["shape"]) != psf.ndim:
        raise DeconvError(
            f"The earlier report is about a PSF with {len(earlier['shape'])} axes, this one has "
            f"{psf.ndim}: compare planes with planes and stacks with stacks."
        )
    return earlier


def _checked_notes(notes: Mapping[str, str]) -> dict[str, str]:
    if not all(isinstance(text, str) for pair in notes.items() for text in pair):
        raise DeconvError(f"notes={dict(notes)!r}: expected names and texts, both as str.")
    return {name: text.strip() for name, text in notes.items() if text.strip()}
