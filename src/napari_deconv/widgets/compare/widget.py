"""Dock widget: Compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError
from napari_deconv.provenance import describe
from napari_deconv.widgets.common.fields import read_number
from napari_deconv.widgets.common.layers import provenance, space_axes, spacing
from napari_deconv.widgets.compare import measures
from napari_deconv.widgets.compare.viewing import ViewingWidget
from napari_deconv.widgets.compare.world import current_volume

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_deconv.widgets.common.parts import Part

__all__ = ["CompareWidget"]

_PROJECTIONS = "Maximum projections: XY, XZ below it, YZ to its right, all in the same scale."
_SIGMAS = 5.0  # of a residual, from the darkest to the brightest colour


class CompareWidget(ViewingWidget):
    """Look at layers together, and measure how they differ; none of them is changed."""

    title = "Compare"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        self._tell: Callable[[Any], str] = str
        super().__init__(napari_viewer)

    def _project(self) -> None:
        if self._now.is_projected:
            self._now.projected()
            self.result_line.setText(_PROJECTIONS)
            return
        self._now.as_they_are(False)  # while it computes
        if self._worker is not None:
            self.fields.view.value = "none"
            self.result_line.setText("Wait for the run, or cancel it, then choose projections.")
            return
        self._run(self._prepare_projections)

    def _prepare_projections(self) -> Callable[..., Any]:
        self._tell = self._show_projections
        return partial(measures.project, self._named(self._sources()))

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
        return prepare()

    def _run(self, prepare: Callable[[], Callable[..., Any]]) -> None:
        super()._run(prepare)
        self._arrange()

    def _finished(self) -> None:
        super()._finished()
        self._arrange()

    def _show(self, result: Any) -> tuple[str, Mapping[str, Any]]:
        return self._tell(result), describe("compare", {}, get_engine("cpu"))

    def _take(self, layer: Image | None, purpose: str) -> Part:
        return current_volume(self._viewer, layer, purpose)

    def _voxel_of(self, layer: Image) -> tuple[float, ...]:
        """Read a voxel size; a layer without one has that of Before."""
        own = None if layer == self.image.value else spacing(layer)
        return own or self.voxel_size.value(space_axes(layer))

    def _named(self, layers: Sequence[Image]) -> list[tuple[str, Part, tuple[float, ...]]]:
        if not layers:
            raise DeconvError("No layer is chosen: open one, then choose it above.")
        return [(layer.name, self._take(layer, "layer"), self._voxel_of(layer)) for layer in layers]

    def _prepare_spectrum(self) -> Callable[..., Any]:
        self._tell = self._show_spectra
        return partial(measures.spectra, self._named(self._sources()))

    def _prepare_halves(self) -> Callable[..., Any]:
        self._tell = self._show_correlation
        part = self._take(self.image.value, "image before")
        voxel, known = self._voxel_of(part.layer), self._found_for(part)
        return partial(measures.correlate_halves, part.layer.name, part, voxel, known)

    def _prepare_pair(self) -> Callable[..., Any]:
        self._tell = self._show_correlation
        first = self._take(self.image.value, "image before")
        second = self._take(self.after.value, "image after")
        names, voxel = (first.layer.name, second.layer.name), self._voxel_of(first.layer)
        return partial(measures.correlate_pair, names, first, second, voxel)

    def _prepare_split(self) -> Callable[..., Any]:
        self._tell = self._show_halves
        self._part = self._take(self.image.value, "image before")
        return partial(measures.halves, self._part, self._found_for(self._part))

    def _prepare_residual(self) -> Callable[..., Any]:
        self._tell = self._show_residual
        self._part = part = self._take(self.image.value, "image before")
        result, psf = (
            self._take(self.after.value, "result after"),
            self._take(self.psf.value, "PSF"),
        )
        voxels = self._voxel_of(part.layer), spacing(psf.layer)
        known, device = self._found_for(part), self.device.value
        return partial(measures.unexplained, part, result, psf, voxels, known, device=device)

    def _found_for(self, part: Part) -> dict[str, float]:
        """Read what is known of the camera, and of the background of the volume that is shown.

        What is typed goes before what the result was made with.
        """
        found = self._made().get("found", {}) if self._its_source() == part.layer else {}
        series = part.ndim - space_axes(part.layer)
        place = tuple(one.start for one in part.box[:series])
        number = int(np.ravel_multi_index(place, part.voxels.shape[:series])) if series else 0
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
    def _show_projections(self, projections: Sequence[tuple[Any, float]]) -> str:
        if self._now is not None and self.fields.view.value == "projections":
            self._now.take_projections(projections)
            self._now.projected()
        return _PROJECTIONS

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

    def _show_halves(self, found: tuple[Any, Any]) -> str:
        for number, half in enumerate(found, start=1):
            add = partial(self._add_image, half, f"half {number}", "image", contrast_limits=None)
            self._turns.add(add)
        return (
            "Two layers, each made by half of the photons. Deconvolve both in the same way, then "
            "measure their correlation."
        )

    def _show_residual(self, found: measures.Unexplained) -> str:
        self._add_image(
            found.residual.image, "residual", "residual",
            colormap="coolwarm", contrast_limits=(-_SIGMAS, _SIGMAS), blending="translucent",
        )  # fmt: skip
        return measures.residual_line(found)

    def _add_image(self, data: Any, what: str, kind: str, **options: Any) -> None:
        """Add a layer where the part lies that was measured."""
        layer = self._part.layer
        look = {"colormap": layer.colormap, "blending": layer.blending, "rgb": False}
        look |= {"name": f"{layer.name} · {what}", "metadata": provenance({}, kind, layer)}
        look |= self._part.placement() | options
        self._adding.layer(Image(np.reshape(data, self._part.shape), **look))
