"""How long the window stands still, and what a preview takes: ``python -m benchmarks.gui``.

It needs a display; ``xvfb-run -a -s "-screen 0 1600x1200x24"`` before it makes one.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import numpy.typing as npt

from benchmarks.machine import describe_machine
from benchmarks.report import markdown_table, size
from napari_deconv import list_devices
from napari_deconv.psf import make_psf
from napari_deconv.sample_data import beads_widefield, cells_widefield

if TYPE_CHECKING:
    import napari

__all__ = ["PREVIEWS", "RUNS", "Case", "Heartbeat", "Times", "Window", "page"]

_SHAPE = (64, 512, 512)
_FIELD = 128  # pixels in view, along y and x, while a preview is measured
_PSF_SHAPE = (17, 65, 65)  # the preview then takes 33 planes at most
_PLANE = 16  # among the beads
_SPACING = (0.2, 0.08, 0.08)
_BEAT = 2  # ms
_LOOK = 5  # ms
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
    """

    label: str
    title: str
    layers: tuple[str, ...] = ("cells",)
    fields: dict[str, Any] = field(default_factory=dict)
    moves: tuple[str, Sequence[Any]] = ("", ())


@dataclass(frozen=True)
class Times:
    """Seconds: of a run, or until a preview's first picture; and of the longest stall."""

    seconds: float
    stall: float


_RADII = ("radius", (0.9, 0.8, 0.7, 0.6))
_BACKGROUNDS = {
    "percentile": ("percentile", (2.0, 3.0, 4.0, 5.0)),
    "rolling_ball": _RADII,
    "top_hat": _RADII,
    "gaussian": _RADII,
    "mean": ("factor", (1.2, 1.1, 1.0, 0.9)),
}
_SMALL = {"rolling_ball": {"radius": 0.4}}  # else a run takes minutes
_IMAGE_AND_PSF = ("PSF", "cells")
_MORE = ("settings.iterations", (11, 12, 13, 14))
_COMPARED = {"image": "cells", "after": "result"}
_MEASURES = ("spectrum", "halves", "pair", "residual", "split")


def _deconvolution(label: str, moves: tuple[str, Sequence[Any]], **settings: Any) -> Case:
    fields = {f"settings.{name}": value for name, value in settings.items()}
    return Case(f"Deconvolution, {label}", "Deconvolution", _IMAGE_AND_PSF, fields, moves)


_BOTH = [
    *(
        Case(f"Background, {name.replace('_', ' ')}", "Background subtraction",
             fields={"method": name} | _SMALL.get(name, {}), moves=moves)
        for name, moves in _BACKGROUNDS.items()
    ),
    Case("Bead detection, spots", "Bead detection", ("beads",),
         moves=("bead_diameter", (0.11, 0.12, 0.13, 0.14))),
    Case("Bead detection, local threshold", "Bead detection", ("beads",), {"method": "local"},
         ("bead_diameter", (0.11, 0.12, 0.13, 0.14))),
    Case("Synthetic PSF, vectorial", "Synthetic PSF", fields={"size": "31 × 129 × 129"},
         moves=("optics.numbers.na", (1.35, 1.3, 1.25, 1.2))),
    _deconvolution("Richardson–Lucy", _MORE, iterations=10, stop=None),
    _deconvolution("Richardson–Lucy with a rule", _MORE, iterations=10, stop="consensus"),
    _deconvolution("Wiener", ("background", (0.0, "auto", 0.0, "auto")), method="wiener"),
]  # fmt: skip

RUNS = [
    *_BOTH,
    Case("PSF distilling", "PSF distilling", ("beads",)),
    Case("PSF quality", "PSF quality", _IMAGE_AND_PSF),
    Case("Convolve", "Convolve", _IMAGE_AND_PSF),
    Case("Simulate acquisition", "Simulate acquisition", _IMAGE_AND_PSF),
    *(
        Case(f"Compare, {name}", "Compare", ("PSF", "result", "cells"),
             _COMPARED | {"fields.measure": name})
        for name in _MEASURES
    ),
]  # fmt: skip
"""What is run on the whole image."""

