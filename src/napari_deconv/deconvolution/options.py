"""What is to be done, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv.deconvolution.methods import METHODS, Method
from napari_deconv.deconvolution.volume import ARRAYS, Problem
from napari_deconv.engines import Engine

__all__ = ["Options"]


# Arrays of the grid's size beyond those of Richardson–Lucy.
_MORE_ARRAYS = {"fista": 3, "ictm": 4, "gradient_consensus": 3, "blind": 5}


@dataclass(frozen=True)
class Options:
    """Everything but the image and what lies on its voxels: see `napari_deconv.deconvolve`.

    PSFs are (z, y, x), of sum 1 and one shape; spacing (z, y, x) and depths are in one unit.
    ``weight`` is NaN where a rule is to find it.
    """

    method: str
    iterations: int
    boundary: str
    acceleration: str | None
    levels: int
    regularization: str | None
    weight: float
    damping: float
    read_noise: float | None
    stop: str | None
    gain: float | None
    offset: float | None
    keep_every: int | None
    symmetric_psf: bool
    psfs: tuple[npt.NDArray[np.float32], ...]
    depths: tuple[float, ...]
    spacing: tuple[float, ...]
    engine: Engine

    def problem(
        self,
        image: npt.NDArray[Any],
        background: npt.ArrayLike,
        mask: npt.NDArray[np.bool_] | None,
        start: Sequence[int] = (0, 0, 0),
    ) -> Problem:
        """Make a problem of an image (z, y, x) or (y, x), and of what lies on its voxels.

        The background is one number, or an array of the image's shape; `start` is the image's first
        voxel in the volume that it is a part of.
        """
        level = np.asarray(background)
        return Problem(
            as_volume(image),
            level.reshape(1, 1, 1) if level.size == 1 else as_volume(level),
            None if mask is None else as_volume(mask),
            self.psfs,
            self.depths,
            self.spacing,
            self.boundary,
            (0,) * (3 - len(start)) + tuple(start),
        )

    @property
    def kind(self) -> Method:
        """The method's entry in `METHODS`."""
        return METHODS[self.method]

    @property
    def arrays(self) -> int:
        """How many arrays of the padded grid's size it takes, more PSFs than one left out."""
        more = (
            2 * (self.acceleration in ("biggs", "wiener_butterworth")),
            self.regularization is not None,
            self.regularization == "tv" and isnan(self.weight),
            2 * (self.stop == "consensus"),
            _MORE_ARRAYS.get(self.method, 0),
        )
        return ARRAYS + sum(more)

    @property
    def counts_photons(self) -> bool:
        """Whether one has to know what one photon is."""
        asked = self.gain is not None or self.stop in ("discrepancy", "consensus")
        return asked or self.fits_photons

    @property
    def fits_photons(self) -> bool:
        """Whether the data have to be photons, the camera's offset taken off."""
        noise = self.damping > 0 or self.read_noise is not None
        return noise or self.kind.counts_photons
