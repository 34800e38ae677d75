"""Files that are written block by block, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_deconv.files import Image
from napari_deconv.files.blockwise import BlockFile

RNG = np.random.default_rng(0)
DATA = RNG.normal(100, 20, (2, 20, 300, 290)).astype(np.float32)
BLOCKS = (1, 8, 128, 145)
RECORD = {"operation": "deconvolve", "parameters": {"note": 'µ "é"', "n": [1, None, 2.5]}}
FORMATS = [("a.ome.zarr", "0.5"), ("a.ome.zarr", "0.4"), ("a.ome.tif", "0.5")]


def described(data=DATA, axes="CZYX", **more):
    more = {"channels": ("DAPI", "GFP"), "colours": ("FF0000", "00FF80"), "name": "cells"} | more
    return Image(data, (0.3, 0.1, 0.11)[-2 - ("Z" in axes) :], axes, **more)


def start(path, ngff="0.5", *, data=DATA, blocks=BLOCKS, resume=False, fingerprint="x", **more):
    return BlockFile.open(
        path, described(data, **more), data.dtype, blocks,
        fingerprint=fingerprint, resume=resume, ngff=ngff,
    )  # fmt: skip


def write_all(file, data=DATA):
    for origin in set(file.layout.origins) - file.done:
        file.write(origin, data[file.layout.region(origin)])


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }
