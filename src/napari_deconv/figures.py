"""The demo's figure, and what figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_deconv.beads import Beads
    from napari_deconv.demo import Demo

__all__ = ["draw_demo", "scale_bar"]

_PAPER, _INK, _FAINT = "#101014", "#f0f0f0", "#a8a8b0"
_ACCEPTED, _REJECTED = "#6ee787", "#ffa657"
# Of a stack, a slab as thick as this is projected; of a PSF, the window around its centre.
_SLAB = 0.8
_PSF_WINDOW = (2.0, 1.2, 1.2)
# Inches: the figure's width, room for a title, and between panels. The lower row is as high as to
# let a square for the beads, and a square and a part of it for each PSF, fill the width.
_WIDTH, _TITLE, _GAP = 15.0, 0.42, 0.1
_PART = _PSF_WINDOW[2] / _PSF_WINDOW[0]
_LOWER = (_WIDTH - 6 * _GAP) / (3 + 2 * _PART)


def draw_demo(demo: Demo) -> Figure:
    """Draw before, after and truth, and below the beads, the PSF and the true one.

    Parameters
    ----------
    demo : Demo
        What `napari_deconv.demo.run_demo` has made.

    Returns
    -------
    matplotlib.figure.Figure
        XY and XZ of everything with scale bars, correlations with the truth, and FWHM (z / y / x).
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    depth, height, width = np.multiply(demo.specimen.image.shape, demo.specimen.spacing)
    column = (_WIDTH - 4 * _GAP) / 3
    across, along = column * height / width, column * depth / width
    lower = _TITLE + across + _GAP + along + _GAP + _TITLE
    with mpl.rc_context({"text.color": _INK, "font.size": 12, "font.family": "DejaVu Sans"}):
        figure = Figure((_WIDTH, lower + _LOWER + _GAP), facecolor=_PAPER)
        _draw_specimen(figure, demo, column, across, along)
        _draw_points(figure, demo, lower)
    return figure


def _draw_specimen(figure: Figure, demo: Demo, column: float, across: float, along: float) -> None:
    """XY above XZ of the image, the result and the truth."""
    sample = demo.specimen
    stacks: tuple[tuple[str, npt.NDArray[Any], str], ...] = (
        ("Before", sample.image, f"correlation with the truth {demo.correlation_before:.2f}"),
        ("After", demo.deconvolved, f"correlation with the truth {demo.correlation_after:.2f}"),
        ("Truth", sample.truth, "the simulated specimen"),
    )
    cut = sample.image.shape[1] * 2 // 3
    for number, (name, stack, caption) in enumerate(stacks):
        left, limits = _GAP + number * (column + _GAP), _limits(stack)
        xy = _axes(figure, left, _TITLE, column, across)
        _show(xy, _slab(stack, sample.spacing, 0), sample.spacing[1:], limits)
        xy.axhline((cut + 0.5) * sample.spacing[1], color=_INK, lw=0.6, ls=(0, (6, 6)), alpha=0.6)
        _caption(xy, name, caption)
        _corner(xy, "XY")
        xz = _axes(figure, left, _TITLE + across + _GAP, column, along)
        _show(xz, _slab(stack, sample.spacing, 1, cut), sample.spacing[::2], limits)
        _corner(xz, "XZ")
        if number == 0:
            scale_bar(xy, 5)
            scale_bar(xz, 2)


