"""Volumes beyond memory, and more than one machine: ``python -m benchmarks.blocks``."""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.block_work import (
    SPACING,
    in_own_process,
    light_sheet_psf,
    make_volume,
)
from benchmarks.gpu import BYTES
from benchmarks.machine import describe_machine
from benchmarks.report import markdown_table, size
from napari_deconv import list_devices, set_limits
from napari_deconv.blocks import deconvolve_blocks, prepare_blocks, write_blocks
from napari_deconv.files import open_image
from napari_deconv.files.unfinished import written

__all__ = ["Speed", "Volume", "measure_scaling", "measure_tile", "measure_volume", "page"]

Shape = tuple[int, ...]

_VOLUME = (512, 2048, 2048)
_LIMIT = 2**30  # of the process

_TILES = [(32, 128, 128), (64, 256, 256), (64, 512, 512), (128, 512, 512), (256, 512, 512)]
_SCALING = (64, 512, 512)
_SCALING_BLOCK = (64, 128, 128)
_PROVED = 3  # tiles that are computed again and compared with the file
_GIB = 2**30

_LARGE = 1e12 / 2  # voxels of 16 bits in 1 TB
_BANDWIDTH = 1e12  # bytes per second
_BOUND = "bound of a GPU, **not measured**"


@dataclass(frozen=True)
class Speed:
    """One tile on one device.

    Attributes
    ----------
    device : str
        Its name.
    block, grid : tuple of int
        Voxels (z, y, x) of the tile, and of the grid it is computed on.
    iterations : int
        Steps done.
    seconds : float
        For the tile, with reading what it sees.
    predicted, peak : int
        Bytes: planned, and held by the process above what it held before.
    """

    device: str
    block: Shape
    grid: Shape
    iterations: int
    seconds: float
    predicted: int
    peak: int

    @property
    def rate(self) -> float:
        """Voxels of the tile, without its overlap, times iterations a second."""
        return float(np.prod(self.block)) * self.iterations / self.seconds


@dataclass(frozen=True)
class Volume:
    """A volume deconvolved within a memory limit, killed once and resumed.

    Attributes
    ----------
    shape, block : tuple of int
        Voxels (z, y, x) of the volume and of a tile.
    iterations, blocks : int
        Steps, and tiles.
    killed_after, kept : int
        Tiles that were on the disk when it was killed, and found there when it was resumed.
    seconds, prepared : float
        Of both runs, and of reading the volume before the first tile.
    planned : float
        Seconds that the plan tells, in which the disk does not count.
    peak : int
        Most bytes that either process held, Python and all libraries included.
    """

    shape: Shape
    block: Shape
    iterations: int
    blocks: int
    killed_after: int
    kept: int
    seconds: float
    prepared: float
    planned: float
    peak: int


def measure_tile(volume: Path, block: Shape, engine: str, name: str, iterations: int) -> Speed:
    """Measure a tile in fresh processes: one for its time, one for its memory."""
    found: dict[str, Any] = {}
    for task in ("tile", "memory_of_tile"):
        with in_own_process(
            task, volume=str(volume), block=block, engine=engine, iterations=iterations
        ) as process:
            found |= _steps(process)[0]
    return Speed(
        name, tuple(found["block"]), tuple(found["grid"]), iterations, found["seconds"],
        found["predicted"], found["peak"],
    )  # fmt: skip


def measure_scaling(folder: Path, workers: int, iterations: int) -> float:
    """Store a volume with so many worker processes of one thread each: seconds, the second time."""
    from distributed import Client, LocalCluster

    source = folder / "scaling.ome.zarr"
    if not source.exists():
        make_volume(source, _SCALING)
    image = open_image(source)
    result = prepare_blocks(
        image.data, light_sheet_psf(), block=_SCALING_BLOCK, iterations=iterations,
        spacing=SPACING, engine="cpu",
    )  # fmt: skip
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        client.run(set_limits, threads=1)
        for _ in range(2):
            started = time.perf_counter()
            write_blocks(folder / "scaled.ome.zarr", result, image, resume=False)
            seconds = time.perf_counter() - started
    return seconds


