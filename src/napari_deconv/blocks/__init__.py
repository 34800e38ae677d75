"""Images larger than memory: tiles with overlap, computed when they are asked for."""

from __future__ import annotations

from napari_deconv.blocks.plan import BlockPlan
from napari_deconv.blocks.tiles import deconvolve_blocks, plan_blocks

__all__ = ["BlockPlan", "deconvolve_blocks", "plan_blocks"]
