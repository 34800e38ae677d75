"""How a microscope lights its specimen and collects the light.

Every PSF here is a combination of the intensities h of focused beams,

    widefield      h_em
    confocal       h_ex·(h_em ⊗ pinhole)
    spinning disk  h_em·(h_ex ⊗ pinhole ⊗ pinhole + light of the other pinholes)
    two-photon     h_ex²
    light sheet    h_em·E(z)
    STED           confocal·exp(−ς·h_d)

and as all of them are rotationally symmetric, radial tables (z, r) are combined before anything is
expanded to voxels. Lengths are in µm, each h has the integral 1 over every plane.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from napari_deconv._checks import check_choice
from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.modalities.aberrated import Aberrated
from napari_deconv.psf.synthetic.modalities.base import Modality
from napari_deconv.psf.synthetic.modalities.confocal import Confocal, Sted
from napari_deconv.psf.synthetic.modalities.light_sheet import LightSheet, Sheet
from napari_deconv.psf.synthetic.modalities.spinning_disk import SpinningDisk
from napari_deconv.psf.synthetic.modalities.two_photon import TwoPhoton
from napari_deconv.psf.synthetic.optics import Optics

__all__ = ["MODALITIES", "Modality", "ModalityName", "Sheet", "make_modality", "parameters_of"]

ModalityName = Literal[
    "widefield", "confocal", "spinning_disk", "two_photon", "light_sheet", "sted"
]

MODALITIES: Mapping[str, type[Modality]] = {
    "widefield": Modality,
    "confocal": Confocal,
    "spinning_disk": SpinningDisk,
    "two_photon": TwoPhoton,
    "light_sheet": LightSheet,
    "sted": Sted,
}


def parameters_of(optics: type[Optics], modality: type[Modality]) -> tuple[str, ...]:
    """Name the parameters that a model and a modality take."""
    return tuple(field.name for field in fields(optics)) + modality.own()


def make_modality(
    name: ModalityName, model: str, optics: type[Optics], given: Mapping[str, Any]
) -> Modality:
    """Check what a user gave for a microscope, and fill in the rest.

    Parameters
    ----------
    name : str
        A key of `MODALITIES`.
    model, optics : str, type
        The optical model, as users call it and as it is.
    given : mapping
        Parameters of both by name.

    Raises
    ------
    DeconvError
        If a parameter is missing, impossible, or none of these two's.
    """
    check_choice(name, tuple(MODALITIES), "modality")
    if "zernike" in given and name != "widefield":
        raise DeconvError(
            f"Zernike aberrations are computed for widefield microscopes only, not for modality="
            f"{name!r}: leave the coefficients out."
        )
    modality = Aberrated if "zernike" in given else MODALITIES[name]
    known = parameters_of(optics, modality)
    unknown = [parameter for parameter in given if parameter not in known]
    if unknown:
        raise DeconvError(
            f"The model {model!r} with modality={name!r} has no {', '.join(unknown)}: it takes "
            f"{', '.join(known)}."
        )
    return modality.from_parameters(optics, given)
