"""Dock widget: Compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QEvent

from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.provenance import describe, made
from napari_deconv.widgets.common.fields import given_spacing, read_number
from napari_deconv.widgets.common.layers import made_here, provenance, space_axes, spacing
from napari_deconv.widgets.common.workers import Task, Worker
from napari_deconv.widgets.compare import measures
from napari_deconv.widgets.compare.viewing import ViewingWidget
from napari_deconv.widgets.compare.world import current_volume, place

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_deconv.gain import CameraGain
    from napari_deconv.widgets.common.parts import Part

__all__ = ["CompareWidget"]

_PROJECTIONS = "Maximum projections: XY, XZ below it, YZ to its right, all in the same scale."
_UNKNOWN_MASK = (
    " What the run left out counts here: the labels over it are not open, open them under the name "
    "that they had."
)
_SIGMAS = 5.0  # of a residual, from the darkest to the brightest colour


class CompareWidget(ViewingWidget):
    """Look at layers together, and measure how they differ; none of them is changed."""

    title = "Compare"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        self._tell: Callable[[Any], str] = str
        self._levels: dict[str, int] = {}
        self._projecting: Worker | None = None
        self._projected: list[tuple[Image, int, tuple[int, ...], int]] = []
        super().__init__(napari_viewer)

    # -- projections -----------------------------------------------------------------------------
    def _project(self) -> None:
        if self._now.projections_of == self._volumes():
            self._show_projections()
            return
        self._now.as_they_are(False)  # while it computes
        self.result_line.setText("Making the projections …")
        self._make_projections()

    def _follow(self) -> None:
        if self._now is not None and self._now.is_projected:
            self._make_projections()

    def _volumes(self) -> list[tuple[Image, int, tuple[int, ...], int]]:
        """Say what is projected of each layer: resolution, place in a series, how often renewed."""
        return [
            (layer, self._level(layer), place(self._viewer, layer), self._now.renewals)
            for layer in self._sources()
        ]

    def _make_projections(self) -> None:
        """Make projections of what is shown, unless there are; one after the other."""
        volumes = self._volumes()
        if self._projecting is not None or self._now.projections_of == volumes:
            return
        try:
            parts = [
                current_volume(self._viewer, layer, "layer", level) for layer, level, *_ in volumes
            ]
            task = Task("Projections", partial(measures.project, self._named(parts)))
        except DeconvError as error:
            self._failed(error)
            return
        self._projecting = worker = Worker(task)  # not a run: it is for each step of a slider
        self._projected = volumes
        worker.returned.connect(self._take_projections)
        worker.errored.connect(self._failed)
        worker.finished.connect(self._go_on_projecting)
        worker.start()

    def _take_projections(self, made: Sequence[tuple[Any, float]]) -> None:
        """Show projections, unless the view has been left meanwhile."""
        if not self._projects() or [layer for layer, *_ in self._projected] != self._sources():
            return
        (renewals,) = {renewals for *_, renewals in self._projected}
        self._now.take_projections(self._projected, renewals, made)
        if not self._now.is_projected:
            self._show_projections()

    def _go_on_projecting(self) -> None:
        """Go on with what is shown now, if it is something else."""
        self._projecting = None
        if self._projects() and self._projected != self._volumes():
            self._make_projections()

    def _projects(self) -> bool:
        return self._now is not None and self.fields.view.value == "projections"

    def _show_projections(self) -> None:
        self._now.projected()
        levels = {layer.name: level for layer, level, *_ in self._volumes() if layer.multiscale}
        self.result_line.setText(f"{_PROJECTIONS}{_resolutions(levels)}")

    def changeEvent(self, event: QEvent) -> None:
        """Drop the projections that are on their way when the dock is closed."""
        super().changeEvent(event)
        closed = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if closed and self._projecting is not None:
            self._projecting.quit()

    # -- measuring -------------------------------------------------------------------------------
    def _prepare(self) -> Callable[..., Any]:
        prepare = {
            "spectrum": self._prepare_spectrum,
            "halves": self._prepare_halves,
            "pair": self._prepare_pair,
            "residual": self._prepare_residual,
            "split": self._prepare_split,
        }.get(self.fields.measure.value)
        if prepare is None:
            raise DeconvError("Nothing is to be measured: choose it above.")
        self._levels = {}
        return prepare()

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        super()._run(prepare)
        self._arrange()

    def _finished(self) -> None:
        super()._finished()
        self._arrange()

    def _input_layers(self) -> dict[str, Layer | None]:
        """Name none: of what is measured nothing is written down that could be had again."""
        return {}

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        line = f"{self._tell(result)}{_resolutions(self._levels)}"
        return line, describe("compare", {}, get_engine("cpu"))

    def _take(self, layer: Image | None, purpose: str) -> Part:
        part = current_volume(self._viewer, layer, purpose, self._level(layer))
        if part.layer.multiscale:
            self._levels[part.layer.name] = part.level
        return part

    def _voxel_of(self, part: Part) -> tuple[float, ...]:
        """Read a voxel size; a layer without one has that of Before."""
        layer, axes = part.layer, space_axes(part.layer)
        own = None if layer == self.image.value else spacing(layer)
        voxel = own or self.voxel_size.value(axes)
        return tuple((np.array(voxel) * part.factors[-axes:]).tolist())

    def _named(self, parts: Sequence[Part]) -> list[tuple[str, Part, tuple[float, ...]]]:
        return [(part.layer.name, part, self._voxel_of(part)) for part in parts]

    def _prepare_spectrum(self) -> Callable[..., Any]:
        self._tell = self._show_spectra
        layers = self._sources()
        if not layers:
            raise DeconvError("No layer is chosen: open one, then choose it above.")
        parts = [self._take(layer, "layer") for layer in layers]
        return partial(measures.spectra, self._named(parts))

    def _prepare_halves(self) -> Callable[..., Any]:
        self._tell = self._show_correlation
        part = self._take(self.image.value, "image before")
        voxel, known = self._voxel_of(part), self._found_for(part)
        return partial(measures.correlate_halves, part.layer.name, part, voxel, known)

    def _prepare_pair(self) -> Callable[..., Any]:
        self._tell = self._show_correlation
        first = self._take(self.image.value, "image before")
        second = self._take(self.after.value, "image after")
        names, voxel = (first.layer.name, second.layer.name), self._voxel_of(first)
        return partial(measures.correlate_pair, names, first, second, voxel)

    def _prepare_split(self) -> Callable[..., Any]:
        self._tell = self._show_halves
        self._part = self._take(self.image.value, "image before")
        return partial(measures.halves, self._part, self._found_for(self._part))

    def _prepare_residual(self) -> Callable[..., Any]:
        left_out = self._left_out()
        counts_all = left_out is None and "mask" in self._made().get("inputs", {})
        centre_psf = self._made().get("parameters", {}).get("centre_psf", True)
        self._part = part = self._take(self.image.value, "image before")
        result, psf = (
            self._take(self.after.value, "result after"),
            current_volume(self._viewer, self.psf.value, "PSF"),
        )
        layers = {"image": part.name, "result": result.name, "psf": psf.name}
        if left_out is not None:
            layers["mask"] = left_out.name
        voxels = self._voxel_of(part), given_spacing(psf.layer)
        taken = {"layers": layers, "spacing": voxels[0], "psf_spacing": voxels[1],
                 "place": place(self._viewer, part.layer), "centre_psf": centre_psf}  # fmt: skip
        note = _UNKNOWN_MASK if counts_all else ""
        self._tell = partial(self._show_residual, taken, note)
        return partial(
            measures.unexplained,
            part,
            result,
            psf,
            voxels,
            self._found_for(part),
            left_out=left_out,
            own_psf=made_here(psf.layer),
            centre_psf=centre_psf,
            device=self.device.value,
        )

    def _left_out(self) -> Part | None:
        """Take the labels over what the run has left out, if they are there."""
        painted = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        labels = self._its_input("mask", painted)
        return None if labels is None else current_volume(self._viewer, labels, "mask")

    def _found_for(self, part: Part) -> dict[str, float]:
        """Read what is known of the camera, and of the background of the volume that is shown.

        What is typed goes before what the result was made with.
        """
        coarser = self._level(self.after.value) > 0  # has another gain: it is averaged
        its = self._its_source() == part.layer and not coarser
        found = self._made().get("found", {}) if its else {}
        series = part.ndim - space_axes(part.layer)
        here = tuple(one.start for one in part.box[:series])
        number = int(np.ravel_multi_index(here, part.voxels.shape[:series])) if series else 0
        known = {}
        for name in ("background", "gain"):
            values = [value for value in np.ravel(found.get(name, [])) if value is not None]
            if values:
                known[name] = float(values[min(number, len(values) - 1)])
        for name in ("gain", "offset"):
            text = getattr(self.fields, name).value.strip()
            if text:
                known[name] = read_number(text)
        return known

    # -- results ---------------------------------------------------------------------------------
    def _show_spectra(self, found: Any) -> str:
        self.plot.show_curves(
            measures.spectrum_curves(found),
            x_label="spatial frequency (1/µm)", y_label="power", log_y=True,
        )  # fmt: skip
        self.plot.show()
        return "Power in relation to the lowest frequency. A level tail is noise."

    def _show_correlation(self, found: measures.Correlated) -> str:
        self.plot.show_curves(
            measures.correlation_curves(found),
            x_label="spatial frequency (1/µm)", y_label="correlation",
        )  # fmt: skip
        self.plot.show()
        return measures.resolution_line(found)

    def _show_halves(self, found: tuple[tuple[Any, Any], CameraGain]) -> str:
        both, camera = found
        for number, half in enumerate(both, start=1):
            about = self._about("split_photons", "cpu", camera, half=number)
            add = partial(
                self._add_image, half, f"half {number}", "image", about, contrast_limits=None
            )
            self._turns.add(add)
        return (
            "Two layers, each made by half of the photons. Deconvolve both in the same way, then "
            "measure their correlation."
        )

    def _show_residual(
        self, taken: Mapping[str, Any], note: str, found: measures.Unexplained
    ) -> str:
        about = self._about(
            "residual", self.device.value, found.camera, background=found.background, **taken,
        )  # fmt: skip
        self._add_image(
            found.residual.image, "residual", "residual", about,
            colormap="coolwarm", contrast_limits=(-_SIGMAS, _SIGMAS), blending="translucent",
        )  # fmt: skip
        return f"{measures.residual_line(found)}{note}"

    def _about(
        self, function: str, device: str, camera: CameraGain, **parameters: Any
    ) -> dict[str, Any]:
        """Say how a layer was made: not a recipe, which would have the origins of layers."""
        engine = get_engine(device)
        parameters |= {"gain": camera.gain, "offset": camera.offset}
        call = describe(function, parameters, engine)
        return {"measured": call.pop("operation"), **call, "made": made(self._seconds, engine)}

    def _add_image(
        self, data: Any, what: str, kind: str, about: Mapping[str, Any], **options: Any
    ) -> None:
        """Add a layer where the part lies that was measured."""
        layer = self._part.layer
        look = {"colormap": layer.colormap, "blending": layer.blending, "rgb": False}
        look |= {"name": f"{layer.name} · {what}", "metadata": provenance(about, kind, layer)}
        look |= self._part.placement() | options
        self._adding.layer(Image(np.reshape(data, self._part.shape), **look))


def _resolutions(levels: Mapping[str, int]) -> str:
    """Say which of their resolutions was read of layers."""
    words = {
        name: f"resolution level {level}, as shown" if level else "full resolution"
        for name, level in levels.items()
    }
    return "".join(f" “{name}” at {which}." for name, which in words.items())
