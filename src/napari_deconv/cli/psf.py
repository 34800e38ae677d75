"""Commands about point-spread functions: making and measuring them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from napari_deconv.cli.reports import REPORT_OPTIONS, check_reports, report_on
from napari_deconv.cli.shell import (
    ENGINE,
    OUTPUT,
    SPACING,
    Command,
    Numbers,
    check_output,
    micrometres,
    options,
    read_input,
    report,
    spacing_of,
)  # fmt: skip
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES
from napari_deconv.psf.clean import psf_of
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.models import make_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report_words import table

__all__ = ["measure", "psf", "save_psf"]

_PATH = click.Path(path_type=Path)
_OPTICS = (
    ("na", "Numerical aperture."),
    ("wavelength", "Emission wavelength in vacuum, µm."),
    ("immersion", "Refractive index of the immersion medium. [default: 1.515]"),
    ("sample", "Refractive index of the specimen. [default: that of the immersion medium]"),
    ("glass", "Refractive index of the cover slip. [default: 1.515]"),
    ("depth", "Depth below the cover slip, µm. [default: 0]"),
    ("glass-thickness", "Thickness of the cover slip, µm. [default: 170]"),
    ("glass-thickness-design", "Thickness that the objective is corrected for, µm."),
    ("working-distance", "Immersion layer that the objective is corrected for, µm. [default: 150]"),
)


def _add_optics(command: Any) -> Any:
    for name, text in reversed(_OPTICS):
        command = click.option(f"--{name}", type=float, help=text)(command)
    return command


@click.command(
    cls=Command,
    examples=[
        "napari-deconv psf gibson_lanni --na 1.4 --immersion 1.515 --wavelength 0.52 \\",
        "    --spacing 0.2,0.08,0.08 --shape 65,129,129 -o psf.ome.tif",
        "napari-deconv psf gaussian --fwhm 0.5,0.2,0.2 --spacing 0.1,0.05,0.05 \\",
        "    --shape 31,31,31 -o psf.ome.tif",
    ],
)
@click.argument("model", type=click.Choice(["gaussian", "lorentzian", "born_wolf", "gibson_lanni"]))
@options(
    OUTPUT,
    click.option("--shape", type=Numbers("z,y,x", int), required=True, help="Voxels."),
    click.option("-s", "--spacing", type=Numbers("z,y,x"), required=True, help="Voxel size in µm."),
    _add_optics,
    click.option("--fwhm", type=Numbers("z,y,x"), help="Of gaussian and lorentzian, µm."),
    click.option("--centre", type=click.Choice(["best_focus", "paraxial", "none"]),
                 default="best_focus", show_default=True, help="What the middle plane shows."),
    click.option("--no-pixel-integration", is_flag=True,
                 help="Sample at the pixels' centres instead of integrating over their area."),
    ENGINE,
)  # fmt: skip
def psf(
    model: str,
    output: Path,
    immersion: float | None,
    sample: float | None,
    glass: float | None,
    depth: float | None,
    no_pixel_integration: bool,
    **parameters: Any,
) -> None:
    """Make a synthetic PSF from MODEL."""
    check_output(output, [], IMAGE_SUFFIXES)
    made = make_psf(
        model,  # type: ignore[arg-type]  # the choices are the model's names
        n_immersion=immersion, n_sample=sample, n_glass=glass, depth=depth or 0.0,
        pixel_integration=not no_pixel_integration, **parameters,
    )  # fmt: skip
    save_psf(made, output)


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
def measure(
    psf: Path,
    spacing: tuple[float, ...] | None,
    as_json: bool,
    reports: tuple[Path, ...],
    **compared: Any,
) -> None:
    """Measure the widths and the shape of PSF, and report what is wrong with it.

    A recording loses its offset first.
    """
    check_reports(reports, [psf])
    source = read_input(psf, spacing)
    spacing_of(source, psf)
    made = report_on(psf_of(source), reports=reports, **compared)
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
    """Write a PSF and say how wide it is, where its window is large enough to tell."""
    made.save(output)
    try:
        width = f"FWHM {micrometres(measure_psf(made).fwhm, 3)}"
    except DeconvError:
        width = "too small to measure"
    report(f"Wrote {output}: {width}.")
