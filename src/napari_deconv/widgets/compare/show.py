"""The ways to look at layers together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deconv.widgets.compare.profile import Profile
from napari_deconv.widgets.compare.split import Split
from napari_deconv.widgets.compare.stage import Picture, Stage
from napari_deconv.widgets.compare.world import extent, full_shape
from napari_deconv.widgets.layers import KEY, micrometres

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

__all__ = ["Show"]


class Show:
    """What is on the canvas while layers are compared.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.
    sources : sequence of Image
        The user's layers, the left or first one first.
    disturbed : callable
        See `Stage`.

    Attributes
    ----------
    pictures : list of Picture
        The temporary layers.
    profile : Profile or None
        The line, if there is one.
    split : Split or None
        The divider, if there is one.
    """

    def __init__(
        self, viewer: ViewerModel, sources: Sequence[Image], disturbed: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._sources = list(sources)
        self._stage = Stage(viewer, sources, disturbed)
        self._first = 0
        self._camera: list[tuple[Any, float]] = []
        self.pictures: list[Picture] = []
        self.profile: Profile | None = None
        self.split: Split | None = None
        for source in sources:
            source.events.data.connect(self._renew)

    @property
    def complete(self) -> bool:
        """Whether all layers are still there."""
        return self._stage.complete

    def as_they_are(self, moved: Callable[[], None]) -> None:
        """Only lay a line for profiles across the user's layers."""
        self._add_profile(1, moved)
        self._stage.add(self._lines())
        self._take_hold()

    def beside(self, moved: Callable[[], None] | None) -> None:
        """Show the layers side by side; with a line for profiles if `moved` is given."""
        self._take_over()
        whole = _nearly_whole(self._viewer, self._sources[0])
        self._add_profile(len(self.pictures), moved)
        lines = [[line] for line in self._lines()] or [[] for _ in self.pictures]
        layers = [[picture.layer] for picture in self.pictures]
        self._stage.add_beside([one + line for one, line in zip(layers, lines, strict=True)])
        self._take_hold()
        if whole:
            self._fit([picture.layer for picture in self.pictures])

    def divided(self, dragged: Callable[[float], None], moved: Callable[[], None] | None) -> None:
        """Show the first two layers left and right of a divider."""
        self._take_over(2)
        self.pictures[1].layer.name_overlay.position = "top_right"
        self.split = Split(self._viewer, *self.pictures, dragged)
        self._add_profile(1, moved)
        layers = [picture.layer for picture in self.pictures]
        self._stage.add([*layers, self.split.line, *self._lines()])
        self._take_hold()

    def blinking(self, moved: Callable[[], None] | None) -> None:
        """Show one layer after the other."""
        self._take_over()
        self._add_profile(1, moved)
        self._stage.add([*(picture.layer for picture in self.pictures), *self._lines()])
        self._take_hold()
        self._show_one()

    def projected(self, projections: Sequence[tuple[Any, float]]) -> None:
        """Show the projections of the layers side by side, each a montage and its pixel in µm."""
        self._stage.hide_others()
        pairs = zip(self._sources, projections, strict=True)
        montages = [_montage(source, *projection) for source, projection in pairs]
        self._stage.add_beside([[montage] for montage in montages])
        self._fit(montages)

    def flip(self) -> None:
        """Show the next layer."""
        self._first = (self._first + 1) % len(self.pictures)
        self._show_one()

    def close(self) -> None:
        """Leave everything as it was."""
        for part in (self.profile, self.split):
            if part is not None:
                part.close()
        for source in self._sources:
            source.events.data.disconnect(self._renew)
        self._stage.close()
        camera = self._viewer.scene.camera
        if self._camera:
            before, fitted = self._camera
            if (tuple(camera.center), camera.zoom) == fitted:  # not moved by the user since
                camera.center, camera.zoom = before
        self.pictures = []
        self.profile = self.split = None

    def _renew(self, event: Any) -> None:
        """Show the new voxels of a layer, as of a result while it is computed."""
        for picture in self.pictures:
            source = picture.source
            if source == event.source and self.split is not None:
                self.split.renew(picture)
            elif source == event.source:
                picture.layer.data = source.data
        if self.profile is not None:
            self.profile.moved()

    def _take_over(self, most: int | None = None) -> None:
        self.pictures = [Picture(source) for source in self._sources[:most]]
        self._stage.hide_others()
        for picture in self.pictures:
            picture.layer.name_overlay.visible = True
            picture.layer.name_overlay.position = "top_left"

    def _add_profile(self, copies: int, moved: Callable[[], None] | None) -> None:
        if moved is not None:
            self.profile = Profile(self._viewer, self._sources[0], copies, moved)

    def _take_hold(self) -> None:
        if self.profile is not None:
            self.profile.take_hold()

    def _lines(self) -> list[Layer]:
        return [] if self.profile is None else list(self.profile.lines)

    def _show_one(self) -> None:
        for number, picture in enumerate(self.pictures):
            picture.layer.visible = number == self._first

    def _fit(self, layers: Sequence[Layer]) -> None:
        """Fit the view, and remember what it was and is."""
        camera = self._viewer.scene.camera
        before = tuple(camera.center), camera.zoom
        self._viewer.reset_view(layers=layers, reset_camera_angle=False)
        self._camera = [before, (tuple(camera.center), camera.zoom)]


def _nearly_whole(viewer: ViewerModel, layer: Image) -> bool:
    """Tell whether the canvas shows most of a layer: then all of it is to be seen in a cell too."""
    box = np.ptp(extent(viewer, layer), axis=0)
    offset = viewer.dims.ndim - layer.ndim
    sides = np.array([box[axis - offset] for axis in viewer.dims.displayed[-2:] if axis >= offset])
    size = np.array(viewer.canvas.size[-len(sides) :])
    return viewer.dims.ndisplay == 2 and bool(np.all(sides * viewer.scene.camera.zoom < 1.3 * size))


def _montage(source: Image, montage: Any, pixel: float) -> Image:
    """Make a layer that shows a montage wherever the sliders of the source stand."""
    scale = [*source.scale[:-2], *(pixel / micrometres(source.units[-2:]))]
    layer = Image(
        np.broadcast_to(montage, (*full_shape(source)[:-2], *montage.shape)),
        name=f"{source.name} · projections",
        scale=scale,
        translate=[*source.translate[:-2], 0, 0],
        units=source.units,
        axis_labels=source.axis_labels,
        rgb=False,
        colormap=source.colormap,
        gamma=source.gamma,
        interpolation2d="linear",
        metadata={KEY: {"role": "compared"}},
    )
    low, high = np.percentile(montage, (0.5, 99.9))
    if low < high:
        layer.contrast_limits = low, high
    layer.name_overlay.visible = True
    layer.name_overlay.position = "top_left"
    return layer
