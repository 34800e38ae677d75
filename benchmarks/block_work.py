"""What the benchmark of blocks does in processes of its own, so that their memory can be told.

``python -m benchmarks.block_work NAME JSON`` prints a line of JSON for each step.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import psutil

from napari_deconv import DeconvWarning, make_psf, set_limits
from napari_deconv.blocks import (
    BlockPlan,
    begun_blocks,
    deconvolve_blocks,
    plan_blocks,
    prepare_blocks,
    write_blocks,
)
from napari_deconv.blocks.turn import forget_models
from napari_deconv.files import Image, open_image
from napari_deconv.files.blockwise import write_in_blocks
from napari_deconv.psf import Psf
from napari_deconv.sample_data import cells_widefield

__all__ = ["SPACING", "in_own_process", "light_sheet_psf", "make_volume"]

Shape = tuple[int, ...]

SPACING = (0.4, 0.16, 0.16)
_PSF_SHAPE = (31, 31, 31)
_CELLS = (32, 256, 256)


def light_sheet_psf() -> Psf:
    """Make the PSF of all measurements: NA 1.0 in water, lit by a sheet of 3 µm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)  # the window cuts off a little
        return make_psf(
            "vectorial", shape=_PSF_SHAPE, spacing=SPACING, na=1.0, wavelength=0.52,
            n_immersion=1.33, modality="light_sheet", excitation=0.488, illumination_na=0.1,
            engine="cpu",
        )  # fmt: skip


def make_volume(path: Path, shape: Shape) -> None:
    """Write an OME-Zarr of 16 bits: the sample's cells, over and over, mirrored at each border.

    Parameters
    ----------
    path : Path
        File to write; it is never in memory as a whole.
    shape : tuple of int
        Voxels (z, y, x).
    """
    cells = cells_widefield(_CELLS, engine="cpu").image
    chunks = da.core.normalize_chunks(tuple(map(min, _CELLS, shape)), shape)
    none = np.empty((0, 0, 0), np.uint16)
    volume = da.map_blocks(_mirrored, cells, chunks, chunks=chunks, meta=none)
    write_in_blocks(path, Image(volume, SPACING, "ZYX"))


def _mirrored(
    cells: npt.NDArray[np.uint16], chunks: tuple[Shape, ...], block_id: Shape = ()
) -> npt.NDArray[np.uint16]:
    there = tuple(slice(None, None, -1 if number % 2 else 1) for number in block_id)
    size = tuple(slice(sizes[n]) for sizes, n in zip(chunks, block_id, strict=True))
    return cells[there][size]


def tile(volume: str, block: list[int], engine: str, iterations: int) -> Iterator[dict[str, Any]]:
    """Measure how long one tile takes that has others on all sides, once warm."""
    plan, middle = _tile(volume, block, engine, iterations)
    middle.compute(scheduler="synchronous")
    started = time.perf_counter()
    middle.compute(scheduler="synchronous")
    yield {
        "block": middle.shape, "grid": plan.grid, "seconds": time.perf_counter() - started,
    }  # fmt: skip


def memory_of_tile(
    volume: str, block: list[int], engine: str, iterations: int
) -> Iterator[dict[str, Any]]:
    """Measure the peak memory of the same tile, kernels and plans not counted.

    The C library has to give back at once what is freed, see `_ENVIRONMENT`; that takes time.
    """
    plan, middle = _tile(volume, block, engine, iterations)
    middle.compute(scheduler="synchronous")  # makes kernels and plans
    forget_models()  # a tile's OTF is part of its memory
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = psutil.Process().memory_info().rss
    forget_peak()
    middle.compute(scheduler="synchronous")
    # A GPU's own memory is not the process's.
    predicted = plan.memory.host or plan.memory.device
    yield {"predicted": predicted, "peak": peak_memory() - before}


def _tile(
    volume: str, block: list[int], engine: str, iterations: int
) -> tuple[BlockPlan, da.Array]:
    """Plan a volume, and give its second tile along each axis."""
    data, psf = open_image(volume).data, light_sheet_psf()
    options: dict[str, Any] = {
        "block": tuple(map(min, block, data.shape)), "iterations": iterations, "engine": engine,
        "spacing": SPACING,
    }  # fmt: skip
    overlap = plan_blocks(data, psf, **options).overlap
    around = (slice(2 * b + o) for b, o in zip(options["block"], overlap, strict=True))
    data = data[tuple(around)]
    plan, result = plan_blocks(data, psf, **options), deconvolve_blocks(data, psf, **options)
    return plan, result.blocks[tuple(min(1, n - 1) for n in result.numblocks)]


def deconvolve(
    volume: str, output: str, iterations: int, memory: float, *, resume: bool
) -> Iterator[dict[str, Any]]:
    """Deconvolve a volume into a file within a memory limit; tells of each block and the end."""
    set_limits(memory=memory)
    started = time.perf_counter()
    image, psf = open_image(volume), light_sheet_psf()
    options: dict[str, Any] = {
        "block": begun_blocks(output) if resume else None, "iterations": iterations,
        "spacing": SPACING, "engine": "cpu",
    }  # fmt: skip
    planned = plan_blocks(image.data, psf, **options).seconds()
    planning = time.perf_counter()
    result = prepare_blocks(image.data, psf, **options)
    prepared = time.perf_counter() - planning
    told = -1

    def tell(progress: Any) -> None:
        nonlocal told
        if progress.iteration > told:  # it is called after each iteration of a block, too
            told = progress.iteration
            _print({"done": told, "blocks": progress.iterations, "peak": peak_memory()})

    yield {
        "blocks": result.image.npartitions, "block": result.image.chunksize, "planned": planned,
        "prepared": prepared,
    }  # fmt: skip
    write_blocks(output, result, image, resume=resume, callback=tell)
    yield {"seconds": time.perf_counter() - started, "peak": peak_memory()}


def peak_memory() -> int:
    """Most bytes that this process held since it began or `forget_peak` was called."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def forget_peak() -> None:
    """Begin to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def in_own_process(name: str, **arguments: Any) -> subprocess.Popen[str]:
    """Begin one of `_TASKS` in a new process; its standard output has a line for each step.

    Its standard output is closed, and the process waited for, at the end of a ``with``.
    """
    command = [sys.executable, "-m", "benchmarks.block_work", name, json.dumps(arguments)]
    environment = {**os.environ, **_ENVIRONMENT.get(name, {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _print(step: dict[str, Any]) -> None:
    print(json.dumps(step), flush=True)


# glibc keeps freed arrays of up to 32 MB, some 0.1 GB in all: they are not a tile's.
_ENVIRONMENT = {"memory_of_tile": {"MALLOC_MMAP_THRESHOLD_": str(2**20)}}

_TASKS: dict[str, Callable[..., Iterator[dict[str, Any]]]] = {
    "tile": tile,
    "memory_of_tile": memory_of_tile,
    "deconvolve": deconvolve,
}

if __name__ == "__main__":
    for each in _TASKS[sys.argv[1]](**json.loads(sys.argv[2])):
        _print(each)
