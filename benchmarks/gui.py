"""How long the window stands still, and what a preview takes: ``python -m benchmarks.gui``.

It needs a display; ``xvfb-run -a -s "-screen 0 1600x1200x24"`` before it makes one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.gui_window import BEAT, FIELD, PSF_SHAPE, SHAPE, Case, Times, Window
from benchmarks.machine import describe_machine
from benchmarks.report import markdown_table, size
from benchmarks.standstill import LATE
from napari_deconv import list_devices

__all__ = ["PREVIEWS", "RUNS", "page"]

Measure = Callable[[Case, str], Sequence[Times]]

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


# A widget remembers its last choices: without a method it has that of the case before.
def _bead_detection(label: str, method: str) -> Case:
    moves = ("bead_diameter", (0.11, 0.12, 0.13, 0.14))
    return Case(f"Bead detection, {label}", "Bead detection", ("beads",), {"method": method}, moves)


def _deconvolution(label: str, moves: tuple[str, Sequence[Any]], **settings: Any) -> Case:
    known = {"method": "richardson_lucy"} | settings
    fields = {f"settings.{name}": value for name, value in known.items()}
    return Case(f"Deconvolution, {label}", "Deconvolution", _IMAGE_AND_PSF, fields, moves)


_BOTH = [
    *(
        Case(f"Background, {name.replace('_', ' ')}", "Background subtraction",
             fields={"method": name} | _SMALL.get(name, {}), moves=moves)
        for name, moves in _BACKGROUNDS.items()
    ),
    _bead_detection("spots", "dog"),
    _bead_detection("local threshold", "local"),
    Case("Synthetic PSF, vectorial", "Synthetic PSF", fields={"size": "31 × 129 × 129"},
         moves=("optics.numbers.na", (1.35, 1.3, 1.25, 1.2))),
    _deconvolution("Richardson–Lucy", _MORE, iterations=10, stop=None),
    _deconvolution("Richardson–Lucy with a rule", _MORE, iterations=10, stop="consensus"),
    _deconvolution("Wiener", ("background", (0.0, "auto", 0.0, "auto")), method="wiener"),
]  # fmt: skip

_STORED = replace(
    _deconvolution("the region in view of a Zarr", _MORE, iterations=10, stop=None),
    layers=("PSF", "stored"),
)
_TO_DISK = replace(_STORED, label="Deconvolution, all of a Zarr to the disk", button="disk_button")

RUNS = [
    *_BOTH,
    _STORED,
    _TO_DISK,
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
    _STORED,
    replace(
        _deconvolution("the sample's cells and PSF", _MORE, stop=None),
        layers=("whole PSF", "sample"),
    ),
]
"""What is previewed."""


def page(tables: dict[str, tuple[list[str], list[list[str]]]], times: int) -> str:
    """Write the page of the documentation.

    Parameters
    ----------
    tables : dict
        By their headings, the titles of the columns and the rows.
    times : int
        How often each case was run.
    """
    described = "; ".join(f"{name}: {value}" for name, value in describe_machine().items())
    lines = [
        "# Speed of the window",
        "",
        f"How long the main thread does not come to its events, measured with a timer of {BEAT} "
        "ms in a real window, and how long a preview takes. Made by `python -m benchmarks.gui "
        "--docs docs`.",
        "",
        f"- Runs: an image of {size(SHAPE)} voxels of 16 bits, until its result is drawn, {times} "
        "times.",
        "- A Zarr holds the same image. Of it the region in view is deconvolved, with the planes "
        "that the PSF reaches, or all of it in tiles, which are written.",
        f"- Previews: {FIELD} × {FIELD} pixels of it are in view, and the PSF has "
        f"{PSF_SHAPE[0]} planes. A setting is changed four times, and timed until the **first "
        "picture**, then four times with the timer that looks for stalls, which takes time itself.",
        "- **Stall** is the longest one in a run, or after a change. Of these and the times the "
        "medians are given; **longest** is the longest stall of all.",
        "- napari alone: what napari takes to show arrays as large, with no dock of ours open. It "
        "is part of the stalls below, for which fonts are loaded already.",
        "- What a processor itself stands still, as happens to virtual machines, is left out of a "
        "stall: a process on each, which does nothing else, notices. Where there was some, the "
        "longest stall with it is in brackets; as the window may have been on another processor, "
        "the truth is between the two.",
    ]
    for heading, (header, rows) in tables.items():
        lines += ["", f"## {heading}", "", markdown_table(header, rows)]
    return "\n".join([*lines, "", f"{described}.", ""])


def _table(
    cases: Sequence[Case], measure: Measure, first: str, engines: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    titles = (first, "stall (ms)", "longest (ms)")
    header = ["", *(f"{title}, {name}" for name in engines for title in titles)]
    rows = []
    for case in cases:
        cells = [case.label]
        for engine in engines:
            cells += _cells(measure(case, engine), first)
        click.echo(" | ".join(cells))
        rows.append(cells)
    return header, rows


def _cells(times: Sequence[Times], first: str) -> list[str]:
    """Write the medians and the longest stall of all, in brackets with what is the machine's."""
    seconds, stalls, standing = map(np.array, zip(*map(astuple, times), strict=True))
    taken = np.median(seconds)
    longest = f"{1e3 * max(stalls):.0f}"
    if max(standing) - max(stalls) > LATE:
        longest += f" ({1e3 * max(standing):.0f})"
    return [
        f"{1e3 * taken:.0f}" if first.endswith("(ms)") else f"{taken:.2g}",
        f"{1e3 * np.median(stalls):.0f}",
        longest,
    ]


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
@click.option("--only", default="", help="Cases whose name contains this text.")
@click.option("--times", default=3, help="How often each case is run.")
def main(docs: Path | None, only: str, times: int) -> None:
    """Measure stalls of the window and the time to a preview's first picture."""
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    window = Window()
    engines = list(dict.fromkeys(device.engine for device in list_devices()))[::-1]
    alone = [[name, f"{1e3 * stall:.0f}"] for name, stall in window.napari_alone().items()]
    tables = {"napari alone": (["", "stall (ms)"], alone)}

    def run(case: Case, engine: str) -> list[Times]:
        return [window.run(case, engine) for _ in range(times)]

    for heading, cases, measure, first in (
        ("Previews", PREVIEWS, window.preview, "first picture (ms)"),
        ("Runs", RUNS, run, "seconds"),
    ):
        chosen = [case for case in cases if only in case.label]
        tables[heading] = _table(chosen, measure, first, engines)
    window.viewer.close()
    window.heartbeat.close()
    if docs is not None:
        (docs / "gui-speed.md").write_text(page(tables, times), encoding="utf-8")


if __name__ == "__main__":
    main()
