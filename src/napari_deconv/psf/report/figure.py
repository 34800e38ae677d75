"""A report's figure, and its page for print."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from napari_deconv.figures import scale_bar
from napari_deconv.psf.measure import Profile, axis_profiles, radial_contrast
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report.words import sentence, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from napari_deconv.beads.statistics import BeadStatistics
    from napari_deconv.psf.report.report import Report

__all__ = ["draw_page", "draw_report"]

_STYLE = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 9, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "figure.facecolor": "white", "axes.facecolor": "white", "text.color": "black",
    "axes.labelcolor": "black", "axes.edgecolor": "0.4", "xtick.color": "0.2", "ytick.color": "0.2",
    "pdf.fonttype": 42,
}  # fmt: skip
_MEASURED, _THEORY, _ALARM = "#1f5fbf", "#d95f02", "#a33a00"

# The window that is shown reaches so many FWHM from the centre, or half as far as along the longest
# axis; profiles reach so many.
_WINDOW, _PROFILE = 4.0, 3.0

# µm
_SCALE_BARS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)

# Contrast below this is noise, or the window's edge.
_LOWEST_POWER = 1e-8

_A4 = (8.27, 11.69)
# Inches: a line of text, and the most that all lines may take; more lines are smaller.
_LINE, _MOST_TEXT = 0.165, 6.2
_SIZE = 8.0
_CHARACTERS, _PARAGRAPH = 112, 5
_TITLES_WIDTH, _COLUMN = 0.34, 0.095
_MARGIN = 0.07


def draw_report(report: Report) -> Figure:
    """Draw projections, profiles, contrast, and the FWHM over the field where beads are known.

    Parameters
    ----------
    report : Report
        What `make_report` gave.

    Returns
    -------
    matplotlib.figure.Figure
        Dark on white. XY, XZ, YZ: maximum projections, square root of the brightness.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure((8.27, 7.4), layout="constrained")
        _draw_panels(figure, report)
        figure.draw_without_rendering()  # the style holds only here
    return figure


