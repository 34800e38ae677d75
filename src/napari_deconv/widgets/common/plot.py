"""A small plot in the colours of the theme."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, zip_longest
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from qtpy.QtCore import QSize
from qtpy.QtGui import QImage, QPainter, QPalette
from qtpy.QtWidgets import QApplication, QMenu, QSizePolicy, QWidget

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Text
    from qtpy.QtGui import QContextMenuEvent, QPaintEvent

__all__ = ["Curve", "Plot"]

Floats = npt.NDArray[np.float64]

# To be told apart on black and on white, and by the colour-blind (after Okabe & Ito).
_COLOURS = ("#e69f00", "#4a9fe0", "#1fa87c", "#cc79a7", "#d55e00")
_WIDTH, _HEIGHT = 300, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 46, 20, 32  # pixels around the axes
_NARROW = 10  # to their right, where they have no second scale
_DPI = 96
_SMALL = 7.5  # points
_ROW = 12  # pixels: of the legend
_ROWS = 2  # at most
_HANDLE, _GAP, _COLUMN = 1.2, 0.4, 1.0  # of a legend, in widths of an m: line, space, next column
_TELLING = 2  # letters: a rest of so few says nothing without what is before it


@dataclass(frozen=True)
class Curve:
    """One line of a `Plot`.

    Attributes
    ----------
    label : str
        What the legend calls it; empty for a line that it leaves out.
    x, y : array_like
        As many of both; where one is NaN the line has a gap.
    mark : float, optional
        Where along x, which then has to rise, a dot is set on the line.
    right : bool
        Whether y is read on a second scale, on the right.
    dashed : bool
        Whether it is drawn dashed in the colour of the text, as a threshold.
    """

    label: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    mark: float | None = None
    right: bool = False
    dashed: bool = False


class Plot(QWidget):
    """Curves over a common axis; its context menu copies the numbers.

    It is drawn when Qt paints it: not while it is hidden, and once however often `show_curves` was
    called since.
    """

    def __init__(self) -> None:
        super().__init__()
        self._curves: Sequence[Curve] = ()
        self._labels = ("", "", "")
        self._log_y = False
        self._picture: QImage | None = None
        self._look: tuple[object, ...] = ()
        self._framed: tuple[object, ...] = ()
        self._lines: list[Line2D] = []
        self._texts: list[Text] = []
        self._figure = Figure(dpi=_DPI, facecolor="none")
        self._canvas = FigureCanvasAgg(self._figure)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Right click: copy the numbers.")

    def sizeHint(self) -> QSize:
        """Ask for little room."""
        return QSize(_WIDTH, _HEIGHT)

    def show_curves(
        self,
        curves: Sequence[Curve],
        *,
        x_label: str,
        y_label: str,
        right_label: str = "",
        log_y: bool = False,
    ) -> None:
        """Show these curves instead of the ones before.

        Parameters
        ----------
        curves : sequence of Curve
            In the order of the legend.
        x_label, y_label, right_label : str
            Of the axes, with units; the last one of the scale on the right.
        log_y : bool
            Whether the scale on the left is logarithmic; what is not above 0 is a gap there.
        """
        self._curves = tuple(curves)
        above = any(np.any(np.asarray(curve.y) > 0) for curve in curves if not curve.right)
        self._log_y = log_y and above
        self._labels = (x_label, y_label, right_label)
        self._picture = None
        self.update()

    # -- drawing ---------------------------------------------------------------------------------
    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw if the curves, the size or the colours have changed."""
        ink = self.palette().color(QPalette.ColorRole.WindowText).name()
        look = (ink, self.width(), self.height(), self.devicePixelRatioF())
        if self._picture is None or look != self._look:
            self._picture, self._look = self._draw(*look), look
        painter = QPainter(self)
        painter.drawImage(0, 0, self._picture)
        painter.end()

    def _make_frame(self, ink: str, width: int, height: int, rows: int) -> None:
        """Make axes, empty lines and an empty legend, which takes longer than to draw them."""
        self._figure.clear()
        twofold = any(curve.right for curve in self._curves)
        right = _RIGHT if twofold else _NARROW
        top = _TOP + _ROW * (rows - 1)
        box = (_LEFT, _BOTTOM, width - _LEFT - right, height - top - _BOTTOM)
        place = np.maximum(box, 1) / (width, height, width, height)
        axes = self._figure.add_axes(tuple(place), facecolor="none")
        x_label, y_label, right_label = self._labels
        axes.set_xlabel(x_label, fontsize=_SMALL, color=ink, labelpad=1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        _style(axes, ink, y_label, self._log_y)
        scales = {False: axes}
        axes.spines["right"].set_visible(twofold)
        if twofold:
            scales[True] = axes.twinx()
            _style(scales[True], ink, right_label, False)
        colours = cycle(_COLOURS)
        self._lines, self._texts = [], []
        for curve in self._curves:
            colour, style, width = (ink, "--", 0.8) if curve.dashed else (next(colours), "-", 1.3)
            self._lines += scales[curve.right].plot(
                [], [], style, color=colour, linewidth=width, marker="o", markersize=4
            )
        named = [line for line, curve in zip(self._lines, self._curves, strict=True) if curve.label]
        if named:
            legend = axes.legend(
                named, ["…"] * len(named), fontsize=_SMALL, labelcolor=ink, frameon=False,
                ncols=ceil(len(named) / rows), loc="lower left", bbox_to_anchor=(0, 1),
                borderaxespad=0, borderpad=0.2, labelspacing=0.2,
                handlelength=_HANDLE, handletextpad=_GAP, columnspacing=_COLUMN,
            )  # fmt: skip
            for sample in legend.get_lines():
                sample.set_marker("")
            self._texts = legend.get_texts()

    def _legend_texts(self, width: int) -> tuple[list[str], int]:
        """Name the curves so that no name is cut off at the right, in one row or more."""
        pen, font = self._canvas.get_renderer(), FontProperties(size=_SMALL)
        em = _SMALL / 72 * self._figure.dpi

        def wide(texts: list[str], rows: int) -> float:
            sizes = [pen.get_text_width_height_descent(text, font, False)[0] for text in texts]
            columns = [max(sizes[n : n + rows]) for n in range(0, len(sizes), rows)]
            return sum(columns) + len(columns) * (_HANDLE + _GAP + _COLUMN) * em

        room = (width - _LEFT) / _DPI * self._figure.dpi
        labels = [curve.label for curve in self._curves if curve.label]
        return _fitting(labels, lambda texts, rows: wide(texts, rows) <= room)

    def _draw(self, ink: str, width: int, height: int, ratio: float) -> QImage:
        self._figure.dpi = _DPI * ratio
        self._figure.set_size_inches(width / _DPI, height / _DPI)
        texts, rows = self._legend_texts(width)
        kinds = [(bool(curve.label), curve.right, curve.dashed) for curve in self._curves]
        frame = (ink, width, height, ratio, rows, self._labels, self._log_y, *kinds)
        if frame != self._framed:
            self._make_frame(ink, width, height, rows)
            self._framed = frame
        # What begins with _ matplotlib would leave out of a legend, and $ take for a formula.
        for text, words in zip(self._texts, texts, strict=True):
            text.set(text=words, parse_math=False)
        for line, curve in zip(self._lines, self._curves, strict=True):
            x, y, marked = _points(curve)
            line.set_data(x, y)
            line.set_markevery(marked)
        counts = all(np.all(np.mod(curve.x, 1) == 0) for curve in self._curves)
        for axes in self._figure.axes:
            axes.relim()
            axes.autoscale_view()
            axes.xaxis.get_major_locator().set_params(integer=counts)
        if self._log_y:
            low, high = self._figure.axes[0].get_ylim()
            steps = (1, 2, 5) if high < 30 * low else (1,)
            self._figure.axes[0].yaxis.get_major_locator().set_params(subs=steps)
        self._canvas.draw()
        pixels = self._canvas.buffer_rgba()
        rows, columns = pixels.shape[:2]
        picture = QImage(pixels, columns, rows, QImage.Format.Format_RGBA8888).copy()
        picture.setDevicePixelRatio(ratio)
        return picture

    # -- copying ---------------------------------------------------------------------------------
    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Offer to copy the numbers."""
        menu = QMenu(self)
        menu.addAction("Copy as table", self.copy)
        menu.exec(event.globalPos())
        menu.deleteLater()

    def copy(self) -> None:
        """Put the numbers into the clipboard as a table with tabs, two columns a curve."""
        columns = []
        for curve in self._curves:
            for title, values in (
                (self._labels[0], curve.x),
                (curve.label or self._labels[1], curve.y),
            ):
                numbers = [f"{number:.7g}" for number in np.asarray(values, float)]
                columns.append([title, *numbers])
        rows = zip_longest(*columns, fillvalue="")
        QApplication.clipboard().setText("\n".join("\t".join(row) for row in rows))


def _style(axes: Axes, ink: str, label: str, log: bool) -> None:
    """Give axes small text and thin lines in one colour."""
    axes.set_ylabel(label, fontsize=_SMALL, color=ink, labelpad=2)
    axes.tick_params(colors=ink, labelsize=_SMALL, length=3, pad=2, width=0.6)
    for spine in axes.spines.values():
        spine.set(color=ink, linewidth=0.6)
    axes.spines["top"].set_visible(False)
    if log:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(_short)


def _short(value: float, _: int) -> str:
    """Write a number of an axis; matplotlib's powers of ten would take most of the drawing."""
    return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-")


def _fitting(labels: list[str], fits: Callable[[list[str], int], bool]) -> tuple[list[str], int]:
    """Shorten labels that are too long for one row to what tells them apart.

    What all of them begin with is left out. If that is not enough they are put into several rows,
    whole if they fit; else the middle is cut out of the longest.
    """
    if not labels or fits(labels, 1):
        return labels, 1
    letters = enumerate(zip(*labels, strict=False))
    start = next((n for n, one in letters if len(set(one)) > 1), min(map(len, labels)))
    texts = [
        f"…{text[start:].lstrip(' ·')}" if min(start, len(text) - start) > _TELLING else text
        for text in labels
    ]
    if fits(texts, 1):
        return texts, 1
    rows = min(_ROWS, len(labels))
    if fits(labels, rows):
        return labels, rows
    lengths = range(1, max(map(len, texts)) + 1)
    fitting = bisect(lengths, False, key=lambda length: not fits(_cut(texts, length), rows))
    return _cut(texts, max(fitting, 1)), rows


def _cut(texts: list[str], length: int) -> list[str]:
    """Cut the middle out of those texts that have more letters."""
    half = length // 2
    return [
        text if len(text) <= length else f"{text[:half]}…{text[len(text) - length + half + 1 :]}"
        for text in texts
    ]


def _points(curve: Curve) -> tuple[Floats, Floats, list[int]]:
    """Return x and y, the marked point added to them, and where among them it is."""
    x, y = np.asarray(curve.x, float), np.asarray(curve.y, float)
    known = np.isfinite(x) & np.isfinite(y)
    if curve.mark is None or not known.any():
        return x, y, []
    mark = min(curve.mark, x[known][-1])  # beyond it nobody knows how the curve goes on
    place = int(np.searchsorted(x, mark))
    height = np.interp(mark, x[known], y[known])
    return np.insert(x, place, mark), np.insert(y, place, height), [place]
