"""Commands about beads: finding them, and distilling the PSF from them."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from napari_deconv.beads import METHODS, Beads, Rejection, detect_beads
from napari_deconv.beads.statistics import BeadStatistics, bead_statistics
from napari_deconv.cli.psf import save_psf
from napari_deconv.cli.reports import REPORT_OPTIONS, ReportOrder
from napari_deconv.cli.shell import (
    CHANNEL,
    ENGINE,
    OUTPUT,
    SPACING,
    Command,
    Numbers,
    check_output,
    detail,
    micrometres,
    options,
    origin,
    progress,
    read_input,
    report,
    spacing_of,
)  # fmt: skip
from napari_deconv.engines import get_engine
from napari_deconv.files import IMAGE_SUFFIXES, Image
from napari_deconv.provenance import describe, made, record
from napari_deconv.psf.distill import DISTILLING, distill_psf
from napari_deconv.psf.psf import Psf

__all__ = ["beads", "distill", "report_beads"]

_PATH = click.Path(path_type=Path)
_RULES = tuple(field.name for field in fields(Rejection) if field.type == "bool")


def _detection(*names: str) -> tuple[Any, ...]:
    """Options about finding beads; `names` are those of the method's."""
    return (
        click.option(*names, "detection", type=click.Choice(METHODS), default="dog",
                     show_default=True, help="How beads are found."),
        click.option("-d", "--bead-diameter", type=float, default=0.0, show_default=True,
                     help="In µm."),
        click.option("-t", "--threshold", type=float,
                     help="Grey value, instead of an automatic one."),
        click.option("--fwhm", type=Numbers("z,y,x"),
                     help="Expected width of a point in µm, instead of the measured one."),
        click.option("--keep", type=click.Choice(_RULES), multiple=True,
                     help="Do not reject beads for this reason; may be given several times."),
        click.option("--neighbour-distance", type=float, default=Rejection.neighbour_distance,
                     show_default=True, help="Reject beads closer to each other, in µm."),
        click.option("--edge-distance", type=float, default=Rejection.edge_distance,
                     show_default=True, help="Reject beads closer to the stack's ends, in µm."),
    )  # fmt: skip


@click.command(
    cls=Command,
    examples=[
        "napari-deconv beads beads.tif --spacing 0.3,0.108,0.108 -o beads.csv",
        "napari-deconv beads beads.tif --keep neighbour --keep brightness -o beads.csv",
    ],
)
@click.argument("image", type=_PATH)
@options(
    click.option("-o", "--output", type=_PATH, required=True, help="CSV file to write."),
    *_detection("-m", "--method"),
    SPACING,
    CHANNEL,
    ENGINE,
)  # fmt: skip
def beads(
    image: Path,
    output: Path,
    detection: str,
    keep: tuple[str, ...],
    spacing: tuple[float, ...] | None,
    channel: int | None,
    **parameters: Any,
) -> None:
    """Find and judge the beads of IMAGE.

    The table has a row a bead: position, flux, FWHM, R², and whether it can be trusted:
    "accepted", or the reason against it.
    """
    check_output(output, [image], (".csv",))
    rules = _rules(keep, parameters)
    source = read_input(image, spacing, channel)
    with progress("beads") as callback:
        found = detect_beads(
            source.data, spacing=spacing_of(source, image), method=detection,
            reject=rules, callback=callback, **parameters,
        )  # fmt: skip
    found.to_csv(output)
    report_beads(found)
    report(f"Wrote {output}.")


