"""The command ``napari-deconv`` itself, and the commands about the machine."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from napari_deconv.cli.background import background
from napari_deconv.cli.beads import beads, distill
from napari_deconv.cli.deconvolution import deconvolve
from napari_deconv.cli.psf import measure
from napari_deconv.cli.run import run
from napari_deconv.cli.shell import ENGINE, Command, Group, options, report
from napari_deconv.cli.synthetic import psf
from napari_deconv.engines import get_engine, list_devices

__all__ = ["main"]


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=[
        "napari-deconv demo",
        "napari-deconv distill beads.tif --bead-diameter 0.2 -o psf.ome.tif",
        "napari-deconv deconvolve cells.ome.tif psf.ome.tif -n 40 -o cells_rl.ome.tif",
        "napari-deconv run recipe.yaml -o result.ome.tif",
    ],
)
@click.version_option(package_name="napari-deconv")
def main() -> None:
    """Deconvolve microscope images: from beads to PSF to sharper stacks.

    Images are TIFF, OME-TIFF, ImageJ TIFF or OME-Zarr. The voxel size is read from the file; where
    it has none, give --spacing z,y,x in µm.
    """


@main.command(cls=Command, examples=["napari-deconv devices", "napari-deconv devices --json"])
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def devices(as_json: bool) -> None:
    """List the devices that can compute."""
    auto = get_engine("auto").device
    found = [(device, device == auto) for device in list_devices()]
    if as_json:
        table = [
            {
                "engine": device.key, "name": device.name, "kind": device.kind,
                "memory": device.memory, "buffer_limit": device.buffer_limit, "auto": chosen,
            }
            for device, chosen in found
        ]  # fmt: skip
        click.echo(json.dumps(table, indent=2))
        return
    width = max(len(device.key) for device, _ in found)
    for device, chosen in found:
        click.echo(
            f"{device.key:{width}}  {device.kind}  {device.memory / 2**30:6.1f} GiB  "
            f"{device.name}{'  ← auto' if chosen else ''}"
        )
    if len(found) == 1:
        click.echo("No OpenCL device: install the OpenCL driver of the graphics card to use it.")


@main.command(
    cls=Command, examples=["napari-deconv demo", "napari-deconv demo -o somewhere -e opencl"]
)
@options(
    click.option(
        "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default="demo",
        show_default=True, help="Folder to write; made if missing.",
    ),
    ENGINE,
)  # fmt: skip
def demo(output: Path, engine: str) -> None:
    """Run everything on simulated data of known truth."""
    from napari_deconv.demo import run_demo

    start = time.perf_counter()
    run_demo(output, engine=engine, say=report)
    report(f"Done in {time.perf_counter() - start:.0f} s: look at {output / 'demo.png'}")


for command in (background, beads, distill, psf, deconvolve, measure, run):
    main.add_command(command)
