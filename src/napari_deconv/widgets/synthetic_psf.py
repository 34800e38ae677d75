"""Dock widget: synthetic PSF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.models import make_psf
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import (
    choice,
    entry,
    layer_choice,
    number,
    read_numbers,
)
from napari_deconv.widgets.common.layers import KEY, space_axes
from napari_deconv.widgets.common.preview import LayerData, Preview
from napari_deconv.widgets.common.results import around, field_of_view, psf_options
from napari_deconv.widgets.common.words import size_and_width
from napari_deconv.widgets.common.workers import recorded
from napari_deconv.widgets.optics import MODALITIES, OpticsFields, read_pairs

if TYPE_CHECKING:
    import numpy.typing as npt
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["SyntheticPsfWidget"]

_MODELS = {
    "vectorial": "Vectorial",
    "gibson_lanni": "Gibson–Lanni",
    "born_wolf": "Born–Wolf",
    "gaussian": "Gaussian",
    "lorentzian": "Lorentzian",
    "motion": "Motion",
    "formula": "Formula",
}
_BELLS = ("gaussian", "lorentzian")
_PIXELS = [("Automatic", None), ("Integrate", True), ("Sample", False)]
_MEDIA = {"air": 1.0, "water": 1.333, "silicone": 1.406, "glycerol": 1.47, "oil": 1.515}
_SIZES = {2: "193 × 193", 3: "31 × 193 × 193"}


class SyntheticPsfWidget(OperationWidget):
    """Compute the PSF of a microscope from its optics, or a simple shape."""

    title = "Synthetic PSF"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            napari_viewer,
            "For image",
            "The image to deconvolve: the PSF gets its voxel size.",
            none="none",
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
            "Vectorial is right at any aperture, Gibson–Lanni below 0.7, Born–Wolf there without "
            "aberrations. The others are bell shapes, the path of a motion, and a formula.",
        )
        self.optics = OpticsFields()
        self.pixel_integration = choice(
            "Pixels",
            _PIXELS,
            "A camera blurs by its pixels' own size, a scanning beam does not: automatic knows.",
        )
        shapes = self._simple_shapes()
        self._focus: npt.NDArray[np.float64] | None = None
        optics = self.optics
        self.preview = Preview(napari_viewer, self._prepare_preview, self._present)
        main = [self.image, self.voxel_size.field, self.voxel_size.note, optics.nyquist, self.size]
        main += [self.model, *optics.main, *shapes]
        self._build(main, [*optics.more, self.pixel_integration])
        self.image.changed.connect(optics.read)
        self.image.changed.connect(self._fit_size)

    def _simple_shapes(self) -> list[ValueWidget]:
        self.fwhm_lateral = number(
            "Width x, y (µm)", 0.2, "Full width at half maximum in the plane.", step=0.01
        )
        self.fwhm_axial = number(
            "Width z (µm)", 0.6, "Full width at half maximum along z.", step=0.01
        )
        self.length = number(
            "Path (µm)", 1, "How far things move while the camera exposes.", step=0.1
        )
        self.angle = number(
            "Direction (°)", 0, "Of the motion, from x towards y.", step=1, least=-360, most=360
        )
        self.rise = number("Towards z (°)", 0, "Out of the plane.", step=1, least=-90, most=90)
        self.formula = entry(
            "Formula",
            "2**(-(x**2 + y**2)/(a/2)**2 - (z/(b/2))**2)",
            "Intensity at x, y, z in µm from the centre: + - * / **, comparisons, sqrt, exp, log, "
            "abs, sin, cos, tan, erf, j0, j1, hypot, min, max, where, pi.",
        )
        self.parameters = entry("With", "a = 0.25, b = 0.7", "Values of other names in it.")
        shapes = [self.fwhm_lateral, self.fwhm_axial, self.length, self.angle, self.rise]
        return [*shapes, self.formula, self.parameters]

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",)}

    def _applies(self) -> dict[ValueWidget, bool]:
        model = self.model.value
        bell = dict.fromkeys((self.fwhm_lateral, self.fwhm_axial), model in _BELLS)
        motion = dict.fromkeys((self.length, self.angle, self.rise), model == "motion")
        formula = dict.fromkeys((self.formula, self.parameters), model == "formula")
        pixels = {self.pixel_integration: model != "motion"}
        return self.optics.applies(model) | bell | motion | formula | pixels

    def _arrange(self) -> None:
        """Show what applies, and what the optics resolve."""
        self.optics.compare(self.model.value, self.voxel_size.field.value)
        super()._arrange()

    def _fit_size(self, image: Image | None) -> None:
        """Ask for a plane or a stack, as the image is."""
        if image is not None and self.size.value == _SIZES[5 - space_axes(image)]:
            self.size.value = _SIZES[space_axes(image)]

    def _parameters(self) -> dict[str, ValueWidget]:
        own = {"shape": self.size, "fwhm": self.fwhm_lateral}
        return super()._parameters() | self.optics.fields | own

    def _prepare_preview(self) -> Callable[..., Any]:
        """Make all of it: there is no part of a PSF."""
        return self._prepare()

    def _present(self, result: Any) -> list[LayerData]:
        (psf, _), _ = result
        metadata = {KEY: {"role": "aside"}}
        options = psf_options(psf, "Preview · PSF", metadata, self.image.value)
        options["translate"] = self._in_view(psf.shape, options["scale"])
        if self.image.value is not None:
            options["blending"] = "additive"  # the image is seen through it
        return [(psf.data, options, "image")]

    def _in_view(self, shape: Sequence[int], step: Sequence[float]) -> npt.NDArray[np.float64]:
        """Find where the preview lies: where it was, or if that is out of view in its middle."""
        field = field_of_view(self._viewer)[:, -3:]
        middle, reach = field.mean(0), (field[1] - field[0]) / 2
        depth = np.array(shape) // 2 * np.array(step)
        reach[-len(shape) :] = np.maximum(reach[-len(shape) :], depth)
        if self._focus is None or np.any(np.abs(self._focus - middle) > reach):
            self._focus = middle
        return around(self._focus, shape, step)

    def _prepare(self) -> Callable[..., Any]:
        shape = read_numbers(self.size.value, int)
        voxels = len(read_numbers(self.voxel_size.field.value))
        if 0 < voxels < len(shape):
            raise DeconvError(
                f"“{self.size.label}” has {len(shape)} numbers, “{self.voxel_size.field.label}” "
                f"{voxels}: give as many in both, y × x for a plane."
            )
        return partial(
            _make,
            model=self.model.value,
            shape=shape,
            spacing=self._steps(len(shape)),
            device=self.device.value,
            **self._of_model(self.model.value, len(shape)),
        )

    def _steps(self, axes: int) -> tuple[float, ...]:
        """Read the voxel size, of an image of several resolutions that of the chosen one."""
        steps = self.voxel_size.value(axes)
        if not self._is_multiscale():
            return steps
        return tuple((np.array(steps) * self._part("image").factors[-axes:]).tolist())

    def _of_model(self, model: str, axes: int) -> dict[str, Any]:
        """Read what only this model takes."""
        if model == "motion":
            return {"length": self.length.value, "angle": (self.angle.value, self.rise.value)}
        pixels = {"pixel_integration": self.pixel_integration.value}
        if model in _BELLS:
            lateral = self.fwhm_lateral.value
            return pixels | {"fwhm": (self.fwhm_axial.value, lateral, lateral)[-axes:]}
        if model == "formula":
            names = read_pairs(self.parameters.value, str)
            return pixels | {"formula": self.formula.value, "parameters": names}
        return pixels | self.optics.parameters(model)

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        (psf, call), line = result
        known = psf.metadata
        name = f"PSF {_MODELS[known['model']]}"
        if "na" in known:
            name += f" {known['na']:g} {_medium(known['n_immersion'])}"
        if known.get("modality", "widefield") != "widefield":
            microscope = MODALITIES[known["modality"]]
            name += f", {microscope if microscope.isupper() else microscope.lower()}"
        self._adding.psf(psf, name, self._metadata(call, "psf"), self._inputs.layers.get("image"))
        shift = known.get("focal_shift", 0.0)
        moved = f" The best focus lies {shift:+.2f} µm from the paraxial one." if shift else ""
        return f"{line}.{moved}", call


def _make(callback: Callback, **parameters: Any) -> Any:
    """Make a PSF; it is one step, so there is no progress to report."""
    result = recorded(make_psf, callback=None, **parameters)
    return result, size_and_width(result[0])


def _medium(index: float) -> str:
    return min(_MEDIA, key=lambda name: abs(_MEDIA[name] - index))
