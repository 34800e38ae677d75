"""Dock widget: deconvolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QPushButton

from napari_deconv.deconvolution import METHODS, Deconvolution, deconvolve
from napari_deconv.errors import DeconvError
from napari_deconv.psf.clean import repair_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.widgets.base import OperationWidget
from napari_deconv.widgets.fields import (
    check,
    choice,
    entry,
    layer_choice,
    note,
    orange,
    read_number,
)
from napari_deconv.widgets.layers import (
    KEY,
    layer_array,
    on_source,
    set_contrast,
    space_axes,
    spacing,
)
from napari_deconv.widgets.method import MethodFields

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["DeconvolutionWidget"]

# Names of results where the method's title is long.
_SHORT = {"richardson_lucy": "RL", "nnls": "NNLS", "ictm": "ICTM", "fista": "FISTA"}
_BOUNDARIES = [
    ("Unknown light", "padded"),
    ("Unknown light, half margins", "half_padded"),
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
        self.settings = MethodFields()
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
        main += [*self.settings.main, self.background, self.background_value]
        more = [*self.settings.more, self.boundary, self.leave_out, self.centre_psf]
        self._build(main, more)
        self.go_on_button = QPushButton(f"Go on +{_GO_ON}")
        self.go_on_button.setToolTip(f"Do {_GO_ON} more iterations on the last result.")
        self.go_on_button.setVisible(False)
        self.go_on_button.clicked.connect(self._go_on)
        self._buttons.addWidget(self.go_on_button)

    def _make_more(self) -> None:
        self.boundary = choice(
            "Outside",
            _BOUNDARIES,
            "What lies outside the image. Unknown light is estimated too, so that objects cut by "
            "the border leave no stripes.",
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
        lacks_voxels = self.psf.value is not None and spacing(self.psf.value) is None
        return self.settings.applies() | {
            self.psf_note: lacks_voxels,
            self.background_value: self.background.value == "value",
            self.leave_out: "mask" in self.settings.kind.takes,
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
        given = self.settings.parameters()
        given |= {"boundary": self.boundary.value, "centre_psf": self.centre_psf.value}
        given |= {"engine": self.device.value, "background": self.background.value}
        if self.background.value == "value":
            given["background"] = read_number(self.background_value.value)
        if "mask" in self.settings.kind.takes and self.leave_out.value is not None:
            given["mask"] = np.asarray(self.leave_out.value.data) == 0
        own = KEY in psf.metadata
        self._job = partial(_deconvolve, data, points, spacing(psf), own, spacing=voxel, **given)
        self._source, self._last, self._layer = image, None, None
        self._done = self._field_values()
        return self._job

    def _parameters(self) -> dict[str, ValueWidget]:
        own = {"background": self.background_value, "mask": self.leave_out}
        return super()._parameters() | self.settings.named() | own

    def _field_values(self) -> list[Any]:
        """Collect what all fields but the iterations say."""
        apart = (self.settings.iterations, self.psf_note, self.voxel_size.note)
        return [field.value for field in self._rows if field not in apart]

    def _arrange(self) -> None:
        super()._arrange()
        label = "Most iterations" if self.settings.iterations_are_a_limit else "Iterations"
        self._rows[self.settings.iterations].setText(label)
        if self._last is not None:
            self._offer_going_on()

    def _offer_going_on(self) -> None:
        """Offer to go on while the fields are those of the last run."""
        ready = self._worker is None and self._last is not None
        self.go_on_button.setVisible(ready and self._field_values() == self._done)

    def _go_on(self) -> None:
        """Do more iterations, whatever has stopped the last ones."""
        more = {"iterations": _GO_ON, "initial": self._last, "stop": None}
        self._run(lambda: partial(self._job, **more))

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        super()._run(prepare)
        self._offer_going_on()

    def _finished(self) -> None:
        super()._finished()
        self._offer_going_on()

    def _show(self, result: Deconvolution) -> tuple[str, Mapping[str, Any]]:
        name = result.recipe["parameters"]["method"]
        method = METHODS[name]
        short = _SHORT.get(name, method.title) + ("" if method.direct else f" {result.iterations}")
        options = on_source(self._source, short, result.recipe, "result")
        if self._layer is None or self._layer not in self._viewer.layers:
            self._layer = self._viewer.add_image(result.image, **options)
        else:
            self._layer.data, self._layer.name = result.image, options["name"]
            self._layer.metadata = options["metadata"]
        set_contrast(self._layer, 0)
        if "symmetric_psf" in method.takes and isinstance(result.psf, Psf):
            # Not the PSF of the next run, which would start from what noise made of this one.
            self._show_psf(result.psf, "PSF (blind)", result.recipe, self._source, "result")
        # What consensus stops is at its best, and was made of a part of the photons.
        final = method.direct or result.recipe["parameters"]["stop"] == "consensus"
        self._last = None if final else result
        return _line(result), result.recipe


def _line(result: Deconvolution) -> str:
    """Say why it ended, and what was found on the way."""
    found = [f"background {_levels(result.background)}"]
    if np.isfinite(result.gain).any():
        found.append(f"gain {_levels(result.gain, 3)} grey values a photon")
    if result.weights:
        found.append(f"smoothness {result.weights['gcv']:.2g}")
    sentences = (result.stop_reason, ", ".join(found))
    return " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)


def _deconvolve(
    image: Any, psf: Any, psf_spacing: Any, own: bool, *, callback: Callback, **parameters: Any
) -> Deconvolution:
    """Deconvolve; a PSF that was not made here may be a raw recording."""
    if not own:
        psf, _ = repair_psf(psf)
    if psf_spacing is not None:
        psf = Psf(psf, psf_spacing)
    return deconvolve(image, psf, callback=callback, **parameters)


def _levels(values: Any, digits: int = 4) -> str:
    levels = np.unique(values)
    shown = levels if len(levels) == 1 else levels[[0, -1]]
    return " to ".join(f"{level:.{digits}g}" for level in shown)
