"""Dock widget: convolution with a PSF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.deconvolution import convolve
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import (
    PsfVoxelSize,
    VoxelSize,
    choice,
    given_spacing,
    layer_choice,
)
from napari_deconv.widgets.common.layers import made_here
from napari_deconv.widgets.common.parts import Part, psf_for, read_psf
from napari_deconv.widgets.common.results import contrast, make_result, on_source
from napari_deconv.widgets.common.workers import recorded

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["BlurringWidget", "ConvolveWidget"]

_BOUNDARIES = [("Mirror image", "reflect"), ("Nothing", "zero"), ("Other end", "circular")]


class BlurringWidget(OperationWidget):
    """What has an image and a PSF to blur it with.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that results are added to.
    image : ComboBox
        Chooses the image.
    """

    def __init__(self, viewer: ViewerModel, image: ComboBox) -> None:
        super().__init__(viewer)
        self.image = image
        self.psf = layer_choice(
            viewer, "PSF", "How the microscope shows a point. Another voxel size is resampled."
        )
        self.psf_voxel_size = PsfVoxelSize()
        self.boundary = choice(
            "Outside",
            _BOUNDARIES,
            "What lies outside the image: its light is blurred into it along the border.",
        )
        self._inputs_shown = [self.image, self.voxel_size.field, self.voxel_size.note]
        self._inputs_shown += [self.psf, self.psf_voxel_size.field, self.psf_voxel_size.note]

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image", "truth"), self.psf: ("psf", "true psf")}

    def _input_layers(self) -> dict[str, Layer | None]:
        return {"image": self.image.value, "psf": self.psf.value}

    def _voxel_sizes(self) -> dict[ComboBox, VoxelSize]:
        return super()._voxel_sizes() | {self.psf: self.psf_voxel_size}

    def _typed_for_psf(self) -> tuple[float, ...] | None:
        return given_spacing(self.psf.value)

    def _applies(self) -> dict[ValueWidget, bool]:
        return self.psf_voxel_size.applies(self.psf.value)

    def _blurring(self, function: Callable[..., Any], **parameters: Any) -> Callable[..., Any]:
        """Read the layers; return a call of a function of image and PSF."""
        self._source = self._part("image")
        psf = psf_for(self._source, self.psf.value)
        return partial(
            _blur, function, self._source, psf, self.psf_voxel_size.of(psf),
            spacing=self._voxel(self._source)[-psf.ndim :], device=self.device.value,
            boundary=self.boundary.value, **parameters,
        )  # fmt: skip


class ConvolveWidget(BlurringWidget):
    """Blur an image with a PSF."""

    title = "Convolve"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        image = layer_choice(napari_viewer, "Image", "What is blurred.")
        super().__init__(napari_viewer, image)
        self._build(self._inputs_shown, [self.boundary])

    def _prepare(self) -> Callable[..., Any]:
        return self._blurring(convolve)

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        data, limits, call = result
        options = on_source(self._source, "blurred", self._metadata(call, "result"))
        self._adding.layer(make_result([data], options, limits))
        return f"Blurred with “{self._inputs.layers['psf'].name}”.", call


def _blur(
    function: Callable[..., Any],
    image: Part,
    psf: Part,
    psf_spacing: tuple[float, ...],
    **parameters: Any,
) -> Any:
    """Call the function, and find the contrast of what it gives."""
    points = read_psf(psf, psf_spacing, made_here(psf.layer))
    data, call = recorded(function, np.asarray(image), points, **parameters)
    return data, contrast(data, 0.1), call
