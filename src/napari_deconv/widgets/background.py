"""Dock widget: background subtraction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.widgets.base import OperationWidget, recorded
from napari_deconv.widgets.fields import choice, entry, layer_choice, number, read_number
from napari_deconv.widgets.layers import layer_array, on_source, set_contrast, space_axes

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

__all__ = ["BackgroundWidget"]

_METHODS = [
    ("Percentile", "percentile"),
    ("Constant", "constant"),
    ("Rolling ball", "rolling_ball"),
    ("White top-hat", "top_hat"),
    ("Wide Gaussian", "gaussian"),
    ("Factor × mean", "mean"),
]


class BackgroundWidget(OperationWidget):
    """Subtract the background of an image, or show it."""

    title = "Background subtraction"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice("Image", "What the background is subtracted from.")
        self.method = choice(
            "Method",
            _METHODS,
            "Percentile and constant shift all grey values; rolling ball, top-hat and wide "
            "Gaussian also flatten uneven light. Factor × mean is the bead tutorial's recipe.",
        )
        self.percentile = number(
            "Percentile (%)", 1, "The share of voxels darker than the background.", step=0.1,
            most=100,
        )  # fmt: skip
        self.value = entry("Value (grey)", "100", "What a dark part of the picture shows.")
        self.radius = number(
            "Radius (µm)", 1, "Larger than the largest object: what is wider is flattened away.",
            step=0.1, least=0.01,
        )  # fmt: skip
        self.factor = number(
            "Factor", 1.25, "How many times the mean is subtracted: more keeps brighter spots.",
            step=0.05,
        )  # fmt: skip
        self.floor = number(
            "Floor (grey)", 0.1, "What voxels darker than the background become.", step=0.1
        )
        self.output = choice(
            "Show",
            [
                ("Image without it", subtract_background),
                ("Background", estimate_background),
            ],
            "Show the background itself to see whether it follows the specimen: then the radius "
            "is too small.",
        )
        main = [self.image, self.method, self.voxel_size.field, self.voxel_size.note]
        main += [self.percentile, self.value, self.radius, self.factor, self.floor]
        self._build(main, [self.output])

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",)}

    def _applies(self) -> dict[ValueWidget, bool]:
        method = self.method.value
        flattens = method in ("rolling_ball", "top_hat", "gaussian")
        return {
            self.voxel_size.field: flattens,
            self.voxel_size.note: flattens,
            self.radius: flattens,
            self.percentile: method == "percentile",
            self.value: method == "constant",
            self.factor: method == "mean",
            self.floor: method == "mean" and self.output.value is subtract_background,
        }

    def _prepare(self) -> Callable[..., Any]:
        self._source = self.image.value
        image = layer_array(self._source, "image")
        self._shape = image.shape
        axes = space_axes(self._source)
        series = axes == 2 and image.ndim > 2
        if series:
            image = image[..., np.newaxis, :, :]  # each plane has its own background
        applies = self._applies()
        fields = ("radius", "percentile", "value", "factor", "floor")
        parameters = {
            name: getattr(self, name).value for name in fields if applies[getattr(self, name)]
        }
        if "value" in parameters:
            parameters["value"] = read_number(parameters["value"])
        if applies[self.voxel_size.field]:
            spacing = self.voxel_size.value(axes)
            parameters["spacing"] = (spacing[0], *spacing) if series else spacing
        return partial(
            _subtract,
            self.output.value,
            image,
            method=self.method.value,
            device=self.device.value,
            **parameters,
        )

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        data, recipe, level = result
        estimate = recipe["operation"] == "estimate_background"
        if np.size(data) < np.prod(self._shape):
            levels = ", ".join(f"{level:.4g}" for level in np.ravel(data))
            return f"The background is {levels}.", recipe
        options = on_source(
            self._source, "background estimate" if estimate else "background", recipe, "result"
        )
        set_contrast(self._viewer.add_image(data.reshape(self._shape), **options), 0.1)
        what = "shown" if estimate else "taken away"
        return f"Background {what}: {level:.4g} on average.", recipe


def _subtract(
    function: Callable[..., Any], image: Any, *, method: str, **parameters: Any
) -> tuple[Any, Any, float]:
    """Subtract or estimate the background, and say how bright it is on average."""
    data, recipe = recorded(function, image, method=method, **parameters)
    level = float(np.mean(data, dtype=float))
    if function is subtract_background:
        mean = float(np.mean(image, dtype=float))
        level = parameters["factor"] * mean if method == "mean" else mean - level
    return data, recipe, level
