"""The benchmark's picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.iteration import Step
from benchmarks.measure import Measurement

__all__ = ["draw"]

_SMOOTHED = 1
"""Which of the correlations is drawn: σ = ½."""


def draw(
    measurements: list[Measurement], target: list[float], growth: list[Step], path: Path
) -> None:
    """Draw correlation over seconds, and seconds per iteration over size, into a PNG."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    quality, size = figure.subplots(1, 2, width_ratios=[2, 1])
    _draw_quality(quality, [m for m in measurements if m.runs], target[_SMOOTHED])
    _draw_growth(size, growth)
    figure.savefig(path, dpi=100)


def _draw_quality(axes: Axes, measurements: list[Measurement], target: float) -> None:
    colours = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    for number, measured in enumerate(measurements):
        seconds, values = np.array(
            [(run[0], run[1][_SMOOTHED]) for _, run in sorted(measured.runs.items())]
        ).T
        is_ours = measured.name.startswith("napari-deconv")
        axes.plot(
            seconds, values, "o-" if is_ours else "s--", label=measured.name,
            color=colours[number % len(colours)], linewidth=2 if is_ours else 1, markersize=4,
        )  # fmt: skip
    axes.axhline(target, color="black", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", xlabel="seconds", ylabel="correlation with the truth, σ = ½")
    axes.set_title("Quality over time; dotted: the quality to reach")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)


def _draw_growth(axes: Axes, growth: list[Step]) -> None:
    voxels = [np.prod(step.shape) / 1e6 for step in growth]
    axes.loglog(voxels, [step.ours for step in growth], "o-", label="napari-deconv", linewidth=2)
    axes.loglog(voxels, [step.loop for step in growth], "s--", label="SciPy loop")
    axes.set(xlabel="million voxels", ylabel="seconds per iteration", title="Growth, PSF 31³")
    axes.set_xticks(voxels, [f"{value:.0f}" for value in voxels])
    axes.minorticks_off()
    axes.legend(frameon=False)