PREVIEWS = [
    *_BOTH,
    Case("Deconvolution, the sample's cells and PSF", "Deconvolution", ("whole PSF", "sample"),
         fields={"settings.stop": None}, moves=_MORE),
]  # fmt: skip
"""What is previewed."""


class Heartbeat:
    """Notices how long the main thread does not come to its events."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._last = self.stall = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(_BEAT)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Forget what was, and listen."""
        self.stall, self._last = 0.0, time.perf_counter()
        self._timer.start()

    def stop(self) -> float:
        """Return the longest stall in seconds since the start."""
        self._beat()
        self._timer.stop()
        return self.stall

    def _beat(self) -> None:
        now = time.perf_counter()
        self.stall, self._last = max(self.stall, now - self._last), now


class Window:
    """napari's window with a dock of ours, driven as a person does.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x) of the image.
    """

    def __init__(self, shape: tuple[int, ...] = _SHAPE) -> None:
        import napari

        self.shape = shape
        self.viewer: napari.Viewer = napari.Viewer()
        self.viewer.window.resize(1280, 800)
        self.heartbeat = Heartbeat()
        self._make_layers(shape)
        self.wait(1.0)

    def _make_layers(self, shape: tuple[int, ...]) -> None:
        cells, beads = cells_widefield(), beads_widefield()
        psf = make_psf("vectorial", shape=_PSF_SHAPE, spacing=_SPACING, na=1.4, wavelength=0.52,
                       n_immersion=1.515)  # fmt: skip
        self.layers: dict[str, Callable[[], Any]] = {}
        self._image("cells", _tiled(cells.image, shape))
        self._image("result", _tiled(cells.truth, shape))
        self._image("beads", _tiled(beads.image, shape))
        self._image("sample", cells.image)
        self._image("PSF", psf.data, visible=False)
        self._image("whole PSF", cells.psf.data, visible=False)

    def _image(self, name: str, data: npt.NDArray[Any], **options: Any) -> None:
        add = self.viewer.add_image
        options |= {"name": name, "scale": _SPACING, "units": ("µm",) * 3}
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
        widget = self.open(case, engine, preview=False)
        self.heartbeat.start()
        started = time.perf_counter()
        widget.run_button.click()
        self.until(lambda: widget.run_button.text() == "Run")
        seconds = time.perf_counter() - started
        self.wait(_DRAWN)
        stall = self.heartbeat.stop()
        self.close(widget)
        return Times(seconds, stall)

    def close(self, widget: Any) -> None:
        """Close a widget's dock."""
        self.viewer.window.remove_dock_widget(widget)
        widget.deleteLater()
        self.wait(0.2)

    def preview(self, case: Case, engine: str) -> Times:
        """Change a setting several times, and look how long its picture takes: the median."""
        widget = self.open(case, engine, preview=True)
        self._zoom_in()
        self.wait(_SETTLED)
        name, values = case.moves
        times = [self._move(_field(widget, name), value) for value in values]
        self.close(widget)
        return Times(
            float(np.median([each.seconds for each in times])),
            float(np.median([each.stall for each in times])),
        )

    def _zoom_in(self) -> None:
        """Show as many voxels as the field of a preview has."""
        self.viewer.scene.camera.zoom = np.sqrt(np.prod(self.viewer.canvas.size)) / (
            _FIELD * _SPACING[-1]
        )

    def _move(self, field: Any, value: Any) -> Times:
        """Change a field, and wait for the first picture, then for the last one."""
        pictures: list[float] = []
        events = (
            self.viewer.layers.events.inserted,
            *(layer.events.data for layer in self.viewer.layers),
        )
        note = partial(_note, pictures)
        for event in events:
            event.connect(note)
        self.heartbeat.start()
        started = time.perf_counter()
        field.value = value
        self.until(lambda: bool(pictures) or time.perf_counter() > started + _LATEST)
        self.wait(max(_DRAWN, started + _SETTLED - time.perf_counter()))
        stall = self.heartbeat.stop()
        for event in events:
            event.disconnect(note)
        return Times(pictures[0] - started if pictures else np.nan, stall)

    def napari_alone(self) -> dict[str, float]:
        """Measure the longest stall while napari itself shows arrays like ours, without our dock.

        Returns
        -------
        dict
            Seconds; contrast limits are given, so that nothing is computed.
        """
        rng = np.random.default_rng(1)
        known = {"scale": _SPACING, "units": ("µm",) * 3, "contrast_limits": (0, 1)}
        stalls = {}
        for what, shape in (("result", self.shape), ("preview", (33, _FIELD, _FIELD))):
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
        return stalls

    def _timed(self, do: Callable[[], Any]) -> float:
        from qtpy.QtCore import QTimer

        self.wait(_DRAWN)
        self.heartbeat.start()
        QTimer.singleShot(10, do)
        self.wait(_DRAWN)
        return self.heartbeat.stop()


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


