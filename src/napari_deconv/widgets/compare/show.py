"""The ways to look at layers together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deconv.widgets.common.layers import KEY, micrometres
from napari_deconv.widgets.compare.names import fit_name
from napari_deconv.widgets.compare.profile import Profile
from napari_deconv.widgets.compare.split import Split
from napari_deconv.widgets.compare.stage import ADDITION, Picture, Stage
from napari_deconv.widgets.compare.world import extent, full_shape

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Show"]

_PROJECTED = " · projections"


class Show:
    """What is on the canvas while layers are compared.

    Every temporary layer is made once, when a view first needs it.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    sources : sequence of Image
        The user's layers, the left or first one first.
    disturbed : callable
        See `Stage`.
    dragged : callable
        See `Split`.
    moved : callable
        See `Profile`.
    stepped : callable
        Called when a slider is moved while projections are shown.

    Attributes
    ----------
    pictures : list of Picture
        The temporary layers that show the user's, shown now or not.
    projections_of : sequence
        Says of what there are projections; empty where there are none.
    renewals : int
        How often a source has got other voxels.
    profile : Profile or None
        The line, if it is shown.
    split : Split or None
        The divider, if it is shown.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        sources: Sequence[Image],
        disturbed: Callable[[], None],
        dragged: Callable[[float], None],
        moved: Callable[[], None],
        stepped: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._sources = list(sources)
        self._stage = Stage(viewer, sources, disturbed)
        self._dragged = dragged
        self._first = 0
        self._camera: list[tuple[Any, float]] = []
        self._line = Profile(viewer, sources[0], moved)
        self._divider: Split | None = None
        self._montages: list[Image] = []
        self._stepped = stepped
        self.projections_of: Sequence[Any] = ()
        self.renewals = self._projected_at = 0
        self._contrast: dict[Image, tuple[float, ...]] = {}
        self.pictures: list[Picture] = []
        self.profile: Profile | None = None
        self.split: Split | None = None
        for source in sources:
            source.events.data.connect(self._renew)
        viewer.dims.events.point.connect(self._step)
        viewer.canvas.events.size.connect(self._fit_names)

    @property
    def complete(self) -> bool:
        """Whether all layers are still there."""
        return self._stage.complete

    @property
    def is_projected(self) -> bool:
        """Whether projections are shown."""
        return any(montage.visible for montage in self._montages)

    def as_they_are(self, profiled: bool) -> None:
        """Show the user's layers; with a line for profiles across them if `profiled`."""
        self._begin()
        self._stage.on_top(self._lines(1 if profiled else 0))
        self._take_hold()

    def beside(self, profiled: bool) -> None:
        """Show the layers side by side."""
        self._begin()
        pictures = self._pictured()
        whole = _nearly_whole(self._viewer, self._sources[0])
        lines = self._lines(len(pictures) if profiled else 0)
        cells = zip_longest(pictures, lines) if lines else zip(pictures, strict=True)
        self._stage.in_grid(list(cells))
        self._take_hold()
        if whole:
            self._fit(pictures)

    def divided(self, profiled: bool) -> None:
        """Show the first two layers left and right of a divider."""
        self._begin()
        pictures = self._pictured()[:2]
        pictures[1].name_overlay.position = "top_right"
        if self._divider is None:
            self._divider = Split(self._viewer, *self.pictures[:2], self._dragged)
        self.split = self._divider
        self.split.open()
        lines = self._lines(1 if profiled else 0)
        self._stage.instead([*pictures, self.split.line, *lines])
        self._take_hold()

    def blinking(self, profiled: bool) -> None:
        """Show one layer after the other."""
        self._begin()
        pictures = self._pictured()
        self._stage.instead([*pictures, *self._lines(1 if profiled else 0)])
        self._take_hold()
        self._show_one()

    def take_projections(
        self, of: Sequence[Any], renewals: int, projections: Sequence[tuple[Any, float]]
    ) -> None:
        """Take the projections of the layers, each a montage and its pixel in µm.

        If sources had got other voxels when they were begun, at so many `renewals`, contrast is set
        anew that the user has not.
        """
        pairs = zip(self._sources, projections, strict=True)
        if self._montages:
            for layer, (source, (montage, pixel)) in zip(self._montages, pairs, strict=True):
                layer.data = _in_series(source, montage)
                scale = _montage_scale(source, pixel)
                if not np.array_equal(layer.scale, scale):  # napari draws it anew even then
                    layer.scale = scale
        else:
            self._montages = [_montage(source, *projection) for source, projection in pairs]
        if not self._contrast or renewals != self._projected_at:
            for layer, (montage, _) in zip(self._montages, projections, strict=True):
                self._set_contrast(layer, montage)
        self.projections_of, self._projected_at = of, renewals

    def _set_contrast(self, layer: Image, montage: Any) -> None:
        before = self._contrast.setdefault(layer, tuple(layer.contrast_limits))
        low, high = np.percentile(montage, (0.5, 99.9))
        if low < high and before == tuple(layer.contrast_limits):
            layer.contrast_limits = low, high
            self._contrast[layer] = tuple(layer.contrast_limits)

    def projected(self) -> None:
        """Show the projections side by side."""
        self._begin()
        self._stage.in_grid([[montage] for montage in self._montages])
        self._fit_names()
        self._fit(self._montages)

    def flip(self) -> None:
        """Show the next layer."""
        self._first = (self._first + 1) % len(self.pictures)
        self._show_one()

    def close(self) -> None:
        """Leave everything as it was."""
        self._let_go()
        for source in self._sources:
            source.events.data.disconnect(self._renew)
        self._viewer.dims.events.point.disconnect(self._step)
        self._viewer.canvas.events.size.disconnect(self._fit_names)
        self._stage.close()
        self._unfit()
        self._montages, self.pictures, self._divider = [], [], None
        self._contrast = {}

    def _begin(self) -> None:
        """Leave the view before."""
        divided = self.split is not None
        self._let_go()
        self._unfit()
        if divided:
            self._divider.join()

    def _let_go(self) -> None:
        self._line.close()
        if self.split is not None:
            self.split.close()
        self.profile = self.split = None

    def _renew(self, event: Any) -> None:
        """Show the new voxels of a layer, as of a result while it is computed."""
        for picture in self.pictures:
            source = picture.source
            if source == event.source and self.split is not None:
                self.split.renew(picture)
            elif source == event.source:
                picture.layer.data = source.data
        self.renewals += 1
        self._step()
        if self.profile is not None:
            self.profile.moved()

    def _step(self, event: Any = None) -> None:
        if self.is_projected:
            self._stepped()

    def _pictured(self) -> list[Image]:
        """Give the layers that show the sources."""
        if not self.pictures:
            self.pictures = [Picture(source) for source in self._sources]
        layers = [picture.layer for picture in self.pictures]
        for layer in layers:
            layer.name_overlay.visible = True
            layer.name_overlay.position = "top_left"
        return layers

    def _lines(self, copies: int) -> list[Layer]:
        """Give the layers with the line for profiles."""
        if copies == 0:
            return []
        self.profile = self._line
        return list(self._line.open(copies))

    def _take_hold(self) -> None:
        self._fit_names()
        if self.profile is not None:
            self.profile.take_hold()

    def _fit_names(self, event: Any = None) -> None:
        """Cut names that are too long for their cell, or their side of the divider.

        Those of layers that are put by are in full, and first: napari numbers equal names.
        """
        _, width = self._viewer.canvas.viewbox_size(self._viewer.layers)
        room = width if self.split is None else width / 2
        montages = list(zip(self._montages, self._sources, strict=False))  # there may be none yet
        pictures = [(picture.layer, picture.source) for picture in self.pictures]
        projected = self.is_projected
        groups = [(montages, _PROJECTED, projected), (pictures, ADDITION, not projected)]
        for named, addition, now in sorted(groups, key=itemgetter(2)):
            for layer, source in named:
                fit_name(layer, source.name, addition, room if now else inf)

    def _show_one(self) -> None:
        for number, picture in enumerate(self.pictures):
            picture.layer.visible = number == self._first

    def _fit(self, layers: Sequence[Layer]) -> None:
        """Fit the view, and remember what it was and is."""
        camera = self._viewer.scene.camera
        before = tuple(camera.center), camera.zoom
        self._viewer.reset_view(layers=layers, reset_camera_angle=False)
        self._camera = [before, (tuple(camera.center), camera.zoom)]

    def _unfit(self) -> None:
        """Look from where one looked before, unless the user has moved since."""
        camera = self._viewer.scene.camera
        if self._camera:
            before, fitted = self._camera
            if (tuple(camera.center), camera.zoom) == fitted:
                camera.center, camera.zoom = before
        self._camera = []


