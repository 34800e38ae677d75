"""The layer of a deconvolution's estimate, during the run and after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_deconv.widgets.common.layers import note_made, provenance
from napari_deconv.widgets.common.results import make_result, on_source, set_contrast

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_deconv.widgets.common.adding import Adding
    from napari_deconv.widgets.common.parts import Part
    from napari_deconv.widgets.common.results import Limits

__all__ = ["Estimate"]


class Estimate:
    """One layer that is made anew for every run, and kept where a run goes on.

    Parameters
    ----------
    viewer : ViewerModel
        Where it is shown. If the user has taken the layer away, there will be another.
    adding : Adding
        Adds layers to it.
    """

    def __init__(self, viewer: ViewerModel, adding: Adding) -> None:
        self._viewer, self._adding = viewer, adding
        self._layer: Image | None = None
        self._before: tuple[Any, Limits, str, Mapping[str, Any]] | None = None
        self._pictured = False
        self._shown: tuple[float, ...] = ()

    def begin(self, part: Part) -> None:
        """Make another layer from now on."""
        self._part = part
        self._layer = self._before = None
        self._pictured = False

    def picture(self, image: Any, limits: Limits, short: str) -> None:
        """Show an estimate on the way; its contrast follows it until the user sets another."""
        stood = self._stands()
        follows = stood and tuple(self._layer.contrast_limits) == self._shown
        self._put(image, limits, f"{short} …", provenance({}, "result"))
        if follows:
            set_contrast(self._layer, limits)
        if follows or not stood:
            self._shown = tuple(self._layer.contrast_limits)
        self._pictured = True

    def show(self, image: Any, limits: Limits, short: str, metadata: Mapping[str, Any]) -> None:
        """Show a result."""
        stood = self._stands()
        self._put(image, limits, short, metadata)
        if stood:
            set_contrast(self._layer, limits)
        self._before = (image, limits, short, metadata)
        self._pictured = False

    def take_back(self) -> None:
        """Go back to the result before, if a run has left pictures but no result."""
        if not self._pictured or not self._stands():
            return
        if self._before is None:
            self._viewer.layers.remove(self._layer)
        else:
            self.show(*self._before)

    def _stands(self) -> bool:
        return self._layer is not None and self._layer in self._viewer.layers

    def _put(self, image: Any, limits: Limits, short: str, metadata: Mapping[str, Any]) -> None:
        options = on_source(self._part, short, metadata)
        if not self._stands():
            self._layer = self._adding.layer(make_result([image], options, limits))
            return
        self._layer.data = image
        self._layer.name, self._layer.metadata = options["name"], options["metadata"]
        note_made(self._layer)
