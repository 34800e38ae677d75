"""Optics that a file states in its OME-XML, as parameters of `make_psf`."""

from __future__ import annotations

import math
import os
from typing import Any
from xml.etree import ElementTree

import tifffile

from napari_deconv.errors import DeconvError

__all__ = ["optics_from_file", "optics_from_ome"]

_IMMERSION = {
    "air": 1.0, "water": 1.333, "waterdipping": 1.333, "glycerol": 1.47, "glycerin": 1.47,
    "oil": 1.515,
}  # fmt: skip

_MODALITIES = {
    "WideField": "widefield",
    "LaserScanningConfocalMicroscopy": "confocal",
    "LaserScanningConfocal": "confocal",
    "SpinningDiskConfocal": "spinning_disk",
    "SlitScanConfocal": "confocal",
    "MultiPhotonMicroscopy": "two_photon",
    "SPIM": "light_sheet",
    "STED": "sted",
}

_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "μm": 1.0, "um": 1.0, "Å": 1e-4, "pm": 1e-6, "mm": 1e3}

# A plausible pinhole in Airy units: what is outside was back-projected wrongly.
_PINHOLES = (0.2, 20.0)


def optics_from_ome(xml: str, channel: int = 0) -> dict[str, Any]:
    """Read what OME-XML says of the microscope of its first image.

    Parameters
    ----------
    xml : str
        OME-XML (https://docs.openmicroscopy.org/ome-model, 2016-06 and before).
    channel : int
        Which channel, counted from 0.

    Returns
    -------
    dict
        Those of `na`, `n_immersion`, `wavelength`, `excitation`, `modality` and `pinhole_radius`
        that are stated and possible, for `make_psf`; lengths in µm. The pinhole is back-projected
        by the objective's magnification, and left out where that gives no sensible size, as where
        there are other lenses before the pinhole.

    Raises
    ------
    DeconvError
        If it is not XML, or has no such channel.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise DeconvError(f"The OME-XML cannot be read: {error}.") from error
    image = root.find("{*}Image")
    if image is None:
        return {}
    channels = image.findall("{*}Pixels/{*}Channel")
    if not 0 <= channel < max(len(channels), 1):
        raise DeconvError(f"The OME-XML has no channel {channel}: it has {len(channels)}.")
    lit = channels[channel].attrib if channels else {}
    settings = image.find("{*}ObjectiveSettings")
    objective = _objective(root, settings)
    medium = (settings.get("Medium") if settings is not None else None) or objective.get(
        "Immersion", ""
    )
    stated = None if settings is None else _positive(settings.get("RefractiveIndex"))
    optics: dict[str, Any] = {
        "na": _positive(objective.get("LensNA")),
        "n_immersion": stated or _IMMERSION.get(medium.casefold()),
        "wavelength": _length(lit, "EmissionWavelength", "nm"),
        "excitation": _length(lit, "ExcitationWavelength", "nm"),
        "modality": _MODALITIES.get(lit.get("AcquisitionMode", "")),
    }
    optics["pinhole_radius"] = _pinhole_radius(lit, objective, optics)
    return {name: value for name, value in optics.items() if value is not None}


def optics_from_file(path: str | os.PathLike[str], channel: int = 0) -> dict[str, Any]:
    """Read what an OME-TIFF says of its microscope, see `optics_from_ome`.

    Returns
    -------
    dict
        Empty for files without OME-XML.

    Raises
    ------
    DeconvError
        If the file cannot be read as a TIFF.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            xml = tif.ome_metadata if tif.is_ome else None
    except (OSError, tifffile.TiffFileError) as error:
        raise DeconvError(f"{path} cannot be read as a TIFF image: {error}.") from error
    return optics_from_ome(xml, channel) if xml else {}


def _objective(root: ElementTree.Element, settings: ElementTree.Element | None) -> dict[str, str]:
    """Find the objective that the image names, or the only one there is."""
    found = root.findall("{*}Instrument/{*}Objective")
    wanted = None if settings is None else settings.get("ID")
    named = [objective for objective in found if objective.get("ID") == wanted]
    chosen = named or (found if len(found) == 1 else [])
    return dict(chosen[0].attrib) if chosen else {}


def _pinhole_radius(
    lit: dict[str, str], objective: dict[str, str], optics: dict[str, Any]
) -> float | None:
    """Back-project the diameter of the pinhole."""
    size = _length(lit, "PinholeSize", "µm")
    magnification = _positive(
        objective.get("CalibratedMagnification") or objective.get("NominalMagnification")
    )
    if not (size and magnification and optics["na"] and optics["wavelength"]):
        return None
    radius = size / 2 / magnification
    low, high = _PINHOLES
    airy = radius * optics["na"] / (0.61 * optics["wavelength"])
    return radius if low <= airy <= high else None


def _length(attributes: dict[str, str], name: str, unit: str) -> float | None:
    """Convert a length to µm; None unless it is a positive number in a known unit."""
    number = _positive(attributes.get(name))
    micrometres = _MICROMETRES.get(attributes.get(f"{name}Unit", unit))
    return number * micrometres if number and micrometres else None


def _positive(value: str | None) -> float | None:
    try:
        number = float(value or "nan")
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None
