"""Commands from image to image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from napari_deconv.background import METHODS as BACKGROUNDS
from napari_deconv.background import subtract_background
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
    progress,
    read_beside,
    read_input,
    report,
    spacing_of,
)  # fmt: skip
from napari_deconv.deconvolution import BOUNDARIES, METHODS
from napari_deconv.deconvolution import deconvolve as run_deconvolution
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES, Image, read_image, write_image
from napari_deconv.psf.psf import Psf
from napari_deconv.recipe import describe

__all__ = ["background", "deconvolve"]

_PATH = click.Path(path_type=Path)
_WITH_RADIUS = ("rolling_ball", "top_hat", "gaussian")


@click.command(
    cls=Command,
    examples=[
        "napari-deconv background beads.tif -o beads_clean.ome.tif",
        "napari-deconv background cells.ome.tif -m rolling_ball --radius 5 -o clean.ome.tif",
    ],
)
@click.argument("image", type=_PATH)
@options(
    OUTPUT,
    click.option("-m", "--method", type=click.Choice(BACKGROUNDS), default="mean",
                 show_default=True, help="How to estimate it."),
    click.option("--factor", type=float, default=1.25, show_default=True,
                 help="mean: times the mean."),
    click.option("--floor", type=float, default=0.1, show_default=True,
                 help="mean: what is 0 or less becomes this."),
    click.option("--percentile", type=float, help="percentile: 0 to 100. [default: 1]"),
    click.option("--value", type=float, help="constant: the background."),
    click.option("--radius", type=float,
                 help="rolling_ball, top_hat, gaussian: in µm, more than an object's radius."),
    SPACING,
    CHANNEL,
    ENGINE,
)  # fmt: skip
def background(
    image: Path,
    output: Path,
    method: str,
    floor: float,
    spacing: tuple[float, ...] | None,
    channel: int | None,
    engine: str,
    **parameters: float | None,
) -> None:
    """Subtract the background of IMAGE."""
    check_output(output, [image], IMAGE_SUFFIXES)
    source = read_input(image, spacing, channel)
    device = get_engine(engine)
    arguments: dict[str, Any] = {"method": method, **parameters}
    if method in _WITH_RADIUS:
        arguments["spacing"] = spacing_of(source, image)
    with progress("background") as callback:
        result = subtract_background(
            source.data, floor=floor, engine=device, callback=callback, **arguments
        )
    taken = np.mean(source.data, dtype=float) - np.mean(result, dtype=float)
    report(f"Background taken away ({method}): {taken:.4g} on average.")
    recipe = describe("subtract_background", arguments | {"floor": floor}, device)
    _write(output, result, source, recipe | {"input": image.name})


@click.command(
    cls=Command,
    examples=[
        "napari-deconv deconvolve cells.ome.tif psf.ome.tif -n 40 -o cells_rl.ome.tif",
        "napari-deconv deconvolve grid.tif psf.tif -b 1.5 --regularization tv -o grid_tv.ome.tif",
    ],
)
@click.argument("image", type=_PATH)
@click.argument("psf", type=_PATH)
@options(
    OUTPUT,
    click.option("-m", "--method", type=click.Choice(METHODS), default=METHODS[0],
                 show_default=True, help="Richardson–Lucy, or one of two direct filters."),
    click.option("-n", "--iterations", type=int, default=40, show_default=True,
                 help="Steps of Richardson–Lucy."),
    click.option("-b", "--background", default="auto", show_default=True,
                 metavar="NUMBER|auto|FILE",
                 help="Light that is not of the specimen, in grey values, part of the model."),
    click.option("--boundary", type=click.Choice(BOUNDARIES), default=BOUNDARIES[0],
                 show_default=True, help="What lies outside of the image."),
    click.option("--acceleration", type=click.Choice(["heavy_ball", "biggs", "none"]),
                 default="heavy_ball", show_default=True,
                 help="With heavy_ball 40 steps reach what about 200 plain ones do."),
    click.option("--regularization", type=click.Choice(["tv", "none"]), default="none",
                 show_default=True, help="tv (total variation) lowers noise and keeps edges."),
    click.option("--weight", type=float,
                 help="Of tv [default: 0.002], of wiener and inverse [default: 0.01]."),
    click.option("--mask", type=_PATH, help="Image that is 0 where IMAGE is to be left out."),
    click.option("--initial", type=_PATH, help="Estimate to start from."),
    click.option("--no-centre-psf", is_flag=True, help="Leave an off-centre PSF where it is."),
    SPACING,
    click.option("--psf-spacing", type=Numbers("z,y,x"),
                 help="Voxel size of PSF in µm, instead of the file's."),
    CHANNEL,
    ENGINE,
)  # fmt: skip
def deconvolve(
    image: Path,
    psf: Path,
    output: Path,
    background: str,
    acceleration: str,
    regularization: str,
    weight: float | None,
    mask: Path | None,
    initial: Path | None,
    no_centre_psf: bool,
    spacing: tuple[float, ...] | None,
    psf_spacing: tuple[float, ...] | None,
    channel: int | None,
    **parameters: Any,
) -> None:
    """Deconvolve IMAGE with PSF.

    A PSF of another voxel size is resampled. Channels and times are treated one by one.
    """
    inputs = [path for path in (image, psf, mask, initial, Path(background)) if path is not None]
    check_output(output, inputs, IMAGE_SUFFIXES)
    source = read_input(image, spacing, channel)
    voxel = spacing_of(source, image)
    point_spread = read_image(psf, psf_spacing)
    psf_voxel = spacing_of(point_spread, psf, "--psf-spacing")
    if len(psf_voxel) != len(voxel):
        raise DeconvError(
            f"{image} has the axes {source.axes}, {psf} {point_spread.axes}: "
            "both have to be stacks with a z axis, or neither."
        )
    arguments = parameters | {
        "spacing": voxel,
        "background": _background(background, channel),
        "acceleration": None if acceleration == "none" else acceleration,
        "regularization": None if regularization == "none" else regularization,
        "regularization_weight": weight,
        "mask": None if mask is None else read_beside(mask, channel) != 0,
        "initial": None if initial is None else read_beside(initial, channel),
        "centre_psf": not no_centre_psf,
    }
    start = time.perf_counter()
    with progress("deconvolve") as callback:
        result = run_deconvolution(
            source.data,
            Psf(point_spread.data, psf_voxel, point_spread.metadata),
            callback=callback,
            **arguments,
        )
    seconds = time.perf_counter() - start
    detail(f"Background {np.mean(result.background):.4g}, engine {result.recipe['engine']}")
    report(f"{result.stop_reason[:1].upper()}{result.stop_reason[1:]}, {seconds:.1f} s.")
    _write(output, result.image, source, result.recipe | {"input": image.name, "psf": psf.name})


def _background(text: str, channel: int | None) -> str | float | npt.NDArray[Any]:
    """Read the option --background: ``auto``, a number, or a file."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        pass
    if not Path(text).exists():
        raise DeconvError(f"--background {text} is neither auto, a number, nor a file.")
    return read_beside(Path(text), channel)


def _write(
    output: Path, result: npt.NDArray[np.float32], source: Image, recipe: dict[str, Any]
) -> None:
    """Write a result with the axes, channels and times of its source."""
    write_image(
        output, result, source.spacing, recipe,
        axes=source.axes, channels=source.channels, time_interval=source.time_interval,
    )  # fmt: skip
    voxel = "no voxel size" if source.spacing is None else micrometres(source.spacing)
    report(f"Wrote {output}: {' × '.join(map(str, result.shape))} voxels of {voxel}.")