def draw_page(report: Report) -> Figure:
    """Draw one page A4: what was measured above `draw_report`.

    Parameters
    ----------
    report : Report
        What `make_report` gave.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(_STYLE):
        lines = _lines(report)
        rows = table(report.rows)
        text = min((len(lines) + len(rows) + 5) * _LINE, _MOST_TEXT)
        inner = (_MARGIN, _MARGIN / 2, 1 - 2 * _MARGIN, 1 - _MARGIN)
        figure = Figure(_A4, layout=ConstrainedLayoutEngine(rect=inner))
        heights = (text, _A4[1] - text)
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
        title = f"Point-spread function, report of {report.written}"
        _write(upper, title, lines, rows, text)
        _draw_panels(lower, report)
        figure.draw_without_rendering()
    return figure


def _lines(report: Report) -> list[tuple[str, str]]:
    """Everything above the table, each line with its colour."""
    notes = " · ".join(f"{name}: {text}" for name, text in report.notes.items())
    paragraphs = [
        ("black", notes),
        ("black", sentence(report)),
        ("black", "" if report.statistics is None else _counted(report.statistics)),
        *((_ALARM, finding) for finding in report.findings),
    ]
    if not report.findings:
        paragraphs.append(("black", f"Nothing is more than {report.tolerance:.0%} off."))
    return [
        (colour, line)
        for colour, text in paragraphs
        for line in textwrap.wrap(text, _CHARACTERS, max_lines=_PARAGRAPH, placeholder=" …")
    ]


def _counted(statistics: BeadStatistics) -> str:
    return "Beads: " + ", ".join(f"{count} {name}" for name, count in statistics.counts.items())


def _write(
    page: SubFigure,
    title: str,
    lines: list[tuple[str, str]],
    rows: list[tuple[str, ...]],
    height: float,
) -> None:
    """Write a title, lines, and a table."""
    step = 1 / (len(lines) + len(rows) + 5)
    size = _SIZE * step * height / _LINE
    top = 1 - 2 * step
    page.text(0, top, title, size=1.6 * size)
    top -= 1.5 * step
    for colour, line in lines:
        page.text(0, top, line, size=size, color=colour, parse_math=False)
        top -= step
    for row in rows:
        top -= step
        page.text(0, top, row[0], size=size)
        for number, text in enumerate(row[1:]):
            page.text(_TITLES_WIDTH + number * _COLUMN, top, text, size=size, ha="right")


# -- panels --------------------------------------------------------------------------------------


def _draw_panels(figure: Figure | SubFigure, report: Report) -> None:
    """Three rows: projections, profiles, and what is known of contrast and field."""
    heights = (1.25, 1, 1)
    upper, middle, lower = figure.subfigures(3, 1, squeeze=False, height_ratios=heights)[:, 0]
    _draw_projections(upper, report.psf, report.measured.fwhm, report.measured.centre)
    theory = () if report.theory is None else axis_profiles(report.theory)
    _draw_profiles(middle, axis_profiles(report.psf), theory)
    statistics = report.statistics
    if statistics is None:
        _draw_contrast(lower.subplots(), report)
        return
    axes = lower.subplots(1, 1 + min(report.psf.ndim, 2), squeeze=False)[0]
    _draw_contrast(axes[0], report)
    _draw_map(axes[-1], statistics, -1, "x")
    if report.psf.ndim == 3:
        _draw_map(axes[1], statistics, 0, "z")


def _draw_projections(
    figure: SubFigure, psf: Psf, fwhm: tuple[float, ...], centre: tuple[float, ...]
) -> None:
    """Show the maximum projections along every axis."""
    box = []
    least = _WINDOW * max(fwhm) / 2
    for size, middle, width, step in zip(psf.shape, centre, fwhm, psf.spacing, strict=True):
        reach = max(_WINDOW * width, least) / step
        box.append(slice(max(round(middle - reach), 0), min(round(middle + reach) + 1, size)))
    window = psf.data[tuple(box)]
    names = {"XY": (-2, -1), "XZ": (-3, -1), "YZ": (-3, -2)} if psf.ndim == 3 else {"XY": (-2, -1)}
    lengths = np.multiply(window.shape, psf.spacing)
    widths = [lengths[across] for _, across in names.values()]
    tallest = max(lengths[down] for down, _ in names.values())
    narrowest = min(lengths[across] for down, across in names.values() if lengths[down] == tallest)
    panels = figure.subplots(1, len(names), squeeze=False, width_ratios=widths)[0]
    for axes, (name, shown) in zip(panels, names.items(), strict=True):
        hidden = tuple(axis for axis in range(-psf.ndim, 0) if axis not in shown)
        height, width = (lengths[axis] for axis in shown)
        axes.imshow(
            np.sqrt(window.max(axis=hidden) / window.max()), cmap="magma", vmin=0, vmax=1,
            extent=(0, width, height, 0), interpolation="nearest",
        )  # fmt: skip
        axes.set_ylim(tallest, 0)  # so all have one scale
        axes.set_axis_off()
        axes.set_title(name)
        if height == tallest:
            bars = [bar for bar in _SCALE_BARS if bar <= narrowest / 2]
            scale_bar(axes, bars[-1] if bars else narrowest / 2, "white")


def _draw_profiles(
    figure: SubFigure, measured: tuple[Profile, ...], theory: tuple[Profile, ...]
) -> None:
    """Show the axis profiles with their fits, and those of the theory."""
    panels = figure.subplots(1, len(measured), squeeze=False, sharey=True)[0]
    for number, (axes, profile) in enumerate(zip(panels, measured, strict=True)):
        reach = _PROFILE * profile.fit.fwhm
        fine = np.linspace(-reach, reach, 401)
        axes.plot(profile.positions, profile.values, "o", ms=2.5, color=_MEASURED, label="measured")
        axes.plot(fine, _bell(profile, fine), color=_MEASURED, lw=1, label="Gaussian fit")
        if theory:
            other = theory[number]
            inside = fine[(fine >= other.positions[0]) & (fine <= other.positions[-1])]
            line = CubicSpline(other.positions, other.values)(inside)
            axes.plot(inside, line, "--", color=_THEORY, lw=1, label="theory")
        title = f"{profile.axis}: FWHM {profile.fit.fwhm:.3f} µm, R² {profile.fit.r_squared:.3f}"
        axes.set(title=title, xlim=(-reach, reach), ylim=(-0.05, 1.1), xlabel="µm")
    panels[0].set_ylabel("relative brightness")
    panels[0].legend(fontsize=7, loc="upper left", handlelength=1.2, borderaxespad=0)


def _bell(profile: Profile, positions: npt.NDArray[Any]) -> npt.NDArray[Any]:
    fit = profile.fit
    bell: npt.NDArray[Any] = 2.0 ** -((2 * (positions - fit.centre) / fit.fwhm) ** 2)
    return fit.amplitude * bell + fit.offset


def _draw_contrast(axes: Axes, report: Report) -> None:
    """Show the radial power spectrum of the plane of focus, and the optics' cut-off."""
    for psf, colour, line, name in (
        (report.psf, _MEASURED, "-", "measured"),
        (report.theory, _THEORY, "--", "theory"),
    ):
        if psf is not None:
            frequency, contrast = radial_contrast(psf)
            power = np.maximum(contrast**2, _LOWEST_POWER)
            axes.semilogy(frequency, power, line, color=colour, lw=1, label=name)
    if report.measured.mtf10 is not None:
        axes.plot(report.measured.mtf10, 0.01, "o", ms=4, color=_MEASURED, label="10 % contrast")
    limit = _cut_off(report)
    if limit is not None:
        axes.axvline(limit, color="0.4", lw=0.8, ls=":", label=f"cut-off {limit:.3g}/µm")
    axes.set(
        title="radial power spectrum in focus", xlabel="cycles/µm", ylim=(_LOWEST_POWER, 2), xlim=0
    )
    axes.legend(fontsize=7)


def _cut_off(report: Report) -> float | None:
    """2·NA/λ, of what the PSF is compared with or else was computed for."""
    for psf in (report.theory, report.psf):
        known = {} if psf is None else psf.metadata
        if known.get("na") and known.get("wavelength"):
            return float(2 * known["na"] / known["wavelength"])
    return None


def _draw_map(axes: Axes, statistics: BeadStatistics, axis: int, name: str) -> None:
    """Show the FWHM over the field, with the accepted beads."""
    field = statistics.field_map
    half = [0.5 * float(places[0]) for places in (field.y, field.x)]
    extent = (
        float(field.x[0]) - 2 * half[1], float(field.x[-1]) + 2 * half[1],
        float(field.y[-1]) + 2 * half[0], float(field.y[0]) - 2 * half[0],
    )  # fmt: skip
    shown = statistics.accepted
    widths = statistics.fwhm[shown][:, axis]
    limits = {"vmin": widths.min(), "vmax": widths.max(), "cmap": "viridis"}
    picture = axes.imshow(field.fwhm[axis], extent=extent, **limits)
    y, x = (statistics.positions[shown] * statistics.spacing)[:, -2:].T
    axes.scatter(x, y, c=widths, s=18, edgecolors="white", linewidths=0.6, **limits)
    axes.set(title=f"FWHM {name}, µm", xlabel="x, µm", ylabel="y, µm")
    axes.figure.colorbar(picture, ax=axes, shrink=0.9)