def measure_volume(folder: Path, shape: Shape, iterations: int, memory: float) -> Volume:
    """Deconvolve a volume from file to file, kill that after a third of the tiles, and resume it.

    Raises
    ------
    AssertionError
        If the file has its name before it is complete, tiles of it differ from what they are when
        computed again, or the page would claim too much: see `check`.
    """
    source, output = folder / "volume.ome.zarr", folder / "deconvolved.ome.zarr"
    begin = partial(
        in_own_process, "deconvolve", volume=str(source), output=str(output),
        iterations=iterations, memory=memory,
    )  # fmt: skip
    started = time.perf_counter()
    with begin(resume=False) as process:
        first, *rest = _steps(process, kill_after=1 / 3)
    assert not output.exists()
    killed, killed_after = rest[-1], written(output)
    with begin(resume=True) as process:
        _, *rest = _steps(process)
    kept = rest[0]["done"]
    seconds = time.perf_counter() - started
    _prove(source, output, tuple(first["block"]), iterations)
    volume = Volume(
        shape, tuple(first["block"]), iterations, first["blocks"], killed_after, kept,
        seconds, first["prepared"], first["planned"], max(killed["peak"], rest[-1]["peak"]),
    )  # fmt: skip
    check(volume, memory)
    return volume


def check(volume: Volume, memory: float) -> None:
    """Check what the page says of a volume.

    Raises
    ------
    AssertionError
        If more memory was held than allowed, or a tile was lost with the killed process.
    """
    if volume.peak > memory:
        raise AssertionError(
            f"The process held {volume.peak / _GIB:.2f} GiB, {memory / _GIB:.2f} GiB were allowed."
        )
    if volume.kept < volume.killed_after:
        raise AssertionError(
            f"{volume.killed_after} tiles were on the disk when it was killed, and only "
            f"{volume.kept} were there when it was resumed."
        )


def _steps(process: Any, kill_after: float = math.inf) -> list[dict[str, Any]]:
    """Read what a process tells until its end, or kill it after such a part of its blocks."""
    steps = []
    for line in process.stdout:
        steps.append(json.loads(line))
        if "done" in steps[-1]:
            click.echo(f"{steps[-1]['done']} of {steps[-1]['blocks']} tiles\r", nl=False, err=True)
        if steps[-1].get("done", 0) >= kill_after * steps[0].get("blocks", 1):
            process.kill()
            return steps
    if process.wait():
        raise SystemExit(f"It failed: {' '.join(process.args[3:])}")
    return steps


def _prove(source: Path, output: Path, block: Shape, iterations: int) -> None:
    """Compute some tiles again, and compare."""
    result = deconvolve_blocks(
        open_image(source).data, light_sheet_psf(), block=block, iterations=iterations,
        spacing=SPACING, engine="cpu",
    )  # fmt: skip
    written = open_image(output).data.rechunk(result.chunks)
    for number in random.Random(0).sample(list(np.ndindex(result.numblocks)), _PROVED):
        expected = result.blocks[number].compute(scheduler="synchronous")
        found = written.blocks[number].compute(scheduler="synchronous")
        np.testing.assert_array_equal(found, expected)


def tiles_table(speeds: Sequence[Speed]) -> str:
    """Throughput against the size of tiles."""
    header = [
        "device", "tile", "grid", "seconds", "Mvoxel·iterations/s", "memory planned, MB",
        "memory measured, MB",
    ]  # fmt: skip
    return markdown_table(
        header,
        [
            [
                s.device, size(s.block), size(s.grid), f"{s.seconds:.2f}", f"{s.rate / 1e6:.1f}",
                f"{s.predicted / 1e6:.0f}", f"{s.peak / 1e6:.0f}",
            ]
            for s in speeds
        ],
    )  # fmt: skip


def rates(speeds: Sequence[Speed]) -> dict[str, float]:
    """Tell what one device does: voxels times iterations a second, the best of its tiles."""
    best: dict[str, float] = {}
    for speed in speeds:
        best[speed.device] = max(best.get(speed.device, 0.0), speed.rate)
    if not any(device.kind == "GPU" for device in list_devices()):
        largest = max(speeds, key=lambda speed: np.prod(speed.block))
        useful = float(np.prod(largest.block) / np.prod(largest.grid))
        best[_BOUND] = useful * _BANDWIDTH / sum(BYTES.values())
    return best


def cost_table(rates: dict[str, float], iterations: int) -> str:
    """Tell how long 1 TB takes on 1, 8 and 64 devices, and how fast a file is read by these."""
    header = ["device", "Mvoxel·iterations/s", "on 1", "on 8", "on 64", "64 read"]
    rows = []
    for name, rate in rates.items():
        hours = _LARGE * iterations / rate / 3600
        times = [_duration(hours / devices) for devices in (1, 8, 64)]
        read = 64 * 2 * rate / iterations / 1e9
        rows.append([name, f"{rate / 1e6:.0f}", *times, f"{read:.3g} GB/s"])
    return markdown_table(header, rows)