@click.command(
    cls=Command,
    examples=[
        "napari-deconv distill beads.tif --bead-diameter 0.2 -o psf.ome.tif",
        "napari-deconv distill beads.tif --method average --shape 41,65,65 -o psf.ome.tif",
        "napari-deconv distill beads.tif --theory na=1.4,wavelength=0.52 --report report.html \\",
        "    -o psf.ome.tif",
    ],
)
@click.argument("image", type=_PATH)
@options(
    OUTPUT,
    click.option("-m", "--method", type=click.Choice(DISTILLING), default=DISTILLING[0],
                 show_default=True, help="How beads become a PSF."),
    click.option("-n", "--iterations", type=int,
                 help="Richardson–Lucy steps. [default: 50, fewer for dim beads; centroids 200]"),
    click.option("--shape", type=Numbers("z,y,x", int), help="Voxels of the PSF."),
    click.option("-b", "--background", type=float,
                 help="Grey value, instead of one fitted with the PSF."),
    click.option("--symmetric", is_flag=True,
                 help="Make planes radially symmetric, if x and y differ by less than 10 %."),
    *_detection("--detection"),
    *REPORT_OPTIONS,
    SPACING,
    CHANNEL,
    ENGINE,
)  # fmt: skip
def distill(
    image: Path,
    output: Path,
    method: str,
    bead_diameter: float,
    detection: str,
    threshold: float | None,
    fwhm: tuple[float, ...] | None,
    keep: tuple[str, ...],
    spacing: tuple[float, ...] | None,
    channel: int | None,
    engine: str,
    reports: tuple[Path, ...],
    theory: str | None,
    earlier: Path | None,
    notes: tuple[str, ...],
    **parameters: Any,
) -> None:
    """Distil the PSF from the beads of IMAGE."""
    check_output(output, [image], IMAGE_SUFFIXES)
    order = ReportOrder.read(
        [image, output], reports=reports, theory=theory, earlier=earlier, notes=notes
    )
    rules = _rules(keep, parameters)
    source = read_input(image, spacing, channel)
    voxel = spacing_of(source, image)
    found = None
    origins = {"image": origin(image, channel)}
    device, start = get_engine(engine), time.perf_counter()
    if method != "centroids":
        finding: dict[str, Any] = {
            "spacing": voxel, "method": detection, "threshold": threshold, "fwhm": fwhm,
            "bead_diameter": bead_diameter, "reject": rules,
        }  # fmt: skip
        with progress("beads") as callback:
            found = detect_beads(source.data, engine=device, callback=callback, **finding)
        how = made(time.perf_counter() - start, device)
        origins["beads"] = record(describe("detect_beads", finding, device), origins, how)
        report_beads(found)
    given: dict[str, Any] = {"method": method, **parameters}
    with progress("distill") as callback:
        distilled = distill_psf(
            source.data, found, spacing=voxel, bead_diameter=bead_diameter, engine=device,
            callback=callback, **given,
        )  # fmt: skip
    done = record(distilled.metadata, origins, made(time.perf_counter() - start, device))
    distilled = replace(distilled, metadata=done)
    save_psf(distilled, output)
    if reports:
        order.fulfil(distilled, source, _statistics(found, source, distilled))


def _statistics(found: Beads | None, source: Image, distilled: Psf) -> BeadStatistics | None:
    """Compare the beads with a PSF, if there are any; an average has the beads' size in it."""
    if found is None or not found.accepted.any():
        return None
    made = distilled.metadata["parameters"]
    diameter = made["bead_diameter"] if made["method"] == "reverse" else 0.0
    return bead_statistics(
        found, source.data, distilled, made["background"], bead_diameter=diameter
    )


def _rules(keep: tuple[str, ...], parameters: dict[str, Any]) -> Rejection:
    """Make the rules from --keep and the distances, which are taken out of the parameters."""
    rules: dict[str, Any] = dict.fromkeys(keep, False)
    for name in ("neighbour_distance", "edge_distance"):
        rules[name] = parameters.pop(name)
    return Rejection(**rules)


def report_beads(found: Beads) -> None:
    """Say how many beads there are, and how wide the accepted ones are."""
    report(f"{len(found)} beads: {found.summary}.")
    if found.accepted.any():
        width = micrometres(np.median(found.fwhm[found.accepted], axis=0), 3)
        report(f"Median FWHM of the accepted: {width}.")
    detail(found.to_dataframe().to_string())
