"""How finely a microscope's image has to be sampled."""

from __future__ import annotations

import warnings
from typing import Any

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.synthetic.modalities import Modality, ModalityName, make_modality
from napari_deconv.psf.synthetic.optics import GibsonLanni

__all__ = ["check_units", "nyquist_step", "steps_of", "warn_of_sampling"]

# Pixels that are larger or smaller than the Nyquist step by these factors are in nm, or in mm or m.
_COARSEST, _FINEST = 200.0, 1000.0


def nyquist_step(
    *, na: float, modality: ModalityName = "widefield", **parameters: Any
) -> tuple[float, float, float]:
    """Compute the largest voxel that keeps all that a microscope resolves.

    It is half a period of the highest frequencies, 2·NA/λ in the plane and (n−u₁)/λ along the
    axis, u₁ = √(n²−NA²). Frequencies of excitation and detection add up: 1/λ is 1/λ_ex + 1/λ_em for
    a confocal microscope, of which the pinhole passes the latter up to the first zero of its
    transfer function, and 2/λ_ex for two photons. A light sheet adds 2·NA_i/λ_ex along the axis;
    STED resolves √(1 + saturation) times more in the plane.

    Parameters
    ----------
    na : float
        Numerical aperture.
    modality : str
        As in `make_psf`.
    **parameters
        `wavelength`, `n_immersion`, `excitation`, `pinhole` and what else the modality takes, as in
        `make_psf`; lengths in µm.

    Returns
    -------
    tuple of float
        Steps (z, y, x), µm.

    Raises
    ------
    DeconvError
        If a parameter is missing, impossible, or none of the modality's.

    References
    ----------
    Wilson and Sheppard, Theory and Practice of Scanning Optical Microscopy, Academic Press, 1984.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    return steps_of(make_modality(modality, "gibson_lanni", GibsonLanni, {"na": na, **given}))


def steps_of(modality: Modality) -> tuple[float, float, float]:
    """Compute the Nyquist step (z, y, x) in µm."""
    axial, lateral = (float(1 / (2 * cut_off)) for cut_off in modality.cut_offs())
    return axial, lateral, lateral


def check_units(modality: Modality, spacing: tuple[float, ...]) -> None:
    """Raise `DeconvError` where the pixels can only be in another unit than µm."""
    limit = steps_of(modality)[-1]
    if max(spacing[-2:]) > _COARSEST * limit or min(spacing[-2:]) < limit / _FINEST:
        raise DeconvError(
            f"spacing={spacing} is not in µm: this objective resolves details that need voxels of "
            f"{_micrometres(steps_of(modality)[-len(spacing) :])}."
        )


def warn_of_sampling(modality: Modality, spacing: tuple[float, ...], stacklevel: int) -> None:
    """Warn if the voxels are larger than the Nyquist step."""
    limits = steps_of(modality)[-len(spacing) :]
    if any(step > limit * (1 + 1e-6) for step, limit in zip(spacing, limits, strict=True)):
        warnings.warn(
            f"The voxels are {_micrometres(spacing)}; this objective resolves details that need "
            f"{_micrometres(limits)} or smaller: the PSF is undersampled.",
            DeconvWarning,
            stacklevel=stacklevel + 1,
        )


def _micrometres(lengths: tuple[float, ...]) -> str:
    return " × ".join(f"{length:.3g}" for length in lengths) + " µm"
