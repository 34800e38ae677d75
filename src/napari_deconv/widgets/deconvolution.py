"""Dock widget: deconvolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QPushButton

from napari_deconv.deconvolution import Deconvolution, deconvolve
from napari_deconv.errors import DeconvError
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.base import OperationWidget
from napari_deconv.widgets.fields import (
    check,
    choice,
    entry,
    integer,
    layer_choice,
    note,
    number,
    orange,
    read_number,
)
from napari_deconv.widgets.layers import layer_array, on_source, set_contrast, space_axes, spacing

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["DeconvolutionWidget"]

_METHODS = [
    ("Richardson–Lucy", "richardson_lucy"),
    ("Wiener filter", "wiener"),
    ("Inverse filter", "inverse"),
]
_SHORT = {"richardson_lucy": "RL", "wiener": "Wiener", "inverse": "inverse"}
_ACCELERATIONS = [("Heavy ball", "heavy_ball"), ("Biggs–Andrews", "biggs"), ("None", None)]
_BOUNDARIES = [
    ("Unknown light", "padded"),
    ("Mirror image", "reflect"),
    ("Nothing", "zero"),
    ("Other end (periodic)", "circular"),
]
_GO_ON = 10


class DeconvolutionWidget(OperationWidget):
    """Take the blur of the PSF out of an image."""

    title = "Deconvolution"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            "Image", "What is deblurred: the recorded data, without background subtraction."
        )
        self.psf = layer_choice(
            "PSF", "How the microscope shows a point. Another voxel size is resampled.",
            none="choose one",
        )  # fmt: skip
        self.psf_note = note(orange("The PSF has no voxel size: taken as the image's."))
        self.method = choice(
            "Method",
            _METHODS,
            "Richardson–Lucy gives the best pictures of noisy data; the filters take one step and "
            "ring around bright objects.",
        )
        self.iterations = integer(
            "Iterations", 40, "More is sharper, until the noise turns into grains."
        )
        self.noise = number(
            "Noise to signal", 0.01, "Larger is smoother, smaller is sharper and noisier.",
            step=0.001, least=1e-6,
        )  # fmt: skip
        self.background = choice(
            "Background",
            [("Automatic", "auto"), ("Value", "value"), ("None", 0.0)],
            "Light that does not come from the object. Too little leaves haze, too much eats dim "
            "parts away. Automatic takes the 1st percentile.",
        )
        self.background_value = entry(
            "Value (grey)", "100", "What a dark part of the picture shows."
        )
        self._make_more()
        self._last: Deconvolution | None = None
        main = [self.image, self.voxel_size.field, self.voxel_size.note, self.psf, self.psf_note]
        main += [self.method, self.iterations, self.noise, self.background, self.background_value]
        more = [self.acceleration, self.total_variation, self.weight, self.boundary]
        self._build(main, [*more, self.leave_out, self.centre_psf])
        self.go_on_button = QPushButton(f"Go on +{_GO_ON}")
        self.go_on_button.setToolTip(f"Do {_GO_ON} more iterations on the last result.")
        self.go_on_button.setVisible(False)
        self.go_on_button.clicked.connect(self._go_on)
        self._buttons.addWidget(self.go_on_button)

    def _make_more(self) -> None:
        self.acceleration = choice(
            "Acceleration",
            _ACCELERATIONS,
            "Heavy ball reaches in 40 iterations what takes about 200 without.",
        )
        self.total_variation = check(
            "Smooth noise (total variation)",
            False,
            "Flattens grains and keeps edges; fine texture goes with the grains.",
        )
        self.weight = number(
            "Smoothness", 0.002, "Weight of the total variation: 0.0005 is faint, 0.02 is strong.",
            step=0.0005, least=0.0001,
        )  # fmt: skip
        self.boundary = choice(
            "Outside the image",
            _BOUNDARIES,
            "Unknown light is estimated too, so that objects cut by the border leave no stripes.",
        )
        self.leave_out = layer_choice(
            "Leave out",
            "Labels painted over dead or saturated voxels: they do not count.",
            Labels,
            none="nothing",
        )
        self.centre_psf = check(
            "Centre the PSF", True, "Else an off-centre PSF moves the object by as much."
        )

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {
            self.image: ("image",),
            self.psf: ("psf", "true psf"),
            self.leave_out: ("mask",),
        }

    def _applies(self) -> dict[ValueWidget, bool]:
        iterative = self.method.value == "richardson_lucy"
        iterated = [self.iterations, self.acceleration, self.total_variation, self.leave_out]
        lacks_voxels = self.psf.value is not None and spacing(self.psf.value) is None
        return dict.fromkeys(iterated, iterative) | {
            self.psf_note: lacks_voxels,
            self.noise: not iterative,
            self.background_value: self.background.value == "value",
            self.weight: iterative and self.total_variation.value,
        }

    def _prepare(self) -> Callable[..., Any]:
        image, psf = self.image.value, self.psf.value
        if image is not None and image is psf:
            raise DeconvError(
                f"“{image.name}” is chosen as the image and as the PSF: choose another one for "
                "one of them."
            )
        data, points = layer_array(image, "image"), layer_array(psf, "PSF")
        voxel = self.voxel_size.value(space_axes(image))[-points.ndim :]
        given = {name: getattr(self, name).value for name in ("method", "boundary", "centre_psf")}
        given["engine"] = self.device.value
        given["background"] = self.background.value
        if self.background.value == "value":
            given["background"] = read_number(self.background_value.value)
        if self.method.value == "richardson_lucy":
            given |= {"iterations": self.iterations.value, "acceleration": self.acceleration.value}
            if self.total_variation.value:
                given |= {"regularization": "tv", "regularization_weight": self.weight.value}
            if self.leave_out.value is not None:
                given["mask"] = np.asarray(self.leave_out.value.data) == 0
        else:
            given["regularization_weight"] = self.noise.value
        self._job = partial(_deconvolve, data, points, spacing(psf), spacing=voxel, **given)
        self._source, self._last, self._layer = image, None, None
        self._done = self._settings()
        return self._job

    def _parameters(self) -> dict[str, ValueWidget]:
        iterative = self.method.value == "richardson_lucy"
        return super()._parameters() | {
            "regularization": self.total_variation,
            "regularization_weight": self.weight if iterative else self.noise,
            "background": self.background_value,
            "mask": self.leave_out,
        }

    def _settings(self) -> list[Any]:
        """Collect what all fields but the iterations say."""
        apart = (self.iterations, self.psf_note, self.voxel_size.note)
        return [field.value for field in self._rows if field not in apart]

    def _arrange(self) -> None:
        super()._arrange()
        if self._last is not None:
            self._offer_going_on()

    def _offer_going_on(self) -> None:
        """Offer to go on while the fields are those of the last run."""
        ready = self._worker is None and self._last is not None
        self.go_on_button.setVisible(ready and self._settings() == self._done)

    def _go_on(self) -> None:
        self._run(lambda: partial(self._job, iterations=_GO_ON, initial=self._last))

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        super()._run(prepare)
        self._offer_going_on()

    def _finished(self) -> None:
        super()._finished()
        self._offer_going_on()

    def _show(self, result: Deconvolution) -> tuple[str, Mapping[str, Any]]:
        method = result.recipe["parameters"]["method"]
        iterative = method == "richardson_lucy"
        short = f"{_SHORT[method]} {result.iterations}" if iterative else _SHORT[method]
        options = on_source(self._source, short, result.recipe, "result")
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._viewer.add_image(result.image, **options)
        else:
            self._layer.data, self._layer.name = result.image, options["name"]
            self._layer.metadata = options["metadata"]
        set_contrast(self._layer, 0)
        self._last = result if iterative else None
        line = f"{result.stop_reason}, background {_levels(result.background)}."
        return line, result.recipe


def _deconvolve(
    image: Any, psf: Any, psf_spacing: Any, *, callback: Callback, **parameters: Any
) -> Deconvolution:
    if psf_spacing is not None:
        psf = Psf(psf, psf_spacing)
    return deconvolve(image, psf, callback=callback, **parameters)


def _levels(background: Any) -> str:
    levels = np.unique(background)
    return f"{levels[0]:.4g}" + (f" to {levels[-1]:.4g}" if len(levels) > 1 else "")
