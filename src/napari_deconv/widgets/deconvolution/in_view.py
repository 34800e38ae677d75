"""What a preview deconvolves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.widgets.common.parts import Part, seen, surroundings
from napari_deconv.widgets.common.results import aside
from napari_deconv.widgets.deconvolution.work import planes_of, preview_part

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_deconv.widgets.common.preview import LayerData

__all__ = ["InView"]

# Voxels of a preview, and those that its background is measured on: some tenths of a second.
_MOST_SEEN = 800_000
_MOST_AROUND = 800_000
_MARGIN = 8  # voxels around a preview that are computed and not shown


class InView:
    """The part of an image that is in view, as deep as its PSF reaches.

    Parameters
    ----------
    viewer : ViewerModel
        Says what is in view.
    source, psf : Part
        The whole image, and the PSF.
    given : mapping
        What `deconvolve_part` is called with.

    Attributes
    ----------
    job : callable
        Deconvolves it.
    extent : str
        How large it is.
    """

    def __init__(
        self, viewer: ViewerModel, source: Part, psf: Part, given: Mapping[str, Any]
    ) -> None:
        depth = planes_of(psf, given) - 1  # as far as the PSF reaches from the plane that is seen
        self._seen = seen(viewer, source, depth, _MOST_SEEN)
        self._around = self._seen.grown((_MARGIN, _MARGIN))
        self.extent = self._seen.extent
        other: dict[str, Any] = {}
        if given["boundary"] == "padded":
            other["boundary"] = "half_padded"  # in less than half the time
        if given["background"] == "auto":  # that of the planes about the one that is seen
            plane = seen(viewer, source, 0, _MOST_SEEN)
            other["background"] = surroundings(plane, _MOST_AROUND)
        self.job = partial(preview_part, self._around, psf, **{**given, **other})

    def layer(self, result: Any, name: str) -> LayerData:
        """Make what is shown of a result, or of an estimate on the way to it."""
        image = np.asarray(result).reshape(self._around.shape)[self._seen.within(self._around)]
        return aside(self._seen, image, name, 0)
