"""Dock widget: background subtraction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.background import estimate_background, rolling_ball_in, subtract_background
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import choice, entry, layer_choice, number, read_number
from napari_deconv.widgets.common.layers import space_axes
from napari_deconv.widgets.common.parts import Part, seen, surroundings
from napari_deconv.widgets.common.preview import LayerData, Preview
from napari_deconv.widgets.common.results import Limits, aside, contrast, make_result, on_source
from napari_deconv.widgets.common.workers import recorded

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

__all__ = ["BackgroundWidget"]

_METHODS = [
    ("Percentile", "percentile"),
    ("Constant", "constant"),
    ("Rolling ball", "rolling_ball"),
    ("White top-hat", "top_hat"),
    ("Wide Gaussian", "gaussian"),
    ("Factor × mean", "mean"),
]


# What follows the image, and from how many radii away; the other methods take one level.
_SURFACES = {"rolling_ball": 1, "top_hat": 2, "gaussian": 4}

# Voxels of a preview, and those that its levels are measured on: some tenths of a second.
_MOST_SEEN = 1_000_000
_MOST_AROUND = 2_000_000


class BackgroundWidget(OperationWidget):
    """Subtract the background of an image, or show it."""

    title = "Background subtraction"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(napari_viewer, "Image", "What the background is subtracted from.")
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
        self.preview = Preview(napari_viewer, self._prepare_preview, self._present)
        main = [self.image, self.voxel_size.field, self.voxel_size.note, self.method]
        main += [self.percentile, self.value, self.radius, self.factor, self.floor]
        self._build(main, [self.output])

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",)}

    def _applies(self) -> dict[ValueWidget, bool]:
        method = self.method.value
        flattens = method in _SURFACES
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
        self._source = self._part("image")
        return partial(_subtract, self.output.value, self._source, **self._given(self._source))

    def _given(self, part: Part) -> dict[str, Any]:
        """Read what the function is called with."""
        applies = self._applies()
        fields = ("radius", "percentile", "value", "factor", "floor")
        given = {name: getattr(self, name).value for name in fields if applies[getattr(self, name)]}
        if "value" in given:
            given["value"] = read_number(given["value"])
        if applies[self.voxel_size.field]:
            given["spacing"] = self._voxel(part)
        if space_axes(part.layer) == 2:
            given["planes"] = True
        return given | {"method": self.method.value, "device": self.device.value}

    def _prepare_preview(self) -> Callable[..., Any] | None:
        if self.image.value is None:
            return None
        whole = self._part("image")
        given = self._given(whole)
        axes = space_axes(whole.layer)
        reach = [0] * axes
        if given["method"] in _SURFACES:
            reach = [
                math.ceil(_SURFACES[given["method"]] * given["radius"] / step)
                for step in given["spacing"]
            ]
        part = seen(self._viewer, whole, 0, _MOST_SEEN)
        self.preview.hint = f"Of {part.extent} about the middle of the view."
        return partial(_preview, self.output.value, part, reach=reach, **given)

    def _present(self, result: tuple[Part, Any]) -> list[LayerData]:
        part, data = result
        return [aside(part, data, "background", 0.1)]

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        data, limits, call, level = result
        metadata = self._metadata(call, "result")
        estimate = call["operation"] == "estimate_background"
        if np.size(data) < np.prod(self._source.shape):
            levels = ", ".join(f"{level:.4g}" for level in np.ravel(data))
            return f"The background is {levels}.", call
        short = "background estimate" if estimate else "background"
        options = on_source(self._source, short, metadata)
        self._adding.layer(make_result([data], options, limits))
        what = "shown" if estimate else "taken away"
        return f"Background {what}: {level:.4g} on average.", call


def _preview(
    function: Callable[..., Any],
    part: Part,
    *,
    method: str,
    reach: Sequence[int],
    callback: Callback,
    device: str,
    **parameters: Any,
) -> tuple[Part, Any]:
    """Do it to what is in view: levels are those of its surroundings, surfaces begin outside."""
    if method == "rolling_ball":
        return part, _roll(function, part, reach, callback=callback, engine=device, **parameters)
    if method in _SURFACES:
        around = part.grown(reach)
        data = function(np.asarray(around), method, **parameters, engine=device, callback=callback)
        return part, data[part.within(around)]
    floor = parameters.pop("floor", None)
    around = np.asarray(surroundings(part, _MOST_AROUND))
    level = np.ravel(estimate_background(around, method, **parameters, engine=device))[0]
    if function is estimate_background:
        return part, np.full(part.shape, level, np.float32)
    data = np.asarray(part, np.float32) - np.float32(level)
    if floor is not None:
        data[data <= 0] = floor
    return part, data


def _roll(function: Callable[..., Any], part: Part, reach: Sequence[int], **parameters: Any) -> Any:
    """Roll a ball below what is in view, and below as much around it as it sees."""
    around, axes = part.grown(reach), len(reach)
    parameters.pop("planes", None)
    within = part.within(around)[-axes:]
    image = np.asarray(around).reshape(around.shape[-axes:])
    wanted = within[0] if axes == 3 else slice(None)
    background = rolling_ball_in(image, wanted, **parameters)[(..., *within[-2:])]
    background = background.reshape(part.shape)
    if function is estimate_background:
        return background
    return (np.asarray(part) - background).astype(np.float32)


def _subtract(
    function: Callable[..., Any], part: Part, *, method: str, **parameters: Any
) -> tuple[Any, Limits, Any, float]:
    """Subtract or estimate the background; find its contrast, and its level on average."""
    image = np.asarray(part)
    data, call = recorded(function, image, method=method, **parameters)
    level = float(np.mean(data, dtype=float))
    if function is subtract_background:
        mean = float(np.mean(image, dtype=float))
        level = parameters["factor"] * mean if method == "mean" else mean - level
    return data, contrast(data, 0.1), call, level
