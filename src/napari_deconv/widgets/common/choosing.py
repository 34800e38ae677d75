"""Widgets that choose layers: the newest one that fits, until the user chooses another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QWidget

from napari_deconv.widgets.common.fields import VoxelSize, choice
from napari_deconv.widgets.common.layers import role, space_axes, take_for
from napari_deconv.widgets.common.parts import Part, whole

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer
    from napari.utils.events import Event

__all__ = ["LayerWidget"]

_RESOLUTIONS = [("Full", "full"), ("As shown", "shown")]


class LayerWidget(QWidget):
    """A widget with fields that choose layers, among them `image`.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    """

    image: ComboBox

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._known: dict[ComboBox, list[Layer]] = {}
        self._by_hand: set[ComboBox] = set()
        self._taken: Part | None = None
        self.voxel_size = VoxelSize()
        self.resolution = choice(
            "Resolution",
            _RESOLUTIONS,
            "The image has several. Full takes all of it; as shown takes the coarser one that is "
            "on the screen now, which is faster.",
        )

    def _watch_layers(self) -> None:
        """Notice what is chosen by hand."""
        for field, size in self._voxel_sizes().items():
            field.changed.connect(size.follow)
        for field in self._layer_fields():
            field.changed.connect(lambda _, field=field: self._by_hand.add(field))

    def _is_multiscale(self) -> bool:
        """Tell whether the image has several resolutions."""
        return self.image.value is not None and self.image.value.multiscale

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        """Name the fields that choose layers, each with the roles that fit it, the best first."""
        return {}

    def _voxel_sizes(self) -> dict[ComboBox, VoxelSize]:
        """Name the fields that choose layers whose voxel size is shown."""
        return {self.image: self.voxel_size}

    def _part(self, purpose: str, take: Callable[[Layer | None, str, int], Part] = whole) -> Part:
        """Take the image at the resolution that is chosen."""
        layer = self.image.value
        self._taken = take(layer, purpose, self._level(layer))
        return self._taken

    def _level(self, layer: Layer | None) -> int:
        """Tell which resolution of a layer is chosen; 0 is the full one."""
        several = layer is not None and layer.multiscale
        return layer.data_level if several and self.resolution.value == "shown" else 0

    def _voxel(self, part: Part) -> tuple[float, ...]:
        """Read the voxel size in µm, at the resolution of a part."""
        axes = space_axes(part.layer)
        return tuple((np.array(self.voxel_size.value(axes)) * part.factors[-axes:]).tolist())

    def reset_choices(self, *_: Any) -> None:
        """Follow the layers of the viewer; napari calls this.

        The newest layer that fits is chosen, until the user chooses another one.
        """
        for field, roles in self._layer_fields().items():
            by_hand, before = field in self._by_hand, field.value
            field.value = self._choice(field, roles, by_hand)
            if not by_hand or (field.value is None and before is not None):
                self._by_hand.discard(field)
        for field, size in self._voxel_sizes().items():
            size.follow(field.value)

    def _choice(self, field: ComboBox, roles: Sequence[str], by_hand: bool) -> Layer | None:
        before, known = field.value, self._known.get(field)
        field.reset_choices()
        layers = [layer for layer in field.choices if layer is not None]
        fitting = ([layer for layer in layers if role(layer) == one] for one in roles)
        sensible: list[Layer] = next(filter(None, fitting), [])
        self._known[field] = sensible
        kept = before in layers or (by_hand and before is None)
        if kept and (by_hand or not any(layer not in (known or ()) for layer in sensible)):
            return before
        active = self._viewer.layers.selection.active
        if known is None and active in sensible:
            return active
        return sensible[-1] if sensible else None

    def _open_dropped(self, field: ComboBox, paths: list[str]) -> None:
        """Open files with napari's readers, and choose the first layer for this field only.

        What is dropped on a field of PSFs is one, for all widgets, and does not cover an image.
        """
        fields = self._layer_fields()
        others = {other: other.value for other in fields if other is not field}
        covers = field is not self.image and self.image.value is not None

        def take(event: Event) -> None:
            take_for("psf", event.value)
            event.value.visible = not covers

        inserted = self._viewer.layers.events.inserted
        if "psf" in fields[field]:
            inserted.connect(take, position="first")  # other widgets choose when they hear of it
        try:
            layers = self._viewer.open(paths)
        finally:
            inserted.disconnect(take)
        if layers and layers[0] in field.choices:
            field.value = layers[0]
            for other, value in others.items():
                other.value = value
