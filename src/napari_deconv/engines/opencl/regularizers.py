"""Penalties in the Richardson–Lucy step, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_deconv.engines.opencl.device import Kernels, sizes, stride
from napari_deconv.engines.protocol import (
    ROUGHNESS_EPSILON,
    TV_EPSILON,
    UPDATE_THRESHOLD,
    Array,
)

__all__ = ["Regularizers"]


class Regularizers(Kernels):
    """Penalties in the Richardson–Lucy step; differences are periodic."""

    def total_variation(
        self,
        estimate: Array,
        spacing: Sequence[float],
        weight: float,
        flatness: float,
        normalization: Array,
        out: Array,
    ) -> None:
        self.launch(
            "regularizers", "total_variation", out.size, x=estimate,
            **_parameters(spacing, weight, normalization, out), flatness=float(flatness),
            epsilon=TV_EPSILON,
        )  # fmt: skip

    def tikhonov(
        self,
        estimate: Array,
        spacing: Sequence[float],
        weight: float,
        correction: Array,
        normalization: Array,
        out: Array,
    ) -> None:
        self.launch(
            "regularizers", "tikhonov", out.size, x=estimate, correction=correction,
            **_parameters(spacing, weight, normalization, out),
        )  # fmt: skip

    def roughness(
        self,
        estimate: Array,
        spacing: Sequence[float],
        weight: float,
        correction: Array,
        normalization: Array,
        out: Array,
    ) -> None:
        self.launch(
            "regularizers", "roughness", out.size, x=estimate, correction=correction,
            **_parameters(spacing, weight, normalization, out), epsilon=ROUGHNESS_EPSILON,
        )  # fmt: skip


def _parameters(
    spacing: Sequence[float], weight: float, normalization: Array, out: Array
) -> dict[str, Any]:
    dz, dy, dx = (float(step) for step in spacing)
    return {
        "normalization": normalization, "normalization_stride": stride(normalization), "out": out,
        "dz": dz, "dy": dy, "dx": dx, "weight": float(weight), "threshold": UPDATE_THRESHOLD,
        **sizes("n", out),
    }  # fmt: skip
