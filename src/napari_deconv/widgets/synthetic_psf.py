"""Dock widget: synthetic PSF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_deconv.errors import DeconvError
from napari_deconv.psf.models import make_psf
from napari_deconv.widgets.base import OperationWidget, recorded
from napari_deconv.widgets.fields import (
    check,
    choice,
    entry,
    layer_choice,
    number,
    read_numbers,
)
from napari_deconv.widgets.layers import KEY, space_axes
from napari_deconv.widgets.words import size_and_width

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["SyntheticPsfWidget"]

_MODELS = {
    "gibson_lanni": "Gibson–Lanni",
    "born_wolf": "Born–Wolf",
    "gaussian": "Gaussian",
    "lorentzian": "Lorentzian",
}
_CENTRES = [("Best focus", "best_focus"), ("Paraxial focus", "paraxial"), ("Cover slip", "none")]
_MEDIA = {"air": 1.0, "water": 1.333, "glycerol": 1.47, "oil": 1.515}

# What describes the optics: label, value, tooltip, step, and what 0 stands for.
_MAIN_OPTICS = {
    "na": ("Numerical aperture", 1.4, "Printed on the objective: larger is sharper.", 0.05, ""),
    "wavelength": ("Emission (µm)", 0.52, "Wavelength of the recorded light: shorter is sharper.",
                   0.005, ""),
    "n_immersion": ("Immersion index", 1.515, "Oil 1.515, glycerol 1.47, water 1.333, air 1.",
                    0.001, ""),
    "n_sample": ("Specimen index", 0, "Where it differs from the immersion, the PSF smears along "
                 "z, more with depth.", 0.001, "the same"),
    "depth": ("Depth (µm)", 0, "How far below the cover slip the specimen lies.", 0.5, ""),
}  # fmt: skip
_MORE_OPTICS = {
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
_SIZES = {2: "193 × 193", 3: "31 × 193 × 193"}
_ANY_MODEL = ("na", "wavelength", "n_immersion")


class SyntheticPsfWidget(OperationWidget):
    """Compute the PSF of a widefield microscope from its optics."""

    title = "Synthetic PSF"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            "For image", "The image to deconvolve: the PSF gets its voxel size.", none="none"
        )
        self.size = entry(
            "Size (voxels)",
            _SIZES[3],
            "Voxels z × y × x, or y × x for a plane. Out of focus the PSF is a cone: many planes "
            "need a wide window.",
        )
        self.model = choice(
            "Model",
            [(text, model) for model, text in _MODELS.items()],
            "Gibson–Lanni knows the specimen's depth and index, which smear the PSF to one side; "
            "Born–Wolf is free of aberrations; the others are bell shapes of a given width.",
        )
        self.optics = {
            name: number(label, value, tooltip, step=step, zero=zero)
            for name, (label, value, tooltip, step, zero) in (_MAIN_OPTICS | _MORE_OPTICS).items()
        }
        self.fwhm_lateral = number(
            "Width x, y (µm)", 0.2, "Full width at half maximum in the plane.", step=0.01
        )
        self.fwhm_axial = number(
            "Width z (µm)", 0.6, "Full width at half maximum along z.", step=0.01
        )
        self.centre = choice(
            "Middle plane",
            _CENTRES,
            "What lies in it: the brightest point, the focus of the rays near the axis, or the "
            "focus at the cover slip.",
        )
        self.pixel_integration = check(
            "Integrate over pixels", True, "Blur by the pixels' own size, as a camera does."
        )
        main = [self.image, self.voxel_size.field, self.voxel_size.note, self.size, self.model]
        main += [*(self.optics[name] for name in _MAIN_OPTICS), self.fwhm_lateral, self.fwhm_axial]
        more = [self.optics[name] for name in _MORE_OPTICS]
        self._build(main, [*more, self.centre, self.pixel_integration])
        self.image.changed.connect(self._read_optics)
        self.image.changed.connect(self._fit_size)

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",)}

    def _applies(self) -> dict[ValueWidget, bool]:
        model = self.model.value
        bell = model in ("gaussian", "lorentzian")
        return {
            **{
                field: model == "gibson_lanni" or (name in _ANY_MODEL and not bell)
                for name, field in self.optics.items()
            },
            self.fwhm_lateral: bell,
            self.fwhm_axial: bell,
            self.centre: not bell,
        }

    def _read_optics(self, image: Image | None) -> None:
        """Take over what the image's metadata say of the objective."""
        optics = {} if image is None else image.metadata.get(KEY, {}).get("optics", {})
        for name in _ANY_MODEL:
            if name in optics:
                self.optics[name].value = optics[name]

    def _fit_size(self, image: Image | None) -> None:
        """Ask for a plane or a stack, as the image is."""
        if image is not None and self.size.value == _SIZES[5 - space_axes(image)]:
            self.size.value = _SIZES[space_axes(image)]

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | self.optics | {"shape": self.size}

    def _prepare(self) -> Callable[..., Any]:
        self._source = self.image.value
        shape = read_numbers(self.size.value, int)
        voxels = len(read_numbers(self.voxel_size.field.value))
        if 0 < voxels < len(shape):
            raise DeconvError(
                f"“{self.size.label}” has {len(shape)} numbers, “{self.voxel_size.field.label}” "
                f"{voxels}: give as many in both, y × x for a plane."
            )
        applies = self._applies()
        parameters = {
            name: field.value
            for name, field in self.optics.items()
            if applies[field] and field.value
        }
        if applies[self.fwhm_lateral]:
            lateral = self.fwhm_lateral.value
            parameters["fwhm"] = (self.fwhm_axial.value, lateral, lateral)[-len(shape) :]
        else:
            parameters["centre"] = self.centre.value
        return partial(
            _make,
            model=self.model.value,
            shape=shape,
            spacing=self.voxel_size.value(len(shape)),
            pixel_integration=self.pixel_integration.value,
            device=self.device.value,
            **parameters,
        )

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        (psf, recipe), line = result
        name = f"PSF {_MODELS[psf.metadata['model']]}"
        if "na" in psf.metadata:
            name += f" {psf.metadata['na']:g} {_medium(psf.metadata['n_immersion'])}"
        self._show_psf(psf, name, recipe, self._source)
        shift = psf.metadata.get("focal_shift", 0.0)
        moved = f" The best focus lies {shift:+.2f} µm from the paraxial one." if shift else ""
        return f"{line}.{moved}", recipe


def _make(callback: Callback, **parameters: Any) -> Any:
    """Make a PSF; it is one step, so there is no progress to report."""
    result = recorded(make_psf, callback=None, **parameters)
    return result, size_and_width(result[0])


def _medium(index: float) -> str:
    return min(_MEDIA, key=lambda name: abs(_MEDIA[name] - index))
