"""What is said of a result, and messages in the words of the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox

from napari_deconv.errors import DeconvError
from napari_deconv.psf.measure import measure_psf

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget

    from napari_deconv.psf.psf import Psf

__all__ = ["in_fields_words", "in_short", "size_and_width"]

# The parameters that tell one run from another, and how their values are said.
_TELLING = {
    "method": "{}", "model": "{}", "modality": "{}", "na": "NA {}", "wavelength": "{} µm",
    "fwhm": "FWHM {} µm", "length": "path {} µm", "formula": "{}",
    "percentile": "{} %", "value": "{}", "radius": "radius {} µm", "factor": "factor {}",
    "threshold": "threshold {}", "bead_diameter": "beads of {} µm",
    "iterations": "{} iterations", "stop": "stop: {}",
    "regularization": "{}", "regularization_weight": "smoothness {}", "photons": "{} photons",
}  # fmt: skip


def in_fields_words(message: str, fields: Mapping[str, ValueWidget]) -> str:
    """Say what a message calls ``name=value`` or ``a_name`` by the label of that field.

    Parameters
    ----------
    message : str
        Of a `DeconvError` or `DeconvWarning`.
    fields : mapping
        The fields, each under the name of the parameter that it sets.
    """

    def say(match: re.Match[str]) -> str:
        field, value = fields[match["name"]], match["value"] or ""
        if match["given"] is None:  # without "_" it may be a word like any other
            return f"“{_title(field)}”" if "_" in match["name"] else match[0]
        if isinstance(field, CheckBox):
            return f"“{_title(field)}” {'on' if value == 'True' else 'off'}"
        if isinstance(field, ComboBox):
            value = _texts(field).get(value, value)
        elif value == "None":
            value = "empty"
        return f"“{_title(field)}” {value}".rstrip()

    names = "|".join(map(re.escape, fields))
    value = r"'[^']*'|\([^)]*\)|-?\w+(?:\.\w+)?"
    message = re.sub(rf"\b(?P<name>{names})(?:(?P<given>=(?P<value>{value})?)|\b)", say, message)
    return re.sub(r"\bPass (?=“)", "Set ", message)


def in_short(parameters: Mapping[str, Any], fields: Mapping[str, ValueWidget]) -> str:
    """Say what was done: the method, and the settings that matter.

    Parameters
    ----------
    parameters : mapping
        Of the call, see `napari_deconv.provenance.describe`.
    fields : mapping
        The fields that had an effect, each under the name of the parameter that it sets.
    """
    given = {name: parameters.get(name) for name in _TELLING if name in fields}
    return ", ".join(
        _TELLING[name].format(_text(value, fields[name]))
        for name, value in given.items()
        if value not in (None, "auto")
    )


def _text(value: Any, field: ValueWidget) -> str:
    """Write a value as its field does."""
    if isinstance(field, ComboBox):
        return _texts(field).get(repr(value), str(value))
    values = value if isinstance(value, list) else [value]
    return " × ".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in values)


def _texts(choice: ComboBox) -> dict[str, str]:
    """Give the texts of a choice by what they stand for."""
    texts = [choice.native.itemText(row) for row in range(choice.native.count())]
    return dict(zip(map(repr, choice.choices), texts, strict=True))


def _title(field: ValueWidget) -> str:
    return str(field.text if isinstance(field, CheckBox) else field.label)


def size_and_width(psf: Psf) -> str:
    """Say how many voxels a PSF has, and its full width at half maximum if it can be measured."""
    size = f"{' × '.join(map(str, psf.shape))} voxels"
    try:
        widths = " × ".join(f"{width:.3f}" for width in measure_psf(psf).fwhm)
    except DeconvError:  # too few voxels, or no peak
        return f"{size}, its width cannot be measured"
    return f"{size}, FWHM {widths} µm ({' × '.join('zyx'[-psf.ndim :])})"
