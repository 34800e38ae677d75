"""The layers that a run reads, and where their data are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Points

from napari_deconv.widgets.common.images import as_file_image
from napari_deconv.widgets.common.large import fits
from napari_deconv.widgets.common.layers import origin, spacing
from napari_deconv.widgets.common.parts import Part, whole
from napari_deconv.widgets.common.points import read_beads

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["Inputs"]


class Inputs:
    """What a run reads, as it was when the run began.

    Parameters
    ----------
    layers : mapping
        By the names that the called function has for them.
    part : Part, optional
        What was taken of the image, where that may be a coarser resolution or a region.
    psf_spacing : tuple of float, optional
        Voxel size in µm that was typed for a PSF which says none.

    Attributes
    ----------
    layers : dict of Layer
        By the same names.
    origins : dict of dict
        Where their data can be had again; see `napari_deconv.provenance`.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer | None],
        part: Part | None = None,
        psf_spacing: tuple[float, ...] | None = None,
    ) -> None:
        self.layers = {name: layer for name, layer in layers.items() if layer is not None}
        self.origins = {name: origin(layer) for name, layer in self.layers.items()}
        self._held = {name: layer.data for name, layer in self.layers.items()}
        # A widget that does not always take it may have that of another image.
        its = part is not None and part.layer is self.layers.get("image")
        self._part = part if its else None
        if self._is_less:
            self.origins["image"] = {"layer": self._part.name}
            if "mask" in self.layers and not self._part.is_whole:
                self.origins["mask"] = {"layer": self._mask.name}
        psf = self.origins.get("psf", {"sample": ""})
        if "operation" not in psf and "sample" not in psf:
            voxel = spacing(self.layers["psf"]) or psf_spacing
            psf["spacing"] = None if voxel is None else list(voxel)

    @property
    def resolution(self) -> str:
        """Say which of several resolutions was taken; nothing where there is one."""
        if self._part is None or not self._part.layer.multiscale:
            return ""
        level = self._part.level
        return f"At resolution level {level}, as shown. " if level else "At full resolution. "

    @property
    def _is_less(self) -> bool:
        """Whether a coarser resolution or a region was taken."""
        return self._part is not None and self._part.name != self._part.layer.name

    @property
    def _mask(self) -> Part:
        """The labels on the voxels that were taken of the image."""
        labels = whole(self.layers["mask"], "mask")
        return labels if self._part is None else labels.where(self._part)

    def files(self) -> dict[str, tuple[str, Any]]:
        """Name the files that inputs may be from, with what the layers hold."""
        held = {
            name: layer.data[0] if getattr(layer, "multiscale", False) else layer.data
            for name, layer in self.layers.items()
        }
        return {
            name: (self.origins[name]["path"], data)
            for name, data in held.items()
            if "path" in self.origins[name]
        }

    def found(self, places: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Take note of where in files inputs are; None stands for nowhere."""
        for name, place in places.items():
            if place is None:
                del self.origins[name]["path"]
            self.origins[name] |= place or {"layer": self.layers[name].name}

    def arrays(self, viewer: ViewerModel, names: Sequence[str]) -> dict[str, Any]:
        """Give what layers of these names hold, but for those that are too large.

        Those that were read are found whatever they are called by now, unless they hold other data.
        """
        layers = {name: viewer.layers[name] for name in names if name in viewer.layers}
        for role, origin_ in self.origins.items():
            if origin_.get("layer") in names:
                layers[origin_["layer"]] = self.layers[role]
        changed = [
            layer for role, layer in self.layers.items() if layer.data is not self._held[role]
        ]
        arrays = {}
        for name, layer in layers.items():
            if layer in changed:
                continue
            if self._is_less and name == self._part.name:
                arrays[name] = as_file_image(self._part)
            elif "mask" in self.layers and name == self._mask.name:
                arrays[name] = np.asarray(self._mask) == 0  # what is painted is left out
            elif self._can_read(layer):
                arrays[name] = self._array(layer)
        return arrays

    def _can_read(self, layer: Layer) -> bool:
        """Tell whether what a layer holds is there, and can be taken into memory."""
        return "image" in self.layers if isinstance(layer, Points) else fits(layer)

    def _array(self, layer: Layer) -> Any:
        if isinstance(layer, Points):
            image = whole(self.layers["image"], "image")
            return read_beads(layer, image, spacing(image.layer) or (1.0,) * image.ndim)
        if isinstance(layer, Labels):  # what is painted is left out
            return np.asarray(whole(layer, "mask")) == 0
        return as_file_image(whole(layer, "image"))
