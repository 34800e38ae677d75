"""The fields that describe a microscope: only what the model and the modality take is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox

from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.channels import emission_of
from napari_deconv.psf.synthetic.models import takes
from napari_deconv.psf.synthetic.ome_optics import optics_from_file
from napari_deconv.psf.synthetic.presets import fluorophores, objectives
from napari_deconv.psf.synthetic.sampling import nyquist_step
from napari_deconv.widgets.common.fields import (
    check,
    choice,
    entry,
    note,
    number,
    orange,
    read_numbers,
)
from napari_deconv.widgets.common.layers import known

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.layers import Image

__all__ = ["MODALITIES", "OpticsFields", "read_pairs", "stated_optics"]

MODALITIES = {
    "widefield": "Widefield",
    "confocal": "Confocal",
    "spinning_disk": "Spinning disk",
    "two_photon": "Two-photon",
    "light_sheet": "Light sheet",
    "sted": "STED",
}
_CENTRES = [("Best focus", "best_focus"), ("Paraxial focus", "paraxial"), ("Cover slip", "none")]
_SHEETS = [("Gaussian", "gaussian"), ("Scanned, filled aperture", "scanned")]

# What describes the optics: label, value, tooltip, step, and what 0 stands for.
_MAIN = {
    "na": ("Numerical aperture", 1.4, "Printed on the objective: larger is sharper.", 0.05, ""),
    "wavelength": ("Emission (µm)", 0.52, "Wavelength of the recorded light: shorter is sharper.",
                   0.005, ""),
    "excitation": ("Excitation (µm)", 0.488, "Wavelength of the laser.", 0.005, ""),
    "pinhole": ("Pinhole (Airy units)", 1, "Diameter. A smaller one sections better and passes "
                "less light; 100 is as good as none.", 0.1, "closed"),
    "pinhole_distance": ("Pinhole distance (µm)", 2.5, "Between the disk's pinholes, divided by "
                         "the magnification. Closer ones let haze through.", 0.1, ""),
    "illumination_na": ("Sheet aperture", 0.1, "Numerical aperture of the illumination: larger is "
                        "thinner, over less of the field.", 0.01, ""),
    "depletion": ("Depletion (µm)", 0.775, "Wavelength of the doughnut.", 0.005, ""),
    "saturation": ("Saturation", 20, "How strongly the doughnut depletes: the spot gets narrower "
                   "by the square root of this plus 1.", 1, "off"),
    "n_immersion": ("Immersion index", 1.515, "Oil 1.515, glycerol 1.47, water 1.333, air 1.",
                    0.001, ""),
    "n_sample": ("Specimen index", 0, "Where it differs from the immersion, the PSF smears along "
                 "z, more with depth.", 0.001, "the same"),
    "depth": ("Depth (µm)", 0, "How far below the cover slip the specimen lies.", 0.5, ""),
}  # fmt: skip
_MORE = {
    "glass_thickness": ("Cover slip (µm)", 0, "Thickness of the cover slip.", 1, "170"),
    "glass_thickness_design": ("Design slip (µm)", 0, "Thickness that the objective "
                               "is corrected for, or that its collar is set to.", 1, "as it is"),
    "n_glass": ("Cover slip index", 0, "Refractive index of the cover slip.", 0.001, "1.515"),
    "n_glass_design": ("Design slip index", 0, "Cover slip index that the objective is corrected "
                       "for.", 0.001, "as it is"),
    "n_immersion_design": ("Design immersion", 0, "Immersion index that the objective is "
                           "corrected for.", 0.001, "as it is"),
    "working_distance": ("Immersion layer (µm)", 0, "Its thickness that the objective is "
                         "corrected for.", 10, "150"),
}  # fmt: skip
_ZERO_COUNTS = ("pinhole", "saturation")

# Voxels larger than the Nyquist step by less than this are as large.
_ROUNDING = 1.000001


class OpticsFields:
    """The optics of a microscope.

    Attributes
    ----------
    modality, objective, fluorophore, sheet, zernike, centre, flip_z : ValueWidget
        Choices.
    numbers : dict
        Field of each number that `make_psf` takes, by its name.
    nyquist : Label
        Says how large voxels may be.
    origin : Label
        Says that the wavelengths were read from the image's name; empty else.
    main, more : list of ValueWidget
        The fields that matter, and those that are right for most images, in the order they are
        shown in.
    """

    def __init__(self) -> None:
        self.modality = choice(
            "Microscope",
            [(text, name) for name, text in MODALITIES.items()],
            "How it lights the specimen and collects the light.",
        )
        self._objectives, self._fluorophores = objectives(), fluorophores()
        self.objective = choice(
            "Objective",
            [("as below", None), *((name, name) for name in self._objectives)],
            "Sets aperture, immersion and cover slip below.",
        )
        self.fluorophore = choice(
            "Fluorophore",
            [("as below", None), *((name, name) for name in self._fluorophores)],
            "Sets the wavelengths below to the peaks of its spectra.",
        )
        self.numbers = {
            name: number(label, value, tooltip, step=step, zero=zero)
            for name, (label, value, tooltip, step, zero) in (_MAIN | _MORE).items()
        }
        self.sheet = choice("Sheet", _SHEETS, "How its light spreads along z.")
        self.zernike = entry(
            "Aberrations (µm)",
            "",
            "Zernike coefficients by OSA/ANSI index, rms: 12 spherical, 7 and 8 coma, 3 and 5 "
            "astigmatism.",
            "12: 0.05, 8: -0.02",
        )
        self.centre = choice(
            "Middle plane",
            _CENTRES,
            "What lies in it: the brightest point, the focus of the rays near the axis, or the "
            "focus at the cover slip.",
        )
        self.flip_z: CheckBox = check(
            "Turn z around", False, "For stacks whose last planes are next to the cover slip."
        )
        self.nyquist, self.origin = note(), note()
        self.main: list[ValueWidget] = [
            self.modality,
            self.objective,
            self.fluorophore,
            self.origin,
        ]
        self.main += [*(self.numbers[name] for name in _MAIN), self.sheet]
        self.more: list[ValueWidget] = [self.numbers[name] for name in _MORE]
        self.more += [self.zernike, self.centre, self.flip_z]
        self._preset: dict[ComboBox, dict[str, float]] = {}
        self._two_photon = False
        self.modality.changed.connect(self._fit_excitation)
        self.objective.changed.connect(self._set_objective)
        self.fluorophore.changed.connect(self._set_fluorophore)
        for field in self.numbers.values():
            field.changed.connect(self._drop_presets)
        self.numbers["wavelength"].changed.connect(lambda: setattr(self.origin, "value", ""))

    @property
    def fields(self) -> dict[str, ValueWidget]:
        """The field of each parameter of `make_psf`, by its name."""
        own = {name: getattr(self, name) for name in ("modality", "sheet", "zernike", "centre")}
        return self.numbers | own | {"flip_z": self.flip_z}

    def applies(self, model: str) -> dict[ValueWidget, bool]:
        """Say of each field whether a model takes it."""
        known = takes(model, self.modality.value)
        optical = "na" in known
        if self.modality.value == "two_photon":  # the emission plays no part
            known = tuple(name for name in known if name != "wavelength")
        shown = {field: name in known for name, field in self.fields.items()}
        always = (self.modality, self.objective, self.fluorophore, self.centre, self.flip_z)
        shown |= dict.fromkeys(always, optical)
        shown[self.origin] = shown[self.numbers["wavelength"]]
        return shown

    def parameters(self, model: str) -> dict[str, Any]:
        """Read what `make_psf` takes; an optical model is given.

        Raises
        ------
        DeconvError
            If the aberrations cannot be read.
        """
        applies = self.applies(model)
        given = {
            name: field.value
            for name, field in self.fields.items()
            if applies[field] and (field.value or self._counts_if_zero(name))
        }
        if "zernike" in given:
            given["zernike"] = read_pairs(self.zernike.value, int)
        return given

    def _counts_if_zero(self, name: str) -> bool:
        """Tell whether 0 is a value; of other fields it is shown as what it stands for."""
        if name in _ZERO_COUNTS:
            return True
        return name in self.numbers and not self.numbers[name].native.specialValueText()

    def read(self, image: Image | None) -> None:
        """Take over what an image, the file it comes from, or else its name says of the optics."""
        stated = {} if image is None else stated_optics(image)
        named = {} if image is None or "wavelength" in stated else emission_of(image.name)
        if stated.get("modality", self.modality.value) == "two_photon":
            named.pop("excitation", None)  # it is that of one photon
        if preset := named.pop("fluorophore", None):
            self.fluorophore.value = preset
        self.take(named | stated)
        self.origin.value = (
            f"Emission taken from the layer's name, “{image.name}”: check it." if named else ""
        )
        self.origin.changed.emit(self.origin.value)  # it may have come or gone alone

    def take(self, optics: Mapping[str, Any]) -> None:
        """Show what is known of the optics, by the names of `make_psf`."""
        stated = dict(optics)
        radius = stated.pop("pinhole_radius", None)
        if radius and {"na", "wavelength"} <= stated.keys():
            stated["pinhole"] = radius * stated["na"] / (0.61 * stated["wavelength"])
        for name, field in ({"modality": self.modality} | self.fields).items():
            if name in stated:  # the microscope first, which changes the excitation
                field.value = stated[name]

    def compare(self, model: str, voxel_size: str) -> None:
        """Say how large voxels may be, in orange where they are larger."""
        with self.nyquist.changed.blocked():
            self.nyquist.value = self._comparison(model, voxel_size)

    def _comparison(self, model: str, voxel_size: str) -> str:
        modality = self.modality.value
        if "na" not in takes(model, modality):
            return ""
        # What is resolved does not depend on the specimen.
        resolving = set(takes("born_wolf", modality)) - {"zernike"}
        try:
            given = self.parameters(model)
            steps = nyquist_step(
                modality=modality, **{name: given[name] for name in resolving & given.keys()}
            )
            text = f"Nyquist step: {' × '.join(f'{step:.3f}' for step in steps)} µm"
            voxels = read_numbers(voxel_size)
        except DeconvError:  # Run says it
            return ""
        axes = zip(voxels[::-1], steps[::-1], strict=False)
        larger = any(voxel > step * _ROUNDING for voxel, step in axes)
        return orange(f"{text}, the voxels are larger.") if larger else text

    def _set_objective(self, name: str | None) -> None:
        self._set(self.objective, self._objectives[name].parameters if name else {})

    def _set_fluorophore(self, name: str | None) -> None:
        peaks = self._fluorophores[name].parameters if name else {}
        if self.modality.value == "two_photon":  # the peak is that of one photon
            peaks.pop("excitation", None)
        self._set(self.fluorophore, peaks)

    def _set(self, preset: ComboBox, values: Mapping[str, float]) -> None:
        self._preset.pop(preset, None)
        for name, value in values.items():
            self.numbers[name].value = value
        self._preset[preset] = {name: self.numbers[name].value for name in values}

    def _drop_presets(self) -> None:
        """Name no objective or fluorophore any more whose numbers have been changed."""
        for preset, values in list(self._preset.items()):
            if any(self.numbers[name].value != value for name, value in values.items()):
                preset.value = None

    def _fit_excitation(self, modality: str) -> None:
        """Two photons have about twice the wavelength of the one that excites as much."""
        two_photon = modality == "two_photon"
        if two_photon != self._two_photon:
            self._two_photon = two_photon
            self._preset.get(self.fluorophore, {}).pop("excitation", None)
            self.numbers["excitation"].value *= 2 if two_photon else 0.5


def read_pairs(text: str, kind: Callable[[str], Any]) -> dict[Any, float]:
    """Read names and numbers of a text such as ``a = 0.25, b = 1``.

    Raises
    ------
    DeconvError
        If something in it is no name of that kind, int or str, with a number.
    """
    pairs = [re.split(r"[:=]", part) for part in re.split(r"[,;]", text) if part.strip()]
    try:
        return {kind(name.strip()): float(value) for name, value in pairs}
    except ValueError:
        raise DeconvError(
            f"“{text}” is not understood: expected names and numbers with commas between them."
        ) from None


def stated_optics(image: Image) -> dict[str, Any]:
    """Find the optics in a layer's metadata, or in the TIFF it was read from."""
    optics = known(image).get("optics")
    path = image.source.path
    if optics is not None or path is None or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return dict(optics or {})
    try:
        optics = optics_from_file(path)
        other = optics_from_file(path, channel=1)
    except DeconvError:  # no second channel, or no TIFF
        return optics or {}
    # Which channel this layer is nobody knows.
    return {name: value for name, value in optics.items() if other.get(name) == value}
