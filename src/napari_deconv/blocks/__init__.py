"""Images larger than memory: tiles with overlap, computed when they are asked for."""

from __future__ import annotations

from napari_deconv.blocks.cluster import use_cluster
from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.result import BlockDeconvolution
from napari_deconv.blocks.storing import begun_blocks, write_blocks
from napari_deconv.blocks.tiles import deconvolve_blocks, plan_blocks, prepare_blocks

__all__ = [
    "BlockDeconvolution", "BlockPlan", "begun_blocks", "deconvolve_blocks", "plan_blocks",
    "prepare_blocks", "use_cluster", "write_blocks",
]  # fmt: skip
