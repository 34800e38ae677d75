"""OME-TIFF out, block by block."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_deconv.files.image import Image
from napari_deconv.files.journal import flush
from napari_deconv.files.layout import Layout
from napari_deconv.files.tiff import ome_metadata, suitable
from napari_deconv.files.zarr_target import Compute

__all__ = ["TiffTarget"]


@dataclass(frozen=True)
class TiffTarget:
    """An OME-TIFF, uncompressed, its planes one after the other; BigTIFF where it is large.

    Attributes
    ----------
    store : Path
        The file.
    image : Image
        What is to be said about it; its data are of size 0.
    layout : Layout
        How it is cut into blocks.
    """

    store: Path
    image: Image
    layout: Layout

    def create(self) -> None:
        """Make the file, its voxels unwritten."""
        with suitable(self.layout.dtype, self.image.axes):
            tifffile.imwrite(
                self.store, shape=self.layout.shape, dtype=self.layout.dtype, ome=True,
                photometric="minisblack", metadata=ome_metadata(self.image),
            )  # fmt: skip

    def write(self, region: tuple[slice, ...], block: npt.NDArray[Any]) -> None:
        """Write a block row by row, and wait until it is on the disk."""
        with tifffile.TiffFile(self.store) as tif:
            start = tif.pages.first.dataoffsets[0]
            rows = np.ascontiguousarray(block, block.dtype.newbyteorder(tif.byteorder))
        shape = self.layout.shape
        steps = [block.itemsize * math.prod(shape[n + 1 :]) for n in range(len(shape))]
        corner = start + sum(part.start * step for part, step in zip(region, steps, strict=True))
        with self.store.open("r+b") as file:
            for row in np.ndindex(rows.shape[:-1]):
                file.seek(corner + sum(n * step for n, step in zip(row, steps, strict=False)))
                file.write(rows[row].data)
            file.flush()
            os.fsync(file.fileno())

    def complete(
        self, metadata: dict[str, Any], limits: list[tuple[float, float]], compute: Compute
    ) -> None:
        """Describe the image anew, now with what is to be stored with it."""
        shape = self.layout.shape
        xml = tifffile.OmeXml()
        xml.addimage(
            self.layout.dtype, shape, (math.prod(shape[:-2]), 1, 1, *shape[-2:], 1),
            **ome_metadata(replace(self.image, metadata=metadata)),
        )  # fmt: skip
        tifffile.tiffcomment(self.store, xml.tostring().encode())
        flush(self.store)
