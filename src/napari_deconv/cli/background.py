"""The command ``background``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from napari_deconv.background import METHODS as BACKGROUNDS
from napari_deconv.background import subtract_background
from napari_deconv.cli.shell import (
    CHANNEL,
    ENGINE,
    OUTPUT,
    SPACING,
    Command,
    check_output,
    options,
    origin,
    progress,
    read_input,
    report,
    spacing_of,
    write_result,
)  # fmt: skip
from napari_deconv.engines import get_engine
from napari_deconv.files import IMAGE_SUFFIXES
from napari_deconv.provenance import describe, made, record

__all__ = ["background"]

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
    if "Z" not in source.axes and source.data.ndim > 2:
        arguments["planes"] = True
    if method in _WITH_RADIUS:
        arguments["spacing"] = spacing_of(source, image)
    start = time.perf_counter()
    with progress("background") as callback:
        result = subtract_background(
            source.data, floor=floor, engine=device, callback=callback, **arguments
        )
    taken = np.mean(source.data, dtype=float) - np.mean(result, dtype=float)
    report(f"Background taken away ({method}): {taken:.4g} on average.")
    call = describe("subtract_background", arguments | {"floor": floor}, device)
    how = made(time.perf_counter() - start, device)
    write_result(output, result, source, record(call, {"image": origin(image, channel)}, how))
