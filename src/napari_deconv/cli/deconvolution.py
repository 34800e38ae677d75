"""The command ``deconvolve``."""

from __future__ import annotations

import csv
import time
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from napari_deconv.cli.shell import (
    CHANNEL,
    ENGINE,
    OUTPUT,
    SPACING,
    Command,
    NumberOrAuto,
    Numbers,
    check_output,
    detail,
    is_verbose,
    options,
    origin,
    progress,
    read_beside,
    read_input,
    report,
    spacing_of,
    write_result,
)  # fmt: skip
from napari_deconv.deconvolution import BOUNDARIES, METHODS, Deconvolution, memory_needed
from napari_deconv.deconvolution import deconvolve as run_deconvolution
from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES, read_image, replacing
from napari_deconv.provenance import made, record
from napari_deconv.psf.clean import psf_of
from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.acceleration import ACCELERATIONS
from napari_deconv.solvers.regularization import REGULARIZATIONS
from napari_deconv.solvers.stopping import STOPS

__all__ = ["deconvolve"]

_PATH = click.Path(path_type=Path)
_TABLES = (".csv",)


def _or_none(names: tuple[str | None, ...]) -> click.Choice[str]:
    """Choose one of the names; None is called "none"."""
    return click.Choice([name or "none" for name in names])


_DIRECT = [name for name, method in METHODS.items() if method.direct]
_ITERATIVE = [name for name in METHODS if name not in _DIRECT]

_OPTIONS = (
    OUTPUT,
    click.option("-m", "--method", type=click.Choice(list(METHODS)), metavar="NAME",
                 default=next(iter(METHODS)), show_default=True,
                 help=f"{', '.join(_ITERATIVE)}; or, in one step, {', '.join(_DIRECT)}."),
    click.option("-n", "--iterations", type=int, default=40, show_default=True,
                 help="Steps; with --stop, at most."),
    click.option("--stop", type=_or_none(STOPS),
                 help="End before: discrepancy at the noise level, quality when the fit hardly "
                 "improves, consensus when photons kept aside are met no better. "
                 "[default: consensus]"),
    click.option("--levels", type=NumberOrAuto(int), metavar="N|auto", default="auto",
                 show_default=True,
                 help="Start on up to N − 1 coarser images; 1 starts on IMAGE itself."),
    click.option("-b", "--background", default="auto", show_default=True,
                 metavar="NUMBER|auto|FILE",
                 help="Light that is not of the specimen, in grey values, part of the model."),
    click.option("--boundary", type=click.Choice(BOUNDARIES), default=BOUNDARIES[0],
                 show_default=True, help="What lies outside of the image."),
    click.option("--regularization", type=_or_none(REGULARIZATIONS), default="none",
                 show_default=True,
                 help="Against noise: tv (total variation) keeps edges, tikhonov smooths bright "
                 "parts, roughness (Good's) differences relative to the light."),
    click.option("--weight", type=NumberOrAuto(float), metavar="NUMBER|auto",
                 help="Of the regularisation, or of the method: more is smoother. auto for tv, "
                 "wiener and tikhonov. [default: depends on the method]"),
    click.option("--acceleration", type=_or_none(ACCELERATIONS), default="heavy_ball",
                 show_default=True,
                 help="With heavy_ball 40 steps reach what about 200 plain ones do."),
    click.option("--damping", type=float, default=0.0, metavar="NUMBER",
                 help="Hardly fit differences of fewer standard deviations of the noise. "
                 "[default: 0]"),
    click.option("--read-noise", type=float, metavar="NUMBER",
                 help="Standard deviation of the camera's noise, in grey values."),
    click.option("--gain", type=float, metavar="NUMBER",
                 help="Grey values a photon. [default: estimated where it is needed]"),
    click.option("--offset", type=float, metavar="NUMBER",
                 help="Grey value without light. [default: estimated, or 0 with --gain]"),
    click.option("--mask", type=_PATH, help="Image that is 0 where IMAGE is to be left out."),
    click.option("--initial", type=_PATH, help="Estimate to start from."),
    click.option("--no-centre-psf", is_flag=True, help="Leave an off-centre PSF where it is."),
    SPACING,
    click.option("--psf-spacing", type=Numbers("z,y,x"),
                 help="Voxel size of PSF in µm, instead of the file's."),
    click.option("--depths", type=Numbers("z,z,…"),
                 help="µm from IMAGE's first plane to where each PSF of a file of several holds."),
    click.option("--symmetric-psf", is_flag=True,
                 help="blind: make the PSF radially symmetric in x and y."),
    click.option("--psf-output", type=_PATH, help="blind: file to write the PSF that is found."),
    CHANNEL,
    click.option("--history", type=_PATH,
                 help="Table to write: how the fit went, every fifth iteration (.csv)."),
    ENGINE,
)  # fmt: skip


