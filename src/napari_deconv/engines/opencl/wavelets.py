"""Undecimated Haar wavelets on the device."""

from __future__ import annotations

from napari_deconv.engines.opencl.device import Kernels, sizes, stride
from napari_deconv.engines.protocol import Array, Shape

__all__ = ["Wavelets"]


class Wavelets(Kernels):
    """One level at a time, on a periodic grid."""

    def haar_average(self, image: Array, steps: Shape, out: Array) -> None:
        sz, sy, sx = steps
        self.launch(
            "wavelets", "haar_average", out.size, image=image, out=out, sz=sz, sy=sy, sx=sx,
            **sizes("n", out),
        )  # fmt: skip

    def haar_change(
        self, image: Array, steps: Shape, threshold: float, coarse: Array, out: Array
    ) -> None:
        sz, sy, sx = steps
        self.launch(
            "wavelets", "haar_change", out.size, image=image, coarse=coarse,
            coarse_stride=stride(coarse), threshold=float(threshold), out=out,
            sz=sz, sy=sy, sx=sx, **sizes("n", out),
        )  # fmt: skip
