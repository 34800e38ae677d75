"""napari's window with a dock of ours, driven as a person does, and how long it stands still."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import zarr

from benchmarks.standstill import Standstill
from napari_deconv.psf import make_psf
from napari_deconv.sample_data import beads_widefield, cells_widefield

if TYPE_CHECKING:
    import napari

__all__ = ["BEAT", "FIELD", "PSF_SHAPE", "SHAPE", "Case", "Heartbeat", "Times", "Window"]

SHAPE = (64, 512, 512)
FIELD = 128  # pixels in view, along y and x, while a preview is measured
PSF_SHAPE = (17, 65, 65)  # the preview then takes 33 planes at most
BEAT = 2  # ms

_PLANE = 16  # among the beads
_SPACING = (0.2, 0.08, 0.08)
_PLACED: dict[str, Any] = {"scale": _SPACING, "units": ("µm",) * 3}
_CHUNKS = (16, 128, 128)
_LOOK = 20  # ms
_MOST = 50  # stalls that are remembered
_SETTLED = 2.5  # s after a change, until the preview has come to its end
_LATEST = 20.0  # s until a picture is given up
_DRAWN = 0.3  # s after the end of a run, until everything is drawn
_LONGEST = 600.0


@dataclass(frozen=True)
class Case:
    """What is done with a widget.

    Attributes
    ----------
    label : str
        What the page calls it.
    title : str
        The widget's.
    layers : tuple of str
        What is open, of `Window.layers`, the image last.
    fields : dict
        Values of its fields, by their names with dots; texts that name a layer choose it.
    moves : tuple
        For a preview: the field that is changed, and the values that it takes.
    button : str
        For a run: what is clicked.
    """

    label: str
    title: str
    layers: tuple[str, ...] = ("cells",)
    fields: dict[str, Any] = field(default_factory=dict)
    moves: tuple[str, Sequence[Any]] = ("", ())
    button: str = "run_button"


@dataclass(frozen=True)
class Times:
    """How long a run or a preview takes, in seconds.

    Attributes
    ----------
    seconds : float
        Of the run, or until the picture.
    stall : float
        Of the longest stall, less what the machine itself stood still in it.
    standing : float
        Of the longest one with that.
    """

    seconds: float
    stall: float
    standing: float


class Heartbeat:
    """Notices how long the main thread does not come to its events."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._standstill = Standstill()
        self._last = 0.0
        self._stalls: list[tuple[float, float]] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Forget what was, and listen."""
        self._stalls, self._last = [], time.monotonic()
        self._timer.start()

    def stop(self) -> tuple[float, float]:
        """Return the longest stall in seconds since the start, see `Times`."""
        self._beat()
        self._timer.stop()
        lengths = [end - start for start, end in self._stalls]
        own = [end - start - self._standstill.within(start, end) for start, end in self._stalls]
        return max(own), max(lengths)

    @property
    def ready(self) -> bool:
        """Whether the machine is watched, too."""
        return self._standstill.ready

    def close(self) -> None:
        """Listen no more."""
        self._standstill.stop()

    def _beat(self) -> None:
        now = time.monotonic()
        self._stalls.append((self._last, now))
        self._stalls = heapq.nlargest(_MOST, self._stalls, key=lambda each: each[1] - each[0])
        self._last = now


class Window:
    """napari's window with a dock of ours, driven as a person does.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x) of the image.
    """

    def __init__(self, shape: tuple[int, ...] = SHAPE) -> None:
        import napari

        self.shape = shape
        self.viewer: napari.Viewer = napari.Viewer()
        self.viewer.window.resize(1280, 800)
        self.heartbeat = Heartbeat()
        self._folder = TemporaryDirectory()
        self._make_layers(shape)
        self.until(lambda: self.heartbeat.ready)

    def _make_layers(self, shape: tuple[int, ...]) -> None:
        cells, beads = cells_widefield(), beads_widefield()
        psf = make_psf("vectorial", shape=PSF_SHAPE, spacing=_SPACING, na=1.4, wavelength=0.52,
                       n_immersion=1.515)  # fmt: skip
        self.layers: dict[str, Callable[[], Any]] = {}
        image = _tiled(cells.image, shape)
        self._image("cells", image)
        self._image("stored", zarr.create_array(self._new("cells"), data=image, chunks=_CHUNKS))
        self._image("result", _tiled(cells.truth, shape))
        self._image("beads", _tiled(beads.image, shape))
        self._image("sample", cells.image)
        self._image("PSF", psf.data, visible=False)
        self._image("whole PSF", cells.psf.data, visible=False)

    def _new(self, name: str) -> str:
        """Name a Zarr that is not there."""
        return str(Path(mkdtemp(dir=self._folder.name)) / f"{name}.ome.zarr")

    def _image(self, name: str, data: Any, **options: Any) -> None:
        add = self.viewer.add_image
        options |= {"name": name, **_PLACED}
        self.layers[name] = partial(add, data, **options)

    def wait(self, seconds: float) -> None:
        """Let the window work for a while."""
        end = time.perf_counter() + seconds
        self.until(lambda: time.perf_counter() > end)

    def until(self, done: Callable[[], bool]) -> None:
        """Let the window work until something is done."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop, timer, end = QEventLoop(), QTimer(), time.perf_counter() + _LONGEST

        def look() -> None:
            if done() or time.perf_counter() > end:
                loop.quit()

        timer.timeout.connect(look)
        timer.start(_LOOK)
        loop.exec()
        timer.stop()

    def open(self, case: Case, engine: str, *, preview: bool) -> Any:
        """Open the layers and the widget of a case, and set its fields."""
        self.viewer.layers.clear()
        for name in case.layers:
            self.layers[name]()
        self.viewer.reset_view()
        self.viewer.dims.set_current_step(0, _PLANE)
        _, widget = self.viewer.window.add_plugin_dock_widget("napari-deconv", case.title)
        if widget.preview is not None:
            widget.preview.box.value = preview
        widget.device.choices = [(engine, engine)]
        for name, value in case.fields.items():
            is_layer = isinstance(value, str) and value in self.viewer.layers
            _field(widget, name).value = self.viewer.layers[value] if is_layer else value
        self.wait(0.5)
        return widget

    def run(self, case: Case, engine: str) -> Times:
        """Run a widget on the whole image."""
        from qtpy.QtWidgets import QFileDialog

        widget = self.open(case, engine, preview=False)
        self.heartbeat.start()
        started = time.perf_counter()
        with patch.object(QFileDialog, "getSaveFileName", return_value=(self._new("result"), "")):
            getattr(widget, case.button).click()
        self.until(lambda: widget.run_button.text() == "Run")
        seconds = time.perf_counter() - started
        self.wait(_DRAWN)
        stalls, said = self.heartbeat.stop(), widget.result_line.text()
        if " s on " not in said:
            raise RuntimeError(f"{case.label} has no result: {said}")
        self.close(widget)
        return Times(seconds, *stalls)

    def close(self, widget: Any) -> None:
        """Close a widget's dock."""
        self.viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
        self.wait(0.2)

    def preview(self, case: Case, engine: str) -> list[Times]:
        """Change a setting several times for its pictures, and again for the stalls.

        A timer that beats takes up to a fifth of the time from a thread that runs Python.
        """
        widget = self.open(case, engine, preview=True)
        self._zoom_in()
        self.wait(_SETTLED)
        name, values = case.moves
        setting = _field(widget, name)
        seconds = [self._move(setting, value) for value in values]
        times = [
            Times(each, *self._watch(setting, value))
            for each, value in zip(seconds, values, strict=True)
        ]
        self.close(widget)
        return times

    def _zoom_in(self) -> None:
        """Show as many voxels as the field of a preview has."""
        self.viewer.scene.camera.zoom = np.sqrt(np.prod(self.viewer.canvas.size)) / (
            FIELD * _SPACING[-1]
        )

    def _watch(self, field: Any, value: Any) -> tuple[float, float]:
        """Change a field, and listen until the last picture."""
        self.heartbeat.start()
        self._move(field, value)
        return self.heartbeat.stop()

    def _move(self, field: Any, value: Any) -> float:
        """Change a field, and wait for the first picture, which is timed, then for the last one."""
        pictures: list[float] = []
        events = (
            self.viewer.layers.events.inserted,
            *(layer.events.data for layer in self.viewer.layers),
        )
        note = partial(_note, pictures)
        for event in events:
            event.connect(note)
        started = time.perf_counter()
        field.value = value
        self.until(lambda: bool(pictures) or time.perf_counter() > started + _LATEST)
        self.wait(max(_DRAWN, started + _SETTLED - time.perf_counter()))
        for event in events:
            event.disconnect(note)
        return pictures[0] - started if pictures else np.nan

    def napari_alone(self) -> dict[str, float]:
        """Measure the longest stall while napari itself shows arrays like ours, without our dock.

        Returns
        -------
        dict
            Seconds; contrast limits are given, so that nothing is computed. The first layer of
            points or of labels has fonts loaded or shaders compiled, once in a session.
        """
        rng = np.random.default_rng(1)
        known = _PLACED | {"contrast_limits": (0, 1)}
        stalls = {}
        for what, shape in (("result", self.shape), ("preview", (33, FIELD, FIELD))):
            before, after = rng.random(shape, np.float32), rng.random(shape, np.float32)
            self.viewer.layers.clear()
            self.layers["cells"]()
            self.viewer.reset_view()
            add = partial(self.viewer.add_image, before, **known)
            stalls[f"a layer like a {what} is added"] = self._timed(add)
            layer = self.viewer.layers[-1]
            change = partial(setattr, layer, "data", after)
            stalls[f"a layer like a {what} gets other data"] = self._timed(change)
            remove = partial(self.viewer.layers.remove, layer)
            stalls[f"a layer like a {what} is removed"] = self._timed(remove)
        places = rng.random((100, 3)) * self.shape
        regions = np.zeros(self.shape, np.int32)
        for which in ("the first", "another"):
            for kind, made in (("points", places), ("labels", regions)):
                add = partial(getattr(self.viewer, f"add_{kind}"), made, **_PLACED)
                stalls[f"{which} layer of {kind} is added"] = self._timed(add)
        return stalls

    def _timed(self, do: Callable[[], Any]) -> float:
        from qtpy.QtCore import QTimer

        self.wait(_DRAWN)
        self.heartbeat.start()
        QTimer.singleShot(10, do)
        self.wait(_DRAWN)
        return self.heartbeat.stop()[0]


def _note(times: list[float], event: Any) -> None:
    times.append(time.perf_counter())


def _field(widget: Any, name: str) -> Any:
    found: Any = widget
    for part in name.split("."):
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    return found


def _tiled(image: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Lay copies of an image beside each other, every other one mirrored."""
    margins = [(0, n - m) for n, m in zip(shape, image.shape, strict=True)]
    return np.pad(image, margins, mode="symmetric")
