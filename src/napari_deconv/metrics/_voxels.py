"""Voxel sizes that are needed."""

from __future__ import annotations

from collections.abc import Sequence

from napari_deconv._checks import check_spacing
from napari_deconv.errors import DeconvError

__all__ = ["voxel_size"]


def voxel_size(spacing: float | Sequence[float] | None, ndim: int) -> tuple[float, ...]:
    """Take a voxel size as `check_spacing` does; it has to be given."""
    voxel = check_spacing(spacing, ndim)
    if voxel is None:
        raise DeconvError("The image has no voxel size: give it in µm.")
    return voxel
