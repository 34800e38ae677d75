"""The fields of Compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, FloatSlider, PushButton

from napari_deconv.widgets.common.fields import check, choice, entry, number

__all__ = ["CompareFields", "image_choice"]

_VIEWS = [
    ("As they are", "none"),
    ("Side by side", "beside"),
    ("Split", "split"),
    ("Blink", "blink"),
    ("Projections XY, XZ, YZ", "projections"),
]
_CONTRASTS = [
    ("Each layer's own", "own"),
    ("Darkest to brightest of each", "range"),
    ("Same percentiles", "percentiles"),
]
_MEASURES = [
    ("Nothing", "none"),
    ("Line profile", "profile"),
    ("Power spectrum", "spectrum"),
    ("Resolution of Before", "halves"),
    ("Before ↔ After (FSC)", "pair"),
    ("Residual", "residual"),
    ("Split the photons", "split"),
]


def image_choice(label: str, tooltip: str, choices: Callable[[Any], list[Any]]) -> ComboBox:
    """Offer layers; none of them is a choice too."""
    field = choice(label, [("none", None)], tooltip)
    field.choices = lambda widget: [("none", None), *choices(widget)]
    return field


class CompareFields:
    """How layers are shown beside each other, and what is measured on them."""

    def __init__(self) -> None:
        self.swap = PushButton(text="⇄ Swap", label="", tooltip="Exchange Before and After.")
        self.view = choice(
            "View",
            _VIEWS,
            "How the layers are laid beside each other. It is done with temporary layers; yours "
            "come back as they were.",
        )
        self.divider = FloatSlider(
            label="Divider", value=0.5, min=0, max=1, step=0.001, readout=False,
            tooltip="Left of it is Before, right of it After. It can be dragged in the picture.",
        )  # fmt: skip
        self.interval = number(
            "Every (s)", 0.5,
            "How long each layer is shown. “By key” stands still until you press B, which also "
            "works while it blinks.",
            step=0.1, most=10.0, zero="by key",
        )  # fmt: skip
        self.contrast = choice(
            "Contrast",
            _CONTRASTS,
            "What is black and what is white, in the temporary layers only.",
        )
        self.darkest = number(
            "Black (%)", 1.0, "So many of the voxels are black, in each layer.", step=0.1, most=50.0
        )
        self.brightest = number(
            "White (%)", 99.9, "So many of the voxels are not white yet, in each layer.",
            step=0.01, least=50.0, most=100.0,
        )  # fmt: skip
        self.measure = choice(
            "Measure",
            _MEASURES,
            "Line profile: grey values along a line that you drag. Power spectrum: how much detail "
            "of each size there is. Resolution: down to which size a raw image is more than "
            "noise, by Fourier shell correlation (FSC) of two halves of its photons. "
            "Before ↔ After: the same of two images. Residual: what the result leaves unexplained "
            "of the image. Split: both halves as layers, to be deconvolved apart.",
        )
        self.normalised = check(
            "Profiles from 0 to 1", False, "Compare shapes where grey values differ."
        )

        self.gain = entry(
            "Gain", "", "Grey values a photon, from the camera's data sheet or a calibration. "
            "Automatic takes what the result was made with, or estimates it from the noise.",
            "automatic",
        )  # fmt: skip
        self.offset = entry(
            "Camera offset", "", "Grey value without light. Automatic estimates it.", "automatic"
        )

    def applies(self) -> dict[Any, bool]:
        """Say which fields apply now."""
        view = self.view.value
        shown = view not in ("none", "projections")
        counts = self.measure.value in ("halves", "residual", "split")
        return {
            self.divider: view == "split",
            self.interval: view == "blink",
            self.contrast: shown,
            self.darkest: shown and self.contrast.value == "percentiles",
            self.brightest: shown and self.contrast.value == "percentiles",
            self.normalised: self.measure.value == "profile",
            self.gain: counts,
            self.offset: counts,
        }
