"""Images that are cut into tiles, and how far a tiled result is from the whole one."""

from __future__ import annotations

import numpy as np

from napari_deconv import deconvolve, sample_data
from napari_deconv.blocks import deconvolve_blocks

BOUND = 1e-3
"""Of the maximum: what tiles may differ by, away from the outer border."""


def bars(engine="cpu"):
    """A confocal image whose PSF is small beside it."""
    return sample_data.bars_confocal((16, 96, 96), engine=engine)


def cells():
    """Widefield cells, 64 × 512 × 128, and their PSF, as wide as the image."""
    sample = sample_data.cells_widefield((32, 128, 128), engine="cpu")
    image = np.concatenate([sample.image, sample.image[::-1]])
    return np.concatenate([image, image[:, ::-1]] * 2, 1), sample.psf


def seam(image, psf, block, margin, **options):
    """Largest difference between tiles and the whole away from the border, of the maximum."""
    whole = deconvolve(image, psf, **options).image
    tiled = deconvolve_blocks(image, psf, block=block, **options)
    assert tiled.npartitions > 1
    inside = tuple(slice(edge, n - edge) for edge, n in zip(margin, image.shape, strict=True))
    return np.abs(tiled.compute() - whole)[inside].max() / whole.max()
