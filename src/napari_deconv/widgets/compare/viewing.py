"""The part of Compare that shows layers together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtGui import QHideEvent, QKeySequence, QShortcut, QShowEvent

from napari_deconv.widgets.common.base import OperationWidget
from napari_deconv.widgets.common.layers import known, origin, role, spacing_is_certain
from napari_deconv.widgets.common.plot import Curve, Plot
from napari_deconv.widgets.common.window import main_window
from napari_deconv.widgets.compare.contrast import set_contrasts
from napari_deconv.widgets.compare.fields import CompareFields, image_choice
from napari_deconv.widgets.compare.show import Show
from napari_deconv.widgets.compare.world import length, sample_line

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel
    from napari.layers import Layer


__all__ = ["ViewingWidget"]

_SOON = 30  # ms between two looks at a line that is dragged


class ViewingWidget(OperationWidget):
    """Shows layers side by side, split or in turn, and profiles along a line.

    A subclass writes `_project` and `_follow`, which show their projections.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.image = image_choice("Before", "The left, or first one: the raw image.", self._images)
        self.after = image_choice("After", "The right, or second one: the result.", self._images)
        self.third = image_choice("And", "A third one, side by side or blinking.", self._images)
        self.psf = image_choice(
            "PSF", "What the result is blurred with, to be compared with the image.", self._images
        )
        self.fields = fields = CompareFields()
        self._now: Show | None = None
        self._shown: tuple[Any, ...] = ()
        main = [self.image, self.after, fields.swap, self.third, fields.view, fields.divider]
        main += [fields.interval, fields.contrast, fields.darkest, fields.brightest]
        main += [fields.measure, fields.normalised, self.psf, fields.gain, fields.offset]
        self._build([*main, self.voxel_size.field, self.voxel_size.note], [])
        self.plot = Plot()
        self.plot.setVisible(False)
        self.layout().insertWidget(1, self.plot)
        self._make_timers()
        self._listen()
        self._arrange()

    def _make_timers(self) -> None:
        """Make timers that go with the window."""
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._show_again)
        self._moved = QTimer(self, singleShot=True, interval=_SOON)
        self._moved.timeout.connect(self._draw_profile)
        self._slid = QTimer(self, singleShot=True, interval=0)
        self._slid.timeout.connect(self._move_divider)
        self._stepped = QTimer(self, singleShot=True, interval=0)
        self._stepped.timeout.connect(self._follow)
        self._blink = QTimer(self)
        self._blink.timeout.connect(self._flip)
        self.blink_key = QShortcut(QKeySequence("B"), self, self._flip_by_key)
        self.blink_key.setEnabled(False)

    def _listen(self) -> None:
        fields = self.fields
        for field in (self.image, self.after, self.third, fields.view, fields.measure):
            field.changed.connect(lambda _: self._soon.start())
        for field in (fields.contrast, fields.darkest, fields.brightest):
            field.changed.connect(self._set_contrasts)
        self.resolution.changed.connect(self._project_again)
        fields.swap.changed.connect(self._swap)
        fields.divider.changed.connect(lambda _: self._slid.start())
        fields.interval.changed.connect(self._set_blinking)
        fields.normalised.changed.connect(self._draw_profile)
        fields.measure.changed.connect(lambda _: self.plot.hide())
        self.after.changed.connect(self._take_its_source)

    # -- fields ----------------------------------------------------------------------------------
    def _images(self, field: ComboBox) -> list[tuple[str, Image]]:
        """List the images of the user."""
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Image) and role(layer) != "aside"
        ]

    def _layer_fields(self) -> dict[ComboBox, Sequence[str]]:
        return {
            self.after: ("result",),
            self.image: ("image",),
            self.third: (),
            self.psf: ("psf", "true psf"),
        }

    def _choice(self, field: ComboBox, roles: Sequence[str], by_hand: bool) -> Layer | None:
        before = field.value
        busy = self._now is not None and field is not self.psf
        chosen = super()._choice(field, roles, by_hand)
        layers = [layer for layer in field.choices if layer is not None]
        if before in layers and (by_hand or busy):
            return before
        if field is self.image and not by_hand:
            return self._its_source() or chosen
        if field is self.psf and not by_hand:
            return self._its_psf() or chosen
        return chosen

    def _is_multiscale(self) -> bool:
        """Tell whether something that is measured or projected has several resolutions."""
        measured = self.fields.measure.value not in ("none", "profile")
        read = measured or self.fields.view.value == "projections"
        return read and any(layer.multiscale for layer in self._sources())

    def _made(self) -> Mapping[str, Any]:
        """Read how After was made, here or before it was saved."""
        return {} if self.after.value is None else known(self.after.value)

    def _its_source(self) -> Layer | None:
        name = self._made().get("source")
        return next((layer for layer in self.image.choices if layer and layer.name == name), None)

    def _its_psf(self) -> Layer | None:
        return self._its_input("psf", [layer for layer in self.psf.choices if layer is not None])

    def _its_input(self, name: str, layers: Iterable[Layer]) -> Layer | None:
        """Find among layers the one that After was made with."""
        its = dict(self._made().get("inputs", {}).get(name, {}))
        its.pop("spacing", None)  # of the run, not of the place
        found = (layer for layer in layers if its in (origin(layer), {"layer": layer.name}))
        return next(found, None)

    def _take_its_source(self) -> None:
        for field, its in ((self.image, self._its_source()), (self.psf, self._its_psf())):
            if field not in self._by_hand and its is not None:
                field.value = its
                self._by_hand.discard(field)

    def _swap(self) -> None:
        before, after = self.image.value, self.after.value
        self.after.value, self.image.value = before, after
        self._by_hand |= {self.image, self.after}

    def _applies(self) -> dict[ValueWidget, bool]:
        measure, view = self.fields.measure.value, self.fields.view.value
        needs_voxel = measure in ("spectrum", "halves", "pair", "residual") or view == "projections"
        return self.fields.applies() | {
            self.psf: measure == "residual",
            self.voxel_size.field: needs_voxel,
            self.voxel_size.note: needs_voxel,
            self.device: False,
        }

    def _arrange(self) -> None:
        super()._arrange()
        self.more_button.hide()
        self.history.hide()  # there is nothing to go back to
        at_once = self.fields.measure.value in ("none", "profile")
        self.run_button.setVisible(self._worker is not None or not at_once)

    def _lasting(self) -> dict[str, ValueWidget]:
        fields = self.fields
        return {name: getattr(fields, name) for name in ("interval", "darkest", "brightest")}

    def _parameters(self) -> dict[str, ValueWidget]:
        return super()._parameters() | vars(self.fields)

    # -- showing ---------------------------------------------------------------------------------
    def _sources(self) -> list[Image]:
        chosen = (self.image.value, self.after.value, self.third.value)
        return [layer for layer in dict.fromkeys(chosen) if layer is not None]

    def _disturbed(self) -> None:
        self._shown = ()
        self._soon.start()

    def _show_again(self) -> None:
        """Show what the fields say now, if that is something else than before."""
        fields = self.fields
        if self._now is not None and not self._now.complete:
            self._leave()
            fields.view.value = "none"
            if fields.measure.value == "profile":
                fields.measure.value = "none"
        sources, view = self._sources(), fields.view.value
        profiled = fields.measure.value == "profile" and view != "projections"
        if not self.isVisibleTo(main_window(self)):  # the dock has a button that hides it
            view, profiled = "none", False
        wanted = (view, profiled, *sources)
        if wanted == self._shown:
            return
        self._blink.stop()
        ends = None
        few = not sources or (view != "none" and len(sources) < 2)
        over = few or (view == "none" and not profiled)
        if over or self._shown[2:] != tuple(sources):
            ends = self._leave()
        self._shown = wanted
        if few and view != "none":
            self.result_line.setText("Choose two layers, Before and After.")
        elif not over:
            self._show_view(sources, view, profiled)
            if ends is not None and self._now.profile is not None:
                self._now.profile.ends = ends
            self._look()

    def _show_view(self, sources: Sequence[Image], view: str, profiled: bool) -> None:
        self.result_line.setText(_other_scales(sources))
        if self._now is None:
            then = self._disturbed, self._take_divider, self._look, self._stepped.start
            self._now = Show(self._viewer, sources, *then)
        show = self._now
        if view == "beside":
            show.beside(profiled)
        elif view == "split":
            show.divided(profiled)
            self._move_divider()
        elif view == "blink":
            show.blinking(profiled)
            self._set_blinking()
        elif view == "projections":
            self._project()
        else:
            show.as_they_are(profiled)
        self.blink_key.setEnabled(view == "blink")
        self._set_contrasts()

    def _leave(self) -> Any:
        """Leave everything as it was; return where the profile's line lay, to lie there again."""
        self._blink.stop()
        self._moved.stop()
        self.blink_key.setEnabled(False)
        self._shown = ()
        if self._now is None:
            return None
        show, self._now = self._now, None
        ends = None if show.profile is None else show.profile.ends
        show.close()
        return ends if ends is not None and len(ends[0]) == self._viewer.dims.ndim else None

    def _set_contrasts(self) -> None:
        if self._now is not None:
            limits = self.fields.darkest.value, self.fields.brightest.value
            set_contrasts(self._viewer, self._now.pictures, self.fields.contrast.value, limits)

    def _move_divider(self) -> None:
        if self._now is not None and self._now.split is not None:
            self._now.split.move(self.fields.divider.value)

    def _take_divider(self, place: float) -> None:
        self.fields.divider.value = place

    def _set_blinking(self) -> None:
        seconds = self.fields.interval.value
        if self._now is not None and self.fields.view.value == "blink" and seconds > 0:
            self._blink.start(round(1000 * seconds))
        else:
            self._blink.stop()

    def _flip(self) -> None:
        if self._now is not None:
            self._now.flip()

    def _flip_by_key(self) -> None:
        self._flip()
        self._set_blinking()  # the next one by itself is a whole interval later

    # -- profile ---------------------------------------------------------------------------------
    def _look(self) -> None:
        if not self._moved.isActive():
            self._moved.start()

    def _draw_profile(self) -> None:
        if self._now is None or self._now.profile is None:
            return
        layers = [layer for layer in self._sources() if not layer.rgb]
        if not layers:
            self.result_line.setText("Profiles are of grey values: split the RGB picture.")
            return
        start, end = self._now.profile.ends
        place, profiles = sample_line(self._viewer, layers, start, end)
        way, unit = length(self._viewer, start, end)
        label = "grey value"
        if self.fields.normalised.value:
            profiles, label = [_from_0_to_1(profile) for profile in profiles], "0 to 1"
        curves = [
            Curve(layer.name, place * way, profile)
            for layer, profile in zip(layers, profiles, strict=True)
        ]
        self.plot.show_curves(curves, x_label=f"distance ({unit})", y_label=label)
        self.plot.show()

    def _project_again(self) -> None:
        if self._now is not None and self.fields.view.value == "projections":
            self._project()

    def _project(self) -> None:
        """Show projections of the layers."""
        raise NotImplementedError

    def _follow(self) -> None:
        """Make projections anew where a slider has moved on in a series."""
        raise NotImplementedError

    # -- hiding and closing ----------------------------------------------------------------------
    def showEvent(self, event: QShowEvent) -> None:
        """Go on with what the fields say."""
        super().showEvent(event)
        self._soon.start()

    def hideEvent(self, event: QHideEvent) -> None:
        """Put everything back while the dock is hidden."""
        super().hideEvent(event)
        self._soon.start()

    def changeEvent(self, event: QEvent) -> None:
        """Put everything back when the dock is closed."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._soon.stop()
            self._leave()


def _other_scales(layers: Sequence[Image]) -> str:
    """Name the layers that napari cannot lay on the others; most readers leave out the unit."""
    without = [layer.name for layer in layers if not spacing_is_certain(layer)]
    if len(without) in (0, len(layers)):
        return ""
    names = " and ".join(f"“{name}”" for name in without)
    return (
        f"Not in the scale of the other layers, which have a unit: {names}. Set scale and unit in "
        "Layers → Metadata → Layer metadata."
    )


def _from_0_to_1(profile: Any) -> Any:
    known = profile[np.isfinite(profile)]
    if known.size == 0 or np.ptp(known) == 0:
        return 0 * profile
    return (profile - known.min()) / np.ptp(known)
