"""The PSF or PSFs of a deconvolution, made fit for its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import as_volume
from napari_deconv.errors import DeconvError
from napari_deconv.forward import check_depths
from napari_deconv.psf.prepare import crop_to_support, prepare_psf
from napari_deconv.psf.psf import Psf

__all__ = ["PointSpread", "prepare_psfs"]

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PointSpread:
    """What is known of how a point is blurred.

    Attributes
    ----------
    psfs : list of ndarray of float32
        One, or one for each depth, all of one shape.
    depths : tuple of float
        Where each one holds, in µm from the image's first plane.
    spacing : tuple of float or None
        Voxel size in µm where it is known.
    used : Psf or ndarray
        The PSF, or the stack of them, to give back with the result.
    """

    psfs: list[Float]
    depths: tuple[float, ...]
    spacing: tuple[float, ...] | None
    used: Psf | Float

    @property
    def ndim(self) -> int:
        """Axes that are space."""
        return self.psfs[0].ndim

    @property
    def settings(self) -> dict[str, Any]:
        """What `Options` holds of it: volumes (z, y, x), and a voxel size of 1 if it is unknown."""
        return {
            "psfs": tuple(as_volume(each) for each in self.psfs),
            "depths": self.depths,
            "spacing": (1.0,) * (3 - self.ndim) + (self.spacing or (1.0,) * self.ndim),
        }


def prepare_psfs(
    psf: Psf | npt.ArrayLike | Sequence[Psf],
    image_ndim: int,
    spacing: float | Sequence[float] | None,
    centre: bool,
    depths: Sequence[float] | None,
    boundary: str,
) -> PointSpread:
    """Prepare one PSF, or with `depths` several, for an image.

    On a grid with margins they are cropped to the box that holds 99.9 % of them.

    Raises
    ------
    DeconvError
        If a PSF is unusable, or depths and PSFs do not match.
    """
    crop = boundary != "circular"
    if depths is None:
        data, voxel = prepare_psf(cast(npt.ArrayLike, psf), image_ndim, spacing, centre)
        data = crop_to_support(data) if crop else data
        metadata = psf.metadata if isinstance(psf, Psf) else {}
        return PointSpread([data], (0.0,), voxel, Psf(data, voxel, metadata) if voxel else data)
    if isinstance(psf, Psf):
        raise DeconvError("depths are given with one PSF: give a sequence of PSFs, one for each.")
    several = cast(Sequence[Psf], psf)
    pairs = [prepare_psf(each, image_ndim, spacing, centre) for each in several]
    if not pairs or pairs[0][0].ndim != 3:
        raise DeconvError("depths need PSFs (z, y, x), one for each depth.")
    psfs, voxel = _of_one_shape([data for data, _ in pairs]), pairs[0][1]
    if crop:
        mean: Float = np.mean(psfs, axis=0, dtype=np.float32)
        inside = tuple(
            slice(n // 2 - m // 2, n // 2 - m // 2 + m)
            for n, m in zip(mean.shape, crop_to_support(mean).shape, strict=True)
        )
        psfs = [each[inside] / each[inside].sum() for each in psfs]
    return PointSpread(psfs, check_depths(depths, len(psfs)), voxel, np.stack(psfs))


def _of_one_shape(psfs: list[Float]) -> list[Float]:
    """Pad with 0 to the largest of each axis, the centres staying voxel n // 2."""
    shape = np.max([each.shape for each in psfs], axis=0)
    padded = []
    for each in psfs:
        before = [size // 2 - n // 2 for size, n in zip(shape, each.shape, strict=True)]
        widths = [(b, size - n - b) for b, size, n in zip(before, shape, each.shape, strict=True)]
        padded.append(np.pad(each, widths))
    return padded
