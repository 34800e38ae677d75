"""What a point-spread function is compared with: theory, and an earlier report."""

from __future__ import annotations

import inspect
import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_deconv._checks import check_number
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.models import make_psf

__all__ = ["FORMAT", "FORMAT_VERSION", "expected_psf", "read_report"]

FORMAT = "napari-deconv report"
"""The name in a report's JSON that tells what it is."""

FORMAT_VERSION = 1

# From this aperture on light is treated as a vector, unless the model is given.
_HIGH_NA = 0.7

_PER_AXIS = ("fwhm", "fwhm_half_maximum", "r_squared")
_SINGLE = ("asymmetry", "focal_shift", "flux_outside", "mtf10")
_NEEDED = {"shape", "written", *_PER_AXIS}


def expected_psf(theory: Psf | Mapping[str, Any] | None, psf: Psf) -> Psf | None:
    """Make the theoretical PSF.

    Parameters
    ----------
    theory : Psf, mapping or None
        The PSF itself, or parameters of `make_psf` (see `make_report`).
    psf : Psf
        What it is to be compared with.

    Returns
    -------
    Psf or None
        None if there is no theory.

    Raises
    ------
    DeconvError
        If the parameters are not understood, or planes are compared with stacks.
    """
    if isinstance(theory, Psf) and theory.ndim != psf.ndim:
        raise DeconvError(
            f"The theory has {theory.ndim} axes, the PSF {psf.ndim}: compare planes with planes "
            "and stacks with stacks."
        )
    if theory is None or isinstance(theory, Psf):
        return theory
    if not isinstance(theory, Mapping):
        raise DeconvError(
            f"theory is a {type(theory).__name__}: expected a Psf, or the parameters of make_psf."
        )
    unknown = theory.keys() - inspect.signature(make_psf).parameters
    if unknown:
        raise DeconvError(
            f"theory has no {', '.join(map(str, unknown))}: expected parameters of make_psf, such "
            "as na and wavelength."
        )
    high = check_number(theory.get("na", 0.0), "na") >= _HIGH_NA
    parameters: dict[str, Any] = {
        "model": "vectorial" if high else "gibson_lanni", "shape": psf.shape,
        "spacing": psf.spacing,
    }  # fmt: skip
    # It is of the PSF's window and voxels, whatever may be said against them.
    with warnings.catch_warnings(action="ignore", category=DeconvWarning):
        return make_psf(**parameters | dict(theory))


def read_report(earlier: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """Read an earlier report.

    Parameters
    ----------
    earlier : path-like or mapping
        A report saved as JSON, or its contents.

    Returns
    -------
    mapping
        As `Report.to_dict` gave it.

    Raises
    ------
    DeconvError
        If it is none, of another version, or damaged.
    """
    name: Any = "earlier"
    report: Any = earlier
    if not isinstance(earlier, Mapping):
        name = Path(earlier)
        if not name.is_file():
            raise DeconvError(f"There is no file {name}.")
        try:
            report = json.loads(name.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DeconvError(f"{name} cannot be read as JSON: {error}.") from error
    if not isinstance(report, Mapping) or FORMAT not in report:
        raise DeconvError(f"{name} is no PSF report: give one that was saved as JSON.")
    if report[FORMAT] != FORMAT_VERSION:
        raise DeconvError(
            f"{name} is a PSF report of version {report[FORMAT]!r}, known is {FORMAT_VERSION}: "
            "update napari-deconv."
        )
    if not report.keys() >= _NEEDED:
        lacking = ", ".join(sorted(_NEEDED - report.keys()))
        raise DeconvError(f"{name} is damaged, it lacks {lacking}: give another report.")
    if wrong := _wrong(report):
        raise DeconvError(f"{name} is damaged, its {wrong} cannot be: give another report.")
    return report


def _wrong(report: Mapping[str, Any]) -> str:
    """Name what is not as `Report.to_dict` writes it; empty if all is."""
    axes = len(report["shape"]) if _are_numbers(report["shape"]) else 0
    for name in _PER_AXIS:
        if not _are_numbers(report[name]) or len(report[name]) != axes:
            return name
    if min(report["fwhm"]) <= 0:
        return "fwhm"
    if not _are_numbers(report.get("tilt", [])) or len(report.get("tilt", [])) not in (0, 2):
        return "tilt"
    for name in _SINGLE:
        if report.get(name) is not None and not _are_numbers([report[name]]):
            return name
    return ""


def _are_numbers(values: Any) -> bool:
    """Tell whether it is a list of finite numbers."""
    return isinstance(values, list) and all(
        isinstance(value, int | float) and math.isfinite(value) for value in values
    )
