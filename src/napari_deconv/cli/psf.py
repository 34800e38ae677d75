"""The command that measures point-spread functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from napari_deconv.cli.reports import REPORT_OPTIONS, ReportOrder
from napari_deconv.cli.shell import (
    SPACING,
    Command,
    micrometres,
    options,
    read_input,
    report,
    spacing_of,
)  # fmt: skip
from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import psf_of
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report.words import table

__all__ = ["measure", "report_psf", "save_psf"]

_PATH = click.Path(path_type=Path)


@click.command(
    cls=Command,
    examples=[
        "napari-deconv measure psf.ome.tif",
        "napari-deconv measure psf.tif --spacing 0.3,0.13,0.13 --json",
        "napari-deconv measure psf.ome.tif --theory na=1.4,wavelength=0.52,immersion=1.515 \\",
        "    --note objective=100x/1.4 --report psf.html",
    ],
)
@click.argument("psf", type=_PATH)
@options(
    *REPORT_OPTIONS,
    SPACING,
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
def measure(psf: Path, spacing: tuple[float, ...] | None, as_json: bool, **asked: Any) -> None:
    """Measure the widths and the shape of PSF, and report what is wrong with it.

    A recording loses its offset first.
    """
    order = ReportOrder.read([psf], **asked)
    source = read_input(psf, spacing)
    spacing_of(source, psf)
    made = order.fulfil(psf_of(source), source)
    if as_json:
        plain = {"file": str(psf), **made.to_dict()}
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
        return
    titles, *rows = table(made.rows)
    for row in (titles, *rows):
        click.echo(f"{row[0]:28}{row[1]:>3}" + "".join(f"{cell:>10}" for cell in row[2:]))
    for finding in made.findings:
        click.echo(finding)


def save_psf(made: Psf, output: Path) -> None:
    """Write a PSF and say how wide it is."""
    made.save(output)
    report_psf(made, output)


def report_psf(made: Psf, output: Path) -> None:
    """Say how wide a PSF is that was written, where its window is large enough to tell."""
    try:
        width = f"FWHM {micrometres(measure_psf(made).fwhm, 3)}"
    except DeconvError:
        width = "too small to measure"
    report(f"Wrote {output}: {width}.")