def _nearly_whole(viewer: ViewerModel, layer: Image) -> bool:
    """Tell whether the canvas shows most of a layer: then all of it is to be seen in a cell too."""
    box = np.ptp(extent(viewer, layer), axis=0)
    offset = viewer.dims.ndim - layer.ndim
    sides = np.array([box[axis - offset] for axis in viewer.dims.displayed[-2:] if axis >= offset])
    size = np.array(viewer.canvas.size[-len(sides) :])
    return viewer.dims.ndisplay == 2 and bool(np.all(sides * viewer.scene.camera.zoom < 1.3 * size))


def _in_series(source: Image, montage: Any) -> Any:
    """Repeat a montage without copying it, wherever the sliders of the source stand."""
    return np.broadcast_to(montage, (*full_shape(source)[:-2], *montage.shape))


def _montage_scale(source: Image, pixel: float) -> list[float]:
    return [*source.scale[:-2], *(pixel / micrometres(source.units[-2:]))]


def _montage(source: Image, montage: Any, pixel: float) -> Image:
    """Make a layer that shows a montage."""
    layer = Image(
        _in_series(source, montage),
        name=f"{source.name}{_PROJECTED}",
        scale=_montage_scale(source, pixel),
        translate=[*source.translate[:-2], 0, 0],
        units=source.units,
        axis_labels=source.axis_labels,
        rgb=False,
        colormap=source.colormap,
        gamma=source.gamma,
        interpolation2d="linear",
        visible=False,
        metadata={KEY: {"role": "aside"}},
    )
    layer.name_overlay.visible = True
    layer.name_overlay.position = "top_left"
    return layer
