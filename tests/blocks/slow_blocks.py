"""Blocks that take a moment, and a file that notes each write: to see what a cluster does."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from scipy import ndimage

from napari_deconv.errors import DeconvError, DeconvWarning

SHAPE, BLOCK = (48, 64), (8, 16)
COUNT = 24


@dataclass(frozen=True)
class Folder:
    """Has what `store_blocks` needs of a `BlockFile`; each block is a file of its own."""

    path: Path

    @property
    def done(self):
        return {tuple(map(int, file.stem.split("-"))) for file in self.path.glob("*.npy")}

    def write(self, origin, block):
        name = "-".join(map(str, origin))
        note(self.path / "writes", name)
        temporary = self.path / f"{name}.part"
        with temporary.open("wb") as file:
            np.save(file, block)
        temporary.replace(self.path / f"{name}.npy")

    @property
    def writes(self):
        return Counter((self.path / "writes").read_text().split())

    def read(self):
        whole = np.full(SHAPE, np.nan, np.float32)
        for origin in self.done:
            block = np.load(self.path / f"{'-'.join(map(str, origin))}.npy")
            whole[tuple(slice(o, o + n) for o, n in zip(origin, block.shape, strict=True))] = block
        return whole


class Kernel:
    """Stands for a PSF; notes when it is unpacked."""

    def __init__(self, weights, log):
        self.weights, self.log = weights, log

    def __reduce__(self):
        return _unpacked, (self.weights, self.log)


def _unpacked(weights, log):
    note(log, str(os.getpid()))
    return Kernel(weights, log)


def note(log, line):
    with log.open("a") as file:
        file.write(f"{line}\n")


def image():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def smoothed(folder, seconds=0.0):
    """A lazy result; its kernel notes in `folder` where it is unpacked."""
    kernel = dask.delayed(Kernel(np.full((3, 3), 1 / 9, np.float32), folder / "unpacked"))
    return da.from_array(image(), chunks=BLOCK).map_blocks(
        _smooth, kernel, seconds, dtype=np.float32
    )


def _smooth(block, kernel, seconds):
    time.sleep(seconds)
    return ndimage.convolve(block, kernel.weights)


def expected():
    whole = np.empty(SHAPE, np.float32)
    for tile in np.ndindex(6, 4):
        here = tuple(slice(i * n, (i + 1) * n) for i, n in zip(tile, BLOCK, strict=True))
        whole[here] = ndimage.convolve(image()[here], np.full((3, 3), 1 / 9, np.float32))
    return whole


def troubled(what, folder):
    """A lazy result with trouble in its blocks."""
    meta = np.empty((0, 0), np.float32)  # else Dask tries it out
    return da.from_array(image(), chunks=BLOCK).map_blocks(what, folder, meta=meta)


def fails(block, folder):
    note(folder / "tries", "again")
    raise DeconvError("Cannot be deconvolved: take another.")


def dies(block, folder):
    os._exit(1)


def warns(block, folder):
    warnings.warn("Smaller tiles.", DeconvWarning, stacklevel=1)
    return block
