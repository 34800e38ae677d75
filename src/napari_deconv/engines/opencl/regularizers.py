"""Regularised divisors on the device."""

from __future__ import annotations

from napari_deconv.engines.opencl.device import Kernels, sizes, stride
from napari_deconv.engines.protocol import TV_EPSILON, UPDATE_THRESHOLD, Array

__all__ = ["Regularizers"]


class Regularizers(Kernels):
    """What Richardson–Lucy divides by where it is regularised; differences are periodic."""

    def total_variation(
        self,
        estimate: Array,
        spacing: tuple[float, ...],
        weight: float,
        normalization: Array,
        out: Array,
    ) -> None:
        dz, dy, dx = (float(step) for step in spacing)
        self.launch(
            "total_variation", "regularized_normalization", out.size, x=estimate,
            normalization=normalization, normalization_stride=stride(normalization), out=out,
            dz=dz, dy=dy, dx=dx, weight=float(weight), epsilon=TV_EPSILON,
            threshold=UPDATE_THRESHOLD, **sizes("n", out),
        )  # fmt: skip
