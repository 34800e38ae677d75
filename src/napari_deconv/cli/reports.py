"""What the commands that report about a PSF share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_deconv.cli.shell import check_output, report
from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import load_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import REPORT_SUFFIXES, Report, make_report

if TYPE_CHECKING:
    from napari_deconv.beads.statistics import BeadStatistics

__all__ = ["REPORT_OPTIONS", "check_reports", "report_on"]

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
                 help="Text to print, as microscope=…, objective=…, date=…; may be given several "
                 "times."),
)  # fmt: skip
"""Options that `check_reports` and `report_on` take under these names."""


def check_reports(reports: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise `DeconvError` before the work is done if a report cannot be written."""
    for path in reports:
        check_output(path, inputs, REPORT_SUFFIXES)


def report_on(
    psf: Psf,
    statistics: BeadStatistics | None = None,
    *,
    reports: Sequence[Path],
    theory: str | None,
    earlier: Path | None,
    notes: Sequence[str],
) -> Report:
    """Make a report and write it.

    Parameters
    ----------
    psf : Psf
        What it is about.
    statistics : BeadStatistics, optional
        The beads that it is from.
    reports : sequence of Path
        Files to write.
    theory, earlier, notes
        The options of `REPORT_OPTIONS`.
    """
    made = make_report(
        psf,
        statistics=statistics,
        theory=None if theory is None else _theory(theory),
        earlier=earlier,
        notes=dict(_pair(note, "--note") for note in notes),
    )
    for path in reports:
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


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
