"""Dock widget: bead detection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from napari.layers import Labels, Points

from napari_deconv.beads import Beads, Rejection
from napari_deconv.beads.detection import detect_with_labels
from napari_deconv.engines import get_engine
from napari_deconv.provenance import describe
from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.fields import (
    check,
    choice,
    entry,
    layer_choice,
    number,
    read_number,
    read_numbers,
)
from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.common.parts import Part, seen, single
from napari_deconv.widgets.common.points import (
    ACCEPTED_COLOUR,
    REASONS,
    bead_features,
    bead_options,
    letter_by_letter,
)
from napari_deconv.widgets.common.preview import LayerData, Preview

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

    from napari_deconv._progress import Callback

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


# Voxels that a preview takes, some tenths of a second, and the margins around them.
_MOST_SEEN = 600_000
_HALF_DEPTH = 16  # planes on either side of the one in view
_MARGINS = (6, 12, 12)  # planes, rows and columns; a bead reaches about as far along each


class BeadsWidget(OperationWidget):
    """Find and measure beads: points coloured by what is wrong with them, and labels."""

    title = "Bead detection"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(napari_viewer, "Image", "A stack of small fluorescent beads.")
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
        self._sizes = _Sizes()
        self.preview = Preview(napari_viewer, self._prepare_preview, self._present)
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
        self._source = self._part("image", single)
        return partial(_run, self._source, **self._given(self._source))

    def _given(self, part: Part) -> dict[str, Any]:
        """Read what the function is called with."""
        threshold = self.threshold.value if self._applies()[self.threshold] else ""
        return {
            "method": self.method.value,
            "threshold": read_number(threshold) if threshold else None,
            "spacing": self._voxel(part),
            "fwhm": read_numbers(self.fwhm.value) or None,
            "bead_diameter": self.bead_diameter.value,
            "reject": Rejection(**{name: field.value for name, field in self.rules.items()}),
            "device": self.device.value,
        }

    def _prepare_preview(self) -> Callable[..., Any] | None:
        if self.image.value is None:
            return None
        whole = self._part("image", single)
        part = seen(self._viewer, whole, _HALF_DEPTH, _MOST_SEEN)
        self.preview.hint = f"Of {part.extent} about the middle of the view."
        return partial(_preview, part, self._sizes, **self._given(whole))

    def _present(self, result: Any) -> list[LayerData]:
        part, labels, beads, features = result
        layers: list[LayerData] = []
        if labels is not None:
            options = {"name": "Preview · labels", "metadata": {KEY: {"role": "aside"}}}
            layers.append((labels, options | part.placement(), "labels"))
        points = bead_options(beads, features, part, {KEY: {"role": "aside"}})
        points |= {"name": "Preview · beads", "text": letter_by_letter(points["text"], features)}
        return [*layers, (beads.positions, points, "points")]

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        part, labels, beads, features, call = result
        if labels is not None:
            name = f"{part.name} · {_METHODS[call['parameters']['method']]}"
            metadata = self._metadata(call, "labels")
            self._adding.layer(Labels(labels, name=name, metadata=metadata, **part.placement()))
        options = bead_options(beads, features, part, self._metadata(call, "beads"))
        reasons = options.pop("text")
        points = Points(beads.positions, **options)
        points.current_border_color, points.current_size = ACCEPTED_COLOUR, options["size"]
        self._adding.layer(points)
        for text in letter_by_letter(reasons, features):
            self._adding.change(points, "text", text)
        self._go_to_a_bead(beads)
        return _summary(beads), call

    def _go_to_a_bead(self, beads: Beads) -> None:
        """Go to the plane in the midst of the beads if the current one, of a stack, has none."""
        if beads.positions.shape[1] < 3:
            return
        dims = self._viewer.dims
        layer, factors = self._source.layer, self._source.factors
        place = np.array(layer.world_to_data(dims.point[-3:])) / factors
        if np.any(np.abs(beads.positions[:, 0] - place[0]) < 0.5):
            return
        place[0] = np.round(np.median(beads.positions[:, 0]))
        dims.set_point(dims.ndim - 3, layer.data_to_world(place * factors)[0])


def _detect(
    part: Part, *, device: str, callback: Callback | None, size: Any = None, **parameters: Any
) -> tuple[Beads, Any, Any, Mapping[str, Any]]:
    """Detect beads; returns them, their labels if there are any, their size, what was called."""
    engine = get_engine(device)
    beads, labels, size = detect_with_labels(
        np.asarray(part), background=None, engine=engine, callback=callback, size=size, **parameters
    )
    return beads, labels, size, describe("detect_beads", parameters, engine)


def _run(part: Part, **given: Any) -> Any:
    """Detect in all of it."""
    beads, labels, _, call = _detect(part, **given)
    if labels is not None:
        # napari compiles what draws labels when it makes the first ones: here nobody waits for it.
        Labels(np.zeros((1,) * labels.ndim, labels.dtype))
    return part, labels, beads, bead_features(beads), call


class _Sizes:
    """How wide beads are expected to be in the part that was looked at last."""

    def __init__(self) -> None:
        self._voxels: Callable[[], Any] = lambda: None
        self._box: tuple[slice, ...] = ()
        self._size: Any = None

    def of(self, part: Part) -> Any:
        """Give it where it is known, else None."""
        return self._size if self._voxels() is part.voxels and self._box == part.box else None

    def keep(self, part: Part, size: Any) -> None:
        """Remember it as long as there are such voxels; not of Dask's arrays, which cannot say."""
        with suppress(TypeError):
            self._voxels = ref(part.voxels)
            self._box, self._size = part.box, size


def _preview(part: Part, sizes: _Sizes, **given: Any) -> Any:
    """Detect in what is in view; what lies around it is looked at, so that no bead seems cut."""
    around = part.grown(_MARGINS[-part.ndim :])
    if given["fwhm"] is None:
        given["size"] = sizes.of(around)
    beads, labels, size, _ = _detect(around, **given)
    if given["fwhm"] is None:
        sizes.keep(around, size)
    inner = part.within(around)
    low = [each.start for each in inner]
    high = [each.stop for each in inner]
    inside = np.all((beads.positions >= low) & (beads.positions < high), axis=1)
    columns = {name: value for name, value in vars(beads).items() if isinstance(value, np.ndarray)}
    kept = replace(beads, **{name: column[inside] for name, column in columns.items()})
    kept = replace(kept, positions=kept.positions - low)
    return part, None if labels is None else labels[inner], kept, bead_features(kept)


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
