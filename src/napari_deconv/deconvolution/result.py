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
        Steps that led to the image, those of the run it went on from included; 1 for direct
        methods; the most of any volume of a series.
    stop_reason : str
        Why it ended.
    history : dict of ndarray
        One value every fifth iteration of the finest level: ``"iteration"``; of the estimate after
        so many, ``"divergence"`` (in the image's units), ``"discrepancy"`` D (in photons; about 1
        where the model differs from the image as noise does, less where noise is fitted; NaN if
        photons were not counted), ``"held_out"`` (D of the photons that ``"consensus"`` keeps
        aside: it rises when noise is fitted), ``"quality"`` D₀/D and ``"flux"`` Σ Hx; of the step
        after it, ``"change"``, the largest of a voxel, and ``"step"``, its size or how far it was
        extrapolated; ``"seconds"`` since the start. With leading axes where several volumes were
        looped over; what one has fewer rows of is NaN, its iteration -1.
    intermediate : dict of int to ndarray of float32
        Estimates after every ``keep_every`` iterations, of the input's shape.
    gain : float or ndarray
        Grey values a photon, as given or estimated; NaN where photons were not counted.
    weights : dict of str to float
        What each rule for an automatic weight of a direct filter found: ``"gcv"``, which was taken,
        ``"discrepancy"`` and ``"negativity"``; or ``"tv"``, the last one of total variation. Of
        the first volume of a series; empty where none was needed.
    background : float or ndarray
        What was taken as background; one per volume where several were looped over.
    psf : Psf or ndarray
        The PSF as it was used: resampled, centred and cropped to the box that holds 99.9 % of it,
        or as ``"blind"`` left it; a `Psf` where its voxel size is known, a stack for several
        depths.
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
    intermediate: dict[int, Float]
    gain: float | npt.NDArray[Any]
    weights: dict[str, float]
    background: float | npt.NDArray[Any]
    psf: Psf | Float
    recipe: dict[str, Any]
    _checkpoints: list[Checkpoint] = field(repr=False, default_factory=list)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Give the image to NumPy."""
        return np.array(self.image, dtype=dtype, copy=copy)