def fastest(measure: Callable[[], Times], repeats: int) -> Times:
    """Repeat something, and take the least of each time: the machine may do other things."""
    times = [measure() for _ in range(repeats)]
    return Times(min(each.seconds for each in times), min(each.stall for each in times))


def page(tables: dict[str, tuple[list[str], list[list[str]]]]) -> str:
    """Write the page of the documentation.

    Parameters
    ----------
    tables : dict
        By their headings, the titles of the columns and the rows.
    """
    described = "; ".join(f"{name}: {value}" for name, value in describe_machine().items())
    lines = [
        "# Speed of the window",
        "",
        f"How long the main thread does not come to its events, measured with a timer of {_BEAT} "
        "ms in a real window, and how long a preview takes. Made by `python -m benchmarks.gui "
        "--docs docs`.",
        "",
        f"- Runs: an image of {size(_SHAPE)} voxels of 16 bits, until its result is drawn.",
        f"- Previews: {_FIELD} × {_FIELD} pixels of it are in view, and the PSF has "
        f"{_PSF_SHAPE[0]} planes. A setting is changed four times; **first picture** is the median "
        "time until there is one, **longest stall** the median of the longest ones.",
        "- napari alone: what napari takes to show arrays as large, with no dock of ours open. It "
        "is part of the stalls above.",
    ]
    for heading, (header, rows) in tables.items():
        lines += ["", f"## {heading}", "", markdown_table(header, rows)]
    return "\n".join([*lines, "", f"{described}.", ""])


def _table(
    window: Window, cases: Sequence[Case], do: str, engines: Sequence[str], repeats: int
) -> tuple[list[str], list[list[str]]]:
    first = "seconds" if do == "run" else "first picture (ms)"
    header = ["", *(f"{title}, {name}" for name in engines for title in (first, "stall (ms)"))]
    rows = []
    for case in cases:
        cells = [case.label]
        for engine in engines:
            times = fastest(partial(getattr(window, do), case, engine), repeats)
            seconds = f"{times.seconds:.2g}" if do == "run" else f"{1e3 * times.seconds:.0f}"
            cells += [seconds, f"{1e3 * times.stall:.0f}"]
        click.echo(" | ".join(cells))
        rows.append(cells)
    return header, rows


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
@click.option("--repeats", default=3, help="The fastest of so many is taken.")
@click.option("--only", default="", help="Cases whose name contains this text.")
def main(docs: Path | None, repeats: int, only: str) -> None:
    """Measure stalls of the window and the time to a preview's first picture."""
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    window = Window()
    engines = list(dict.fromkeys(device.engine for device in list_devices()))[::-1]
    alone = [[name, f"{1e3 * stall:.0f}"] for name, stall in window.napari_alone().items()]
    tables = {"napari alone": (["", "stall (ms)"], alone)}
    for heading, cases, do in (("Previews", PREVIEWS, "preview"), ("Runs", RUNS, "run")):
        chosen = [case for case in cases if only in case.label]
        tables[heading] = _table(window, chosen, do, engines, repeats)
    window.viewer.close()
    if docs is not None:
        (docs / "gui-speed.md").write_text(page(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