@click.command(
    cls=Command,
    examples=[
        "napari-deconv deconvolve cells.ome.tif psf.ome.tif -n 40 -o cells_rl.ome.tif",
        "napari-deconv deconvolve cells.tif psf.tif -n 200 --stop consensus -o cells_rl.ome.tif",
        "napari-deconv deconvolve grid.tif psf.tif -b 1.5 --regularization tv -o grid_tv.ome.tif",
    ],
)
@click.argument("image", type=_PATH)
@click.argument("psf", type=_PATH)
@options(*_OPTIONS)
def deconvolve(
    image: Path,
    psf: Path,
    output: Path,
    history: Path | None,
    psf_output: Path | None,
    background: str,
    mask: Path | None,
    initial: Path | None,
    no_centre_psf: bool,
    weight: float | str | None,
    spacing: tuple[float, ...] | None,
    psf_spacing: tuple[float, ...] | None,
    channel: int | None,
    **given: Any,
) -> None:
    """Deconvolve IMAGE with PSF.

    A PSF of another voxel size is resampled, a recorded one loses its offset. Channels and times
    are treated one by one.
    """
    inputs = [path for path in (image, psf, mask, initial, Path(background)) if path is not None]
    check_output(output, inputs, IMAGE_SUFFIXES)
    _check_other_outputs(history, psf_output, [*inputs, output], given["method"])
    source = read_input(image, spacing, channel)
    voxel = spacing_of(source, image)
    points = _read_psf(psf, psf_spacing, len(voxel), given["depths"] is not None)
    if given["stop"] is None and "stop" in METHODS[given["method"]].takes:
        given["stop"] = "consensus"
    arguments = {name: None if value == "none" else value for name, value in given.items()} | {
        "spacing": voxel,
        "background": _background(background, channel),
        "regularization_weight": weight,
        "centre_psf": not no_centre_psf,
    }
    voxels: dict[str, Any] = {} if psf_spacing is None else {"spacing": psf_spacing}
    origins = {"image": origin(image, channel), "psf": origin(psf, **voxels)}
    for name, path in (("mask", mask), ("initial", initial)):
        if path is not None:
            arguments[name], origins[name] = read_beside(path, channel)
    if mask is not None:
        arguments["mask"] = arguments["mask"] != 0
    if is_verbose():
        with warnings.catch_warnings(action="ignore"):  # the run itself will say them
            needed = memory_needed(source.data, points, **arguments)
        detail(f"Memory needed: {needed / 2**30:.2g} GiB on the device")
    start = time.perf_counter()
    with progress("deconvolve") as callback:
        result = run_deconvolution(source.data, points, callback=callback, **arguments)
    seconds = time.perf_counter() - start
    _report(result, seconds)
    device = get_engine(result.recipe["engine"])
    done = record(result.recipe, origins, made(seconds, device, result.stop_reason))
    write_result(output, result.image, source, done)
    if psf_output is not None:
        found = result.psf.data if isinstance(result.psf, Psf) else result.psf
        write_result(psf_output, found, source, done)
    if history is not None:
        _write_history(history, result, source.axes)


def _check_other_outputs(
    history: Path | None, psf: Path | None, taken: list[Path], method: str
) -> None:
    if history is not None:
        check_output(history, taken, _TABLES)
        if METHODS[method].direct:
            raise DeconvError(f"--history: {method} takes one step, there is nothing to follow.")
    if psf is not None:
        check_output(psf, taken, IMAGE_SUFFIXES)
        if psf.resolve() in [path.resolve() for path in taken]:
            raise DeconvError(f"{psf} is another output as well: choose another name.")
        if "symmetric_psf" not in METHODS[method].takes:
            raise DeconvError(f"--psf-output: {method} takes the PSF as it is, and finds none.")


def _read_psf(
    path: Path, spacing: tuple[float, ...] | None, axes: int, several: bool
) -> Psf | list[Psf]:
    """Read a PSF of so many axes; several, if asked for, along the axis in front."""
    image = read_image(path, spacing)
    voxel = spacing_of(image, path, "--psf-spacing")
    if len(voxel) != axes:
        raise DeconvError(
            f"The image has {axes} axes, the PSF of {path} {len(voxel)}: "
            "both have to be stacks with a z axis, or neither."
        )
    if several != (image.data.ndim > axes):
        raise DeconvError(
            f"{path} has the axes {image.axes}: --depths need a file of several PSFs, one behind "
            "the other along an axis in front, and such a file needs --depths."
        )
    if several:
        volumes = image.data.reshape(-1, *image.data.shape[-axes:])
        return [Psf(volume, voxel) for volume in volumes]
    return psf_of(image)


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
    return read_beside(Path(text), channel)[0]


def _report(result: Deconvolution, seconds: float) -> None:
    """Say why it ended, and with -v what was found on the way."""
    detail(f"Background {np.mean(result.background):.4g}, engine {result.recipe['engine']}")
    if np.isfinite(result.gain).any():
        detail(f"Gain {np.nanmean(result.gain):.3g} grey values a photon")
    if result.weights:
        found = ", ".join(f"{rule} {weight:.3g}" for rule, weight in result.weights.items())
        detail(f"Automatic weight by cross-validation (gcv), which was taken: {found}")
    report(f"{result.stop_reason[:1].upper()}{result.stop_reason[1:]}, {seconds:.1f} s.")


def _write_history(path: Path, result: Deconvolution, axes: str) -> None:
    """Write the history as a table, its volumes numbered from 0 along the axes in front."""
    columns = result.history
    iterations = columns["iteration"]
    leading = [axis.lower() for axis in axes[: iterations.ndim - 1]]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*leading, *columns])
        for row in zip(*np.nonzero(iterations >= 0), strict=True):
            table.writerow([*row[:-1], *(column[row].item() for column in columns.values())])
    report(f"Wrote {path}: {np.count_nonzero(iterations >= 0)} rows.")
