"""A deconvolution in tiles, before any tile is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from napari_deconv.blocks.region import Survey

__all__ = ["BlockDeconvolution"]

_FOUND = ("iterations", "background", "scale", "light", "gain", "offset", "weight")


@dataclass(frozen=True, eq=False)
class BlockDeconvolution:
    """What `prepare_blocks` gives back: an image to be computed, and what was found for it.

    Attributes
    ----------
    image : dask.array.Array
        The lazy image, as `deconvolve_blocks` gives it.
    tiles : dask.array.Array
        What `write_blocks` computes: the same, each chunk with how well the model explains it.
    surveys : dict
        What holds for all tiles of a volume, by its index on the axes in front: iterations,
        background, scale, mean light, gain, offset, weight.
    weights : dict of str to float
        What the rule for an automatic weight found: ``"gcv"`` of a direct filter, ``"tv"`` of total
        variation. Of the first volume of a series; empty where none was needed.
    recipe : dict
        Parameters, version and device, in plain values, and how the preparation went.
    fingerprint : str
        A number of all that the voxels depend on: image, PSF, parameters, what was found, and how
        it is cut into tiles. Not of the device.
    """

    image: da.Array
    tiles: da.Array
    surveys: Mapping[tuple[int, ...], Survey]
    weights: dict[str, float]
    recipe: dict[str, Any]
    fingerprint: str

    @property
    def iterations(self) -> int:
        """Steps that each tile takes; the most of any volume of a series."""
        return int(np.max(self._numbers("iterations")))

    @property
    def stop_reason(self) -> str:
        """Why it will end then."""
        reasons = (self.surveys[frame].stop_reason for frame in sorted(self.surveys))
        return "; ".join(dict.fromkeys(reasons))

    @property
    def background(self) -> Any:
        """What is taken as background, a number for each volume; NaN if an array was given."""
        return self._numbers("background")

    @property
    def gain(self) -> Any:
        """Grey values a photon, a number for each volume; NaN where photons are not counted."""
        return self._numbers("gain")

    @property
    def found(self) -> dict[str, Any]:
        """Numbers of `surveys` in plain values, for series lists; what is not known is left out."""
        numbers = {name: self._numbers(name) for name in _FOUND}
        return {name: n.tolist() for name, n in numbers.items() if n.size and np.isfinite(n).all()}

    def _numbers(self, name: str) -> Any:
        frames = sorted(self.surveys)
        values = np.array([getattr(self.surveys[frame], name) for frame in frames])
        return values.reshape((*self.image.shape[: len(frames[0])], *values.shape[1:]))[()]
