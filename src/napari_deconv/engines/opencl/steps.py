"""What solvers do with voxels between two transforms, and sums over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.engines.opencl.device import Kernels, stride
from napari_deconv.engines.protocol import UPDATE_THRESHOLD, Array

__all__ = ["Steps"]

_PARTIAL_SUMS = 8192


class Steps(Kernels):
    """Elementwise steps in place, one kernel each; sums in blocks, added in double precision."""

    # -- light: where the data are -----------------------------------------------------------
    def ratio(self, light: Array, data: Array, background: Array, floor: float) -> None:
        self.launch(
            "richardson_lucy", "ratio", light.size, light=light, data=data, background=background,
            background_stride=stride(background), floor_value=float(floor), n=int(light.size),
        )  # fmt: skip

    def damped_ratio(
        self,
        light: Array,
        data: Array,
        background: Array,
        mask: Array,
        floor: float,
        threshold: float,
    ) -> None:
        self.launch(
            "likelihoods", "damped_ratio", light.size, light=light, data=data,
            background=background, background_stride=stride(background), mask=mask,
            mask_stride=stride(mask), floor_value=float(floor), threshold=float(threshold),
            n=int(light.size),
        )  # fmt: skip

    def stabilized_ratio(
        self, light: Array, data: Array, background: Array, mask: Array, offset: float
    ) -> None:
        self.launch(
            "likelihoods", "stabilized_ratio", light.size, light=light, data=data,
            background=background, background_stride=stride(background), mask=mask,
            mask_stride=stride(mask), offset=float(offset), n=int(light.size),
        )  # fmt: skip

    def residual(self, light: Array, data: Array, background: Array, mask: Array) -> None:
        self.launch(
            "elementwise", "residual", light.size, light=light, data=data, background=background,
            background_stride=stride(background), mask=mask, mask_stride=stride(mask),
            n=int(light.size),
        )  # fmt: skip

    def split_photons(
        self, data: Array, photon: float, offset: float, seed: int, first: Array, second: Array
    ) -> None:
        self.launch(
            "gradient_consensus", "split_photons", data.size, data=data, photon=float(photon),
            offset=float(offset), seed=int(seed), first=first, second=second, n=int(data.size),
        )  # fmt: skip

    # -- estimates: on the grid --------------------------------------------------------------
    def update(self, correction: Array, guess: Array, divisor: Array) -> None:
        self.launch(
            "richardson_lucy", "update", correction.size, correction=correction, guess=guess,
            divisor=divisor, divisor_stride=stride(divisor), threshold=UPDATE_THRESHOLD,
            n=int(correction.size),
        )  # fmt: skip

    def update_with_momentum(
        self,
        correction: Array,
        guess: Array,
        divisor: Array,
        previous: Array,
        step: float,
        floor: float,
    ) -> None:
        self.launch(
            "richardson_lucy", "update_with_momentum", correction.size, correction=correction,
            guess=guess, divisor=divisor, divisor_stride=stride(divisor),
            threshold=UPDATE_THRESHOLD, previous=previous, alpha=float(step),
            floor_part=float(floor), n=int(correction.size),
        )  # fmt: skip

    def agreement(self, first: Array, second: Array, normalization: Array, out: Array) -> None:
        self.launch(
            "gradient_consensus", "agreement", out.size, first=first, second=second,
            normalization=normalization, normalization_stride=stride(normalization),
            threshold=UPDATE_THRESHOLD, out=out, n=int(out.size),
        )  # fmt: skip

    def update_where_agreed(
        self,
        first: Array,
        second: Array,
        estimate: Array,
        normalization: Array,
        agreement: Array,
    ) -> None:
        self.launch(
            "gradient_consensus", "update_where_agreed", first.size, first=first, second=second,
            estimate=estimate, normalization=normalization,
            normalization_stride=stride(normalization), threshold=UPDATE_THRESHOLD,
            agreement=agreement, n=int(first.size),
        )  # fmt: skip

    def extrapolate(
        self, current: Array, previous: Array, step: float, floor: float, out: Array
    ) -> None:
        self.launch(
            "richardson_lucy", "extrapolate", out.size, current=current, previous=previous,
            out=out, alpha=float(step), floor_part=float(floor), n=int(out.size),
        )  # fmt: skip

    def combine(self, first: Array, a: float, second: Array, b: float, out: Array) -> None:
        self.launch(
            "elementwise", "combine", out.size, first=first, a=float(a), second=second, b=float(b),
            out=out, n=int(out.size),
        )  # fmt: skip

    def clip(self, array: Array, floor: float = 0.0) -> None:
        self.launch(
            "elementwise", "clip", array.size, array=array, floor_value=float(floor),
            n=int(array.size),
        )  # fmt: skip

    # -- reductions ----------------------------------------------------------------------------
    def _partial(self, kernel: str, items: int, /, **parameters: Any) -> npt.NDArray[np.float32]:
        """Share voxels out among work items, and give what each of them found."""
        workers = min(items, _PARTIAL_SUMS)
        share = -(-items // workers)
        # A GPU reads at once what lies side by side: work items take turns. On a CPU each has a
        # stretch of its own, where what follows is read ahead.
        apart, step = (share, 1) if self.device.kind == "CPU" else (1, workers)
        partial = self.empty((1, 1, workers))
        self.launch(
            "reductions", kernel, workers, out=partial, workers=workers, share=share, apart=apart,
            step=step, n=items, **parameters,
        )  # fmt: skip
        found: npt.NDArray[np.float32] = partial.get()
        return found

    def _total(self, kernel: str, items: int, /, **parameters: Any) -> float:
        return float(np.sum(self._partial(kernel, items, **parameters), dtype=np.float64))

    def sum(self, array: Array) -> float:
        return self._total("sum", int(array.size), array=array)

    def dot(self, first: Array, second: Array) -> float:
        return self._total("dot_product", int(first.size), first=first, second=second)

    def divergence(
        self, light: Array, data: Array, background: Array, mask: Array, floor: float
    ) -> float:
        return self._total(
            "i_divergence", int(data.size), light=light, data=data, background=background,
            background_stride=stride(background), mask=mask, mask_stride=stride(mask),
            floor_value=float(floor),
        )  # fmt: skip

    def largest_change(self, first: Array, second: Array) -> float:
        found = self._partial("largest_change", int(first.size), first=first, second=second)
        return float(np.max(found))
