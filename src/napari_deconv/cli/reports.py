"""What the commands that report about a PSF share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_deconv.cli.shell import check_output, report
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image
from napari_deconv.psf.clean import load_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import REPORT_SUFFIXES, Report, make_report
from napari_deconv.psf.report.comparison import read_report

if TYPE_CHECKING:
    from napari_deconv.beads.statistics import BeadStatistics

__all__ = ["REPORT_OPTIONS", "ReportOrder"]

_PATH = click.Path(path_type=Path)

# The command psf has options of these names.
_SHORT = {"immersion": "n_immersion", "sample": "n_sample", "glass": "n_glass"}

REPORT_OPTIONS = (
    click.option("-r", "--report", "reports", type=_PATH, multiple=True,
                 help=f"Report to write ({', '.join(REPORT_SUFFIXES)}); may be given several "
                 "times."),
    click.option("--theory", metavar="NAME=VALUE,…|FILE",
                 help="What to compare with: a PSF, or the optics, as na=1.4,wavelength=0.52."),
    click.option("--earlier", type=_PATH, help="Earlier report (.json) to compare with."),
    click.option("--note", "notes", metavar="NAME=TEXT", multiple=True,
                 help="Text to print, as microscope=…, objective=…, recorded=…; may be given "
                 "several times."),
)  # fmt: skip
"""Options that `ReportOrder.read` takes under their names."""


@dataclass(frozen=True)
class ReportOrder:
    """The reports that were asked for, and what to compare with: all that can be known before.

    Attributes
    ----------
    reports : tuple of Path
        Files to write.
    theory : Psf, dict or None
        The PSF, or parameters of `make_psf`.
    earlier : mapping or None
        The earlier report.
    notes : dict of str
        Text to print.
    """

    reports: tuple[Path, ...]
    theory: Psf | dict[str, Any] | None
    earlier: Mapping[str, Any] | None
    notes: dict[str, str]

    @classmethod
    def read(
        cls,
        inputs: Sequence[Path],
        *,
        reports: tuple[Path, ...],
        theory: str | None,
        earlier: Path | None,
        notes: Sequence[str],
    ) -> ReportOrder:
        """Read `REPORT_OPTIONS`, and check them before the work is done.

        Parameters
        ----------
        inputs : sequence of Path
            Files that must not be overwritten.
        reports, theory, earlier, notes
            The options.

        Raises
        ------
        DeconvError
            If a report cannot be written, or an option is not understood.
        """
        for path in reports:
            check_output(path, inputs, REPORT_SUFFIXES)
        return cls(
            reports,
            None if theory is None else _theory(theory),
            None if earlier is None else read_report(earlier),
            dict(_pair(note, "--note") for note in notes),
        )

    def fulfil(self, psf: Psf, source: Image, statistics: BeadStatistics | None = None) -> Report:
        """Make the report about a PSF and write it.

        Parameters
        ----------
        psf : Psf
            The PSF.
        source : Image
            The recording that it is from, whose date is printed where it has one.
        statistics : BeadStatistics, optional
            The beads in it.
        """
        date = {} if source.acquired is None else {"recorded": source.acquired}
        made = make_report(
            psf,
            statistics=statistics,
            theory=self.theory,
            earlier=self.earlier,
            notes=date | self.notes,
        )
        for path in self.reports:
            made.save(path)
            report(f"Wrote {path}.")
        return made


def _theory(text: str) -> Psf | dict[str, Any]:
    """Read the option --theory: optics, or a file."""
    if "=" not in text or Path(text).exists():
        return load_psf(text)[0]
    pairs = (_pair(part, "--theory") for part in text.split(","))
    return {_SHORT.get(name, name.replace("-", "_")): _value(value) for name, value in pairs}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise DeconvError(f"{option} {text!r} is not understood: expected NAME=VALUE.")
    return name.strip(), value.strip()


def _value(text: str) -> float | str | bool:
    try:
        return float(text)
    except ValueError:
        return {"true": True, "false": False}.get(text.casefold(), text)