def _duration(hours: float) -> str:
    if hours > 72:
        return f"{hours / 24:.0f} days"
    if hours > 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if 60 * hours > 1 else f"{3600 * hours:.0f} s"


def page(speeds: Sequence[Speed], scaling: Sequence[float], volume: Volume, limit: float) -> str:
    """Write the page of the documentation."""
    described = "; ".join(f"{name}: {value}" for name, value in describe_machine().items())
    gigabytes = 2 * np.prod(volume.shape) / _GIB
    one, two = scaling
    return f"""# Speed of blocks

Made by `python -m benchmarks.blocks --docs docs`. Richardson–Lucy with heavy-ball acceleration, a
light-sheet PSF of {size(light_sheet_psf().data.shape)} voxels, images of 16 bits in OME-Zarr.

## A volume larger than the memory it may take

{size(volume.shape)} voxels, {gigabytes:.3g} GiB, {volume.iterations} iterations, {limit / _GIB:.3g}
GiB for the process: {volume.blocks} tiles of {size(volume.block)} voxels.

- **The process held {volume.peak / _GIB:.2f} GiB at most**, Python and all libraries included.
- It was killed after {volume.killed_after} tiles and resumed: {volume.kept} tiles were not computed
  again. {_PROVED} tiles of the file, computed once more, had the same bits.
- Both runs took {volume.seconds / 60:.1f} minutes, with reading, writing and the pyramid. The plan
  had told {volume.planned / 60:.1f} minutes without the disk. Before the first tile the volume is
  read once, in {volume.prepared:.0f} s: in each run.

## Size of tiles

A tile inside a larger image, with all that it sees around it; the tile's own voxels count, not its
overlap. The processes that measure it, one its time and one its memory, are new and have done it
once before. Memory is what a process holds above what it held then, that of a GPU not counted.
What it keeps besides, up to 0.1 GB of kernels and of small arrays that were freed, is in the 0.4 GB
that a limit leaves to it.

{tiles_table(speeds)}

## Workers

{size(_SCALING)} voxels in tiles of {size(_SCALING_BLOCK)}, into a file, by worker processes of one
thread each: {one:.1f} s with one, {two:.1f} s with two, {one / two:.2f} times as fast.

## What 1 TB costs, on paper

1 TB of 16 bits is {_LARGE / 1e9:.0f} Gvoxel. At {volume.iterations} iterations

    hours = voxels × iterations / (rate × devices) / 3600

with the best rate above for one device, if devices do not wait for each other or for the disk. The
result, of 32 bits, is written at twice the rate at which the image is read.

{cost_table(rates(speeds), volume.iterations)}

The bound is not a measurement: {sum(BYTES.values())} bytes are moved for each voxel of the grid and
iteration at {_BANDWIDTH / 1e9:.0f} GB/s, and nothing else takes time. A GPU that this runs on gets
a row of its own above.

{described}.
"""


def _measure_tiles(volume: Path, shape: Shape, iterations: int) -> list[Speed]:
    tiles = [
        tile for tile in _TILES if all(2 * b <= n for b, n in zip(tile[1:], shape[1:], strict=True))
    ]
    speeds = []
    for device in list_devices():
        for tile in tiles:
            speeds.append(measure_tile(volume, tile, device.key, device.name, iterations))
            click.echo(tiles_table(speeds[-1:]).splitlines()[-1])
    return speeds


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where there is room: 20 GB.")
@click.option("--shape", default=_VOLUME, type=(int, int, int), help="Voxels z y x of the volume.")
@click.option("--iterations", default=10, help="Of all measurements.")
def main(docs: Path | None, folder: Path | None, shape: Shape, iterations: int) -> None:
    """Measure tiles, workers, and a volume larger than the memory that it may take."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary)
        make_volume(path / "volume.ome.zarr", shape)
        speeds = _measure_tiles(path / "volume.ome.zarr", shape, iterations)
        scaling = [measure_scaling(path, workers, iterations) for workers in (1, 2)]
        click.echo(f"One worker {scaling[0]:.1f} s, two {scaling[1]:.1f} s")
        volume = measure_volume(path, shape, iterations, _LIMIT)
    text = page(speeds, scaling, volume, _LIMIT)
    click.echo(text)
    if docs is not None:
        (docs / "blocks-speed.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
