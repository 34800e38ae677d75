"""Steps down a least-squares functional, on the device."""

from __future__ import annotations

from napari_deconv.engines.opencl.device import Kernels, sizes, stride
from napari_deconv.engines.protocol import UPDATE_THRESHOLD, Array

__all__ = ["Descent"]


class Descent(Kernels):
    """Steps with bounds, and the Laplacian; its differences are periodic."""

    def descend(
        self, correction: Array, guess: Array, step: float, normalization: Array, lowest: float
    ) -> None:
        self.launch(
            "descent", "descend", correction.size, correction=correction, guess=guess,
            step=float(step), normalization=normalization,
            normalization_stride=stride(normalization), threshold=UPDATE_THRESHOLD,
            lowest=float(lowest), n=int(correction.size),
        )  # fmt: skip

    def restrict(self, uphill: Array, estimate: Array, normalization: Array) -> None:
        self.launch(
            "descent", "restrict_to_bounds", uphill.size, uphill=uphill, estimate=estimate,
            normalization=normalization, normalization_stride=stride(normalization),
            threshold=UPDATE_THRESHOLD, n=int(uphill.size),
        )  # fmt: skip

    def laplacian(self, image: Array, spacing: tuple[float, ...], out: Array) -> None:
        wz, wy, wx = (float(1 / step**2) for step in spacing)
        self.launch(
            "descent", "laplacian", out.size, image=image, out=out, wz=wz, wy=wy, wx=wx,
            **sizes("n", out),
        )  # fmt: skip
