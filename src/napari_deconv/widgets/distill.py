"""Dock widget: PSF distilling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import ComboBox
from napari.layers import Points

from napari_deconv.psf.distill import distill_psf
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
from napari_deconv.widgets.common.parts import Part, single
from napari_deconv.widgets.common.points import read_beads
from napari_deconv.widgets.common.words import size_and_width

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.psf.psf import Psf

__all__ = ["DistillWidget"]

_METHODS = [
    ("Reverse", "reverse"),
    ("Average", "average"),
    ("Centroids", "centroids"),
]


class DistillWidget(OperationWidget):
    """Make one PSF of many beads."""

    title = "PSF distilling"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = layer_choice(
            napari_viewer, "Bead image", "The recorded beads, without background subtraction."
        )
        self.beads = layer_choice(
            napari_viewer, "Beads",
            "The points of Bead detection; delete, move or add some by hand. Automatic "
            "finds them now.", Points, none="automatic",
        )  # fmt: skip
        self.bead_diameter = number(
            "Bead diameter (µm)", 0.1, "Its size is taken out of the PSF. From the label of the "
            "beads.", step=0.01,
        )  # fmt: skip
        self.method = choice(
            "Method",
            _METHODS,
            "Reverse solves for the PSF: it takes out the beads' size and separates neighbours; "
            "the average keeps both. Centroids is the bead tutorial's recipe; its PSF is broader.",
        )
        self.iterations = entry(
            "Iterations", "", "Too few leave the PSF unsettled: some of its first guess is still "
            "in it. Too many turn noise into grains. Empty: 50, down to 20 where beads are dim; "
            "200 for centroids.", empty="automatic",
        )  # fmt: skip
        self.size = entry(
            "PSF size (voxels)", "", "z × y × x, for example 33 × 65 × 65. Empty: as far as the "
            "beads can be seen.", empty="automatic",
        )  # fmt: skip
        self.background = choice(
            "Background",
            [("Automatic", "auto"), ("Value", "value")],
            "Light that does not come from the beads. Too little leaves haze around the PSF, too "
            "much cuts its halo off. Automatic fits it with the PSF; it may be uneven.",
        )
        self.background_value = entry(
            "Value (grey)", "100", "What a dark part of the picture shows."
        )
        self.symmetric = check(
            "Radially symmetric",
            False,
            "Less noise from few or dim beads. Not done if the PSF is 10 % wider along x than y.",
        )
        main = [self.image, self.voxel_size.field, self.voxel_size.note, self.beads]
        main += [self.bead_diameter, self.method, self.iterations]
        self._build(main, [self.size, self.background, self.background_value, self.symmetric])

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {self.image: ("image",), self.beads: ("beads",)}

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | {"shape": self.size}

    def _applies(self) -> dict[ValueWidget, bool]:
        return {
            self.iterations: self.method.value != "average",
            self.background_value: self.background.value == "value",
        }

    def _prepare(self) -> Callable[..., Any]:
        source, points = self._part("bead image", single), self.beads.value
        voxel = self._voxel(source)
        given = self.background.value == "value"
        return partial(
            _distill,
            source,
            None if points is None else read_beads(points, source, voxel),
            spacing=voxel,
            shape=read_numbers(self.size.value, int) or None,
            iterations=next(iter(read_numbers(self.iterations.value, int)), None),
            bead_diameter=self.bead_diameter.value,
            background=read_number(self.background_value.value) if given else None,
            method=self.method.value,
            symmetric=self.symmetric.value,
            engine=self.device.value,
        )

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        psf, line = result
        source = self._inputs.layers["image"]
        metadata = self._metadata(psf.metadata, "psf")
        self._adding.psf(psf, f"PSF ({source.name})", metadata, source)
        return line, psf.metadata

    def _input_layers(self) -> dict[str, Layer | None]:
        return {"image": self.image.value, "beads": self.beads.value}


def _distill(part: Part, beads: Any, **parameters: Any) -> tuple[Psf, str]:
    """Distil a PSF and say in a line what came out."""
    psf = distill_psf(np.asarray(part), beads, **parameters)
    counts = psf.metadata["beads"]
    used, accepted = counts["used"], counts.get("accepted", counts["used"])
    line = f"From {used} bead{'s' if used > 1 else ''}"
    if used > accepted:
        line += f" ({accepted} accepted, {used - accepted} close neighbours)"
    return psf, f"{line}: {size_and_width(psf)}."
