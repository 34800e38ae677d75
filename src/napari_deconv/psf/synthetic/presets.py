"""Objectives and fluorophores to choose from, which users can add to.

The table is ``presets.json`` beside this module. A file of one's own has the same form,

    {"objectives": {"63× 1.4 oil": {"magnification": 63, "na": 1.4, "medium": "oil",
                                    "n_immersion": 1.515, "working_distance": 170}},
     "fluorophores": {"my dye": {"excitation": 561, "emission": 590}}}

and adds to the table or replaces its rows. It is named by a parameter, or by the environment
variable ``NAPARI_DECONV_PRESETS``.
"""

from __future__ import annotations

import json
import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from napari_deconv.errors import DeconvError

__all__ = ["ENVIRONMENT", "Fluorophore", "Objective", "find_preset", "fluorophores", "objectives"]

ENVIRONMENT = "NAPARI_DECONV_PRESETS"
"""Environment variable that names a file with more presets."""

# Refractive index of cover slips.
_GLASS = 1.515

_BUILT_IN = Path(__file__).with_name("presets.json")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """An objective.

    Attributes
    ----------
    magnification : float
        As engraved.
    na : float
        Numerical aperture.
    medium : str
        What it is immersed in.
    n_immersion : float
        Refractive index of that.
    working_distance : float
        From its front lens to the cover slip, µm.
    glass_thickness : float
        Cover slip that it is made for, µm; 0 for one that dips into the specimen.
    """

    magnification: float
    na: float
    medium: str
    n_immersion: float
    working_distance: float
    glass_thickness: float = 170.0

    @property
    def parameters(self) -> dict[str, float]:
        """What `make_psf` takes of it; no cover slip is one of the immersion's index."""
        return {
            "na": self.na,
            "n_immersion": self.n_immersion,
            "working_distance": self.working_distance,
            "glass_thickness": self.glass_thickness,
            "n_glass": _GLASS if self.glass_thickness else self.n_immersion,
        }


@dataclass(frozen=True, kw_only=True)
class Fluorophore:
    """A fluorophore.

    Attributes
    ----------
    excitation, emission : float
        Wavelengths of the peaks of its spectra for one photon, nm.
    """

    excitation: float
    emission: float

    @property
    def parameters(self) -> dict[str, float]:
        """What `make_psf` takes of it, in µm."""
        return {"wavelength": self.emission / 1000, "excitation": self.excitation / 1000}


_Preset = TypeVar("_Preset", Objective, Fluorophore)


def objectives(path: str | os.PathLike[str] | None = None) -> dict[str, Objective]:
    """List the objectives by name, such as ``"60× 1.4 oil"``.

    Parameters
    ----------
    path : path-like, optional
        A file with more of them, instead of the one in ``NAPARI_DECONV_PRESETS``.

    Raises
    ------
    DeconvError
        If that file cannot be read, or a row of it is not an objective.
    """
    return _read("objectives", Objective, path)


def fluorophores(path: str | os.PathLike[str] | None = None) -> dict[str, Fluorophore]:
    """List the fluorophores by name, such as ``"GFP"``; see `objectives`."""
    return _read("fluorophores", Fluorophore, path)


def find_preset(presets: dict[str, _Preset], name: str, kind: str) -> _Preset:
    """Look up a preset; upper case, spaces and x instead of × make no difference.

    Raises
    ------
    DeconvError
        If there is none; `kind` is what to call it.
    """
    found = {_key(known): preset for known, preset in presets.items()}.get(_key(name))
    if found is None:
        raise DeconvError(f"There is no {kind} {name!r}: choose one of {', '.join(presets)}.")
    return found


def _key(name: str) -> str:
    return "".join(name.casefold().replace("×", "x").split())


def _read(
    section: str, kind: type[_Preset], path: str | os.PathLike[str] | None
) -> dict[str, _Preset]:
    """Read one table of the package and of the user."""
    presets: dict[str, _Preset] = {}
    sources = [_BUILT_IN]
    if added := path or os.environ.get(ENVIRONMENT):
        sources.append(Path(added))
    for source in sources:
        try:
            rows = json.loads(source.read_text(encoding="utf-8")).get(section, {})
            presets |= {name: _preset(kind, name, row, source) for name, row in rows.items()}
        except (OSError, ValueError, AttributeError) as error:
            if isinstance(error, DeconvError):
                raise
            raise DeconvError(
                f"The presets in {source} cannot be read ({error}): expected JSON with "
                "“objectives” and “fluorophores”."
            ) from error
    return presets


def _preset(kind: type[_Preset], name: str, row: Any, source: Path) -> _Preset:
    """Take one row, or raise `DeconvError`."""
    known = {field.name: field for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    numbers = isinstance(row, dict) and all(
        key == "medium" or (isinstance(value, int | float) and value >= 0)
        for key, value in row.items()
    )
    if not (numbers and needed <= row.keys() <= known.keys()):
        raise DeconvError(
            f"The preset {name!r} in {source} is not understood: expected numbers above 0 for "
            f"“{'”, “'.join(known)}” (medium a text), and nothing else."
        )
    return kind(**row)