def _draw_points(figure: Figure, demo: Demo, top: float) -> None:
    """Beads with their fate, then XY and XZ of the PSF and of the true one."""
    beads = _axes(figure, _GAP, top, _LOWER, _LOWER)
    _draw_beads(beads, demo.beads.image, demo.beads.spacing, demo.found)
    left = 2 * _GAP + _LOWER
    for psf, name in ((demo.psf, "distilled"), (demo.beads.psf, "true")):
        window = _central(psf)
        limits = (0.0, float(window.max()))
        middle = [n // 2 for n in window.shape]
        xy = _axes(figure, left, top, _LOWER, _LOWER)
        _show(xy, window[middle[0]], psf.spacing[1:], limits, "magma", 0.5)
        width = " / ".join(f"{length:.3f}" for length in measure_psf(psf).fwhm)
        _caption(xy, "PSF", f"{name}, FWHM z / y / x {width} µm")
        _corner(xy, "XY")
        scale_bar(xy, 0.5)
        xz = _axes(figure, left + _LOWER + _GAP, top, _PART * _LOWER, _LOWER)
        _show(xz, window[:, middle[1]], psf.spacing[::2], limits, "magma", 0.5)
        _corner(xz, "XZ")
        scale_bar(xz, 0.5)
        left += (1 + _PART) * _LOWER + 2 * _GAP


def _draw_beads(
    axes: Axes, image: npt.NDArray[Any], spacing: tuple[float, ...], found: Beads
) -> None:
    flat = image.max(axis=0)
    _show(axes, flat, spacing[1:], (float(flat.min()), float(np.percentile(flat, 99.9))))
    places = (found.positions[:, 1:] + 0.5) * spacing[1:]
    for chosen, colour in ((found.accepted, _ACCEPTED), (~found.accepted, _REJECTED)):
        y, x = places[chosen].T
        axes.scatter(x, y, s=70, facecolors="none", edgecolors=colour, linewidths=1.2)
    used = int(found.accepted.sum())
    _caption(axes, "Beads", f"{used} used (green), {len(found) - used} rejected")
    scale_bar(axes, 5)


# -- panels --------------------------------------------------------------------------------------


def _show(
    axes: Axes,
    picture: npt.NDArray[Any],
    spacing: tuple[float, ...],
    limits: tuple[float, float],
    colours: str = "inferno",
    gamma: float = 0.7,
) -> None:
    """Show a picture in µm, brightness raised to the power of `gamma`."""
    low, high = limits
    height, width = np.multiply(picture.shape, spacing)
    bright = np.clip((picture.astype(float) - low) / (high - low), 0, 1) ** gamma
    axes.imshow(
        bright, cmap=colours, vmin=0, vmax=1, extent=(0, width, height, 0), interpolation="lanczos"
    )
    axes.set_axis_off()


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Place axes, everything in inches from the upper left corner."""
    full_width, full_height = figure.get_size_inches()
    bottom = full_height - top - height
    return figure.add_axes(
        (left / full_width, bottom / full_height, width / full_width, height / full_height)
    )


def _caption(axes: Axes, name: str, text: str) -> None:
    axes.set_title(f"$\\bf{{{name}}}$  {text}", loc="left", color=_INK, size=12)


def _corner(axes: Axes, text: str) -> None:
    axes.annotate(
        text, (1, 1), (-6, -6), "axes fraction", "offset points", ha="right", va="top",
        color=_FAINT, size=11,
    )  # fmt: skip


def scale_bar(axes: Axes, length: float, colour: str = _INK) -> None:
    """Draw a bar of `length` µm in the lower right corner of axes in µm."""
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    left, right = axes.get_xlim()
    axes.add_artist(
        AnchoredSizeBar(
            axes.transData, length, f"{length:g} µm", "lower right", pad=0.5, sep=4, color=colour,
            frameon=False, label_top=True, size_vertical=0.008 * (right - left),
        )
    )  # fmt: skip


def _slab(
    stack: npt.NDArray[Any], spacing: tuple[float, ...], axis: int, middle: int | None = None
) -> npt.NDArray[Any]:
    """Project the brightest of a slab across `axis`, around its middle unless given."""
    size = stack.shape[axis]
    centre = size // 2 if middle is None else middle
    half = max(round(_SLAB / 2 / spacing[axis]), 1)
    chosen = np.arange(max(centre - half, 0), min(centre + half + 1, size))
    brightest: npt.NDArray[Any] = stack.take(chosen, axis).max(axis=axis)
    return brightest


def _limits(stack: npt.NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(stack, (1, 99.9))
    return float(low), float(high)


def _central(psf: Psf) -> npt.NDArray[np.float32]:
    """Cut the window that is shown out of a PSF."""
    reach = [round(w / s) for w, s in zip(_PSF_WINDOW, psf.spacing, strict=True)]
    return psf.data[
        tuple(
            slice(max(n // 2 - r, 0), n // 2 + r + 1) for n, r in zip(psf.shape, reach, strict=True)
        )
    ]
