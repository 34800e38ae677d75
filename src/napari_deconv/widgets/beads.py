"""Dock widget: bead detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.beads import Beads, Rejection, detect_beads, threshold_beads
from napari_deconv.engines import get_engine
from napari_deconv.widgets.base import OperationWidget, recorded
from napari_deconv.widgets.fields import (
    check,
    choice,
    entry,
    layer_choice,
    number,
    read_number,
    read_numbers,
)
from napari_deconv.widgets.layers import placement, provenance, single_array, space_axes
from napari_deconv.widgets.points import REASONS, bead_options

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

__all__ = ["BeadsWidget"]

_METHODS = {
    "dog": "Spots (DoG)",
    "otsu": "Otsu threshold",
    "local": "Local threshold",
    "li": "Li threshold",
    "triangle": "Triangle threshold",
    "manual": "Manual threshold",
}
_RULES = {
    "edge": "Beads that the border of the image cuts.",
    "neighbour": "Beads whose halo another bead reaches into.",
    "saturated": "Beads with a flat top: their shape is lost.",
    "brightness": "Beads below 0.4 or above 2.5 times the median: dirt and clumps.",
    "doublet": "Beads more than 1.3 times as wide as the median.",
    "fit": "Beads that are not bell-shaped.",
    "correlation": "Beads that do not look like the median bead.",
}


class BeadsWidget(OperationWidget):
    """Find and measure beads: points coloured by what is wrong with them, and labels."""

    title = "Bead detection"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice("Image", "A stack of small fluorescent beads.")
        self.method = choice(
            "Method",
            [(text, method) for method, text in _METHODS.items()],
            "Spots (difference of Gaussians) finds dim and bright beads alike; a "
            "threshold finds what is brighter than it and adds its regions as labels.",
        )
        self.threshold = entry(
            "Threshold (grey)",
            "",
            "Higher finds fewer, brighter beads. For spots: height above the surroundings.",
            empty="automatic",
        )
        self.bead_diameter = number(
            "Bead diameter (µm)", 0.1, "From the label of the beads.", step=0.01, least=0.0
        )
        self.fwhm = entry(
            "Expected width (µm)",
            "",
            "How wide a point looks, z × y × x: larger spots and smaller specks are passed over.",
            empty="measured",
        )
        self.rules = {
            name: check(f"Reject “{REASONS[name]}”", True, tooltip)
            for name, tooltip in _RULES.items()
        }
        main = [self.image, self.voxel_size.field, self.voxel_size.note]
        main += [self.method, self.threshold, self.bead_diameter]
        self._build(main, [self.fwhm, *self.rules.values()])

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",)}

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | {"value": self.threshold}

    def _applies(self) -> dict[ValueWidget, bool]:
        return {self.threshold: self.method.value in ("dog", "local", "manual")}

    def _prepare(self) -> Callable[..., Any]:
        self._source = self.image.value
        image = single_array(self._source, "image")
        threshold = self.threshold.value if self._applies()[self.threshold] else ""
        return partial(
            _detect,
            image,
            method=self.method.value,
            threshold=read_number(threshold) if threshold else None,
            spacing=self.voxel_size.value(space_axes(self._source)),
            fwhm=read_numbers(self.fwhm.value) or None,
            bead_diameter=self.bead_diameter.value,
            reject=Rejection(**{name: field.value for name, field in self.rules.items()}),
            device=self.device.value,
        )

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        labels, beads, recipe = result
        if labels is not None:
            self._viewer.add_labels(
                labels,
                name=f"{self._source.name} · {_METHODS[recipe['parameters']['method']]}",
                metadata=provenance(recipe, "labels", self._source),
                **placement(self._source),
            )
        points = bead_options(beads, self._source, recipe)
        self._viewer.add_points(beads.positions, **points)
        self._go_to_a_bead(beads)
        return _summary(beads), recipe

    def _go_to_a_bead(self, beads: Beads) -> None:
        """Go to the plane in the midst of the beads if the current one, of a stack, has none."""
        if beads.positions.shape[1] < 3:
            return
        dims = self._viewer.dims
        place = np.array(self._source.world_to_data(dims.point[-3:]))
        if np.any(np.abs(beads.positions[:, 0] - place[0]) < 0.5):
            return
        place[0] = np.round(np.median(beads.positions[:, 0]))
        dims.set_point(dims.ndim - 3, self._source.data_to_world(place)[0])


def _detect(
    image: Any, *, method: str, threshold: float | None, device: str, **parameters: Any
) -> Any:
    labels = None
    if method != "dog":
        labels = threshold_beads(image, method, value=threshold, engine=get_engine(device))
    beads, recipe = recorded(
        detect_beads, image, method=method, threshold=threshold, device=device, **parameters
    )
    return labels, beads, recipe


def _summary(beads: Beads) -> str:
    reasons = {name: count for name, count in beads.counts.items() if name != "accepted"}
    line = f"{beads.counts['accepted']} of {len(beads)} beads accepted"
    if reasons:
        line += "; rejected: " + ", ".join(
            f"{count} {REASONS[name]}" for name, count in reasons.items()
        )
    return (
        line + "." + (" Each is shown in its own plane." if beads.positions.shape[1] == 3 else "")
    )
