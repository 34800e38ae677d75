"""What a deconvolution gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.psf.psf import Psf
from napari_deconv.solvers.position import Checkpoint

__all__ = ["Deconvolution"]

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Deconvolution:
    """The result of `deconvolve`; ``np.asarray(result)`` is its image.

    Attributes
    ----------
    image : ndarray of float32
        The estimate, of the input's shape, in the input's units.
    iterations : int
        Steps done, those of the run it went on from included; 1 for direct methods.
    stop_reason : str
        Why it ended.
    history : dict of ndarray
        ``"iteration"``, ``"divergence"`` (of the estimate after so many iterations) and
        ``"seconds"`` since the start; with a leading axis where several volumes were looped over.
    background : float or ndarray
        What was taken as background; one per volume where several were looped over.
    psf : Psf or ndarray
        The PSF as it was used, resampled and centred; a `Psf` where its voxel size is known.
    recipe : dict
        Parameters, version and device, in plain values.

    Notes
    -----
    To go on from, it also keeps the estimate with its surroundings and the solver's memory, two to
    three arrays of the padded grid.
    """

    image: Float
    iterations: int
    stop_reason: str
    history: dict[str, npt.NDArray[Any]]
    background: float | npt.NDArray[Any]
    psf: Psf | Float
    recipe: dict[str, Any]
    _checkpoints: list[Checkpoint] = field(repr=False, default_factory=list)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Give the image to NumPy."""
        return np.array(self.image, dtype=dtype, copy=copy)
