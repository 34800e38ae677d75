"""Dock widget: simulated acquisition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_deconv.acquisition import simulate_acquisition
from napari_deconv.widgets.common.fields import choice, integer, layer_choice, number
from napari_deconv.widgets.common.results import make_result, on_source
from napari_deconv.widgets.convolve import BlurringWidget

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from napari.components import ViewerModel

__all__ = ["SimulateWidget"]

_CAMERAS = [(f"{bits} bits", bits) for bits in (16, 14, 12, 10, 8)]


class SimulateWidget(BlurringWidget):
    """Show what a microscope would record of a known object."""

    title = "Simulate acquisition"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        image = layer_choice(
            napari_viewer, "Object", "What is looked at, sharp: the truth to compare results with."
        )
        super().__init__(napari_viewer, image)
        self.photons = number(
            "Photons", 500, "In the brightest voxel, without the background. More light, less "
            "noise: the signal-to-noise ratio grows as the square root.", step=10, least=1,
        )  # fmt: skip
        self.background = number(
            "Background (photons)", 10, "In each voxel, of light that does not come from the "
            "object. It adds noise and takes contrast.", step=1,
        )  # fmt: skip
        self.read_noise = number(
            "Read noise (grey)", 2, "Standard deviation that the camera adds, seen where the image "
            "is dark.", step=0.1, zero="none",
        )  # fmt: skip
        self.gain = number(
            "Gain (grey/photon)", 1, "Grey values that a photon counts.", step=0.1, least=0.01
        )
        self.offset = number(
            "Offset (grey)", 100, "Grey value without light. A few times the read noise keeps the "
            "noise of dark voxels from being cut off at 0.", step=1,
        )  # fmt: skip
        self.bits = choice(
            "Camera", _CAMERAS, "How far it counts, 16 bits to 65535: what is brighter is "
            "saturated.",
        )  # fmt: skip
        self.seed = integer("Seed", 1, "Another number gives other noise, the same the same.")
        self._build(
            [*self._inputs_shown, self.photons, self.background, self.read_noise],
            [self.gain, self.offset, self.bits, self.boundary, self.seed],
        )

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return super()._layer_fields() | {self.image: ("truth", "image")}

    def _prepare(self) -> Callable[..., Any]:
        camera = ("photons", "background", "read_noise", "gain", "offset", "bits", "seed")
        return self._blurring(
            simulate_acquisition, **{name: getattr(self, name).value for name in camera}
        )

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        data, limits, call = result
        options = on_source(self._source, "simulated", self._metadata(call, "image"))
        self._by_hand.add(self.image)  # what it makes is an image, and not the next object
        self._adding.layer(make_result([data], options, limits))
        return _line(call["parameters"]), call


def _line(given: Mapping[str, Any]) -> str:
    """Say how much of the brightest voxel is signal: s/√(s + b + (r/g)²)."""
    signal, noise = given["photons"], given["read_noise"] / given["gain"]
    ratio = signal / (signal + given["background"] + noise**2) ** 0.5
    return f"Signal-to-noise ratio {ratio:.3g} in the brightest voxel."
