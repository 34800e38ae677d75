"""The small plot: what it shows, and when it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QApplication

from napari_deconv.widgets.common.plot import Curve, Plot

X = np.arange(5, 100, 5)
LABELS = {"x_label": "iteration", "y_label": "divergence (grey)", "right_label": "quality"}
CURVES = [
    Curve("divergence", X, np.exp(-X / 20.0) + 1, mark=60),
    Curve("quality", X, X / 30, right=True),
]


@pytest.fixture
def plot(qtbot):
    shown = Plot()
    qtbot.addWidget(shown)
    shown.resize(320, 140)
    return shown


@pytest.fixture
def drawn(plot, monkeypatch):
    """How often it was drawn."""
    times = []
    draw = Plot._draw
    monkeypatch.setattr(Plot, "_draw", lambda *given: times.append(1) or draw(*given))
    return times


def pixels(plot):
    picture = plot.grab().toImage()
    return np.array(
        [
            [picture.pixelColor(x, y).getRgb()[:3] for x in range(picture.width())]
            for y in range(picture.height())
        ]
    )


def coloured(picture, colour):
    """Rows and columns of the pixels that are nearly of a colour."""
    return np.nonzero(np.abs(picture - QColor(colour).getRgb()[:3]).max(-1) < 40)


@pytest.mark.parametrize(
    ("x", "whole"), [(np.arange(1, 9), True), ([1.0, 2.0], True), (np.arange(1, 9) / 4, False)]
)
def test_what_is_counted_is_numbered_in_whole_numbers(plot, x, whole):
    plot.show_curves([Curve("quality", x, np.ones(len(x)))], **LABELS)
    plot.grab()
    ticks = plot._figure.axes[0].get_xticks()
    assert np.all(np.mod(ticks, 1) == 0) == whole


def test_hidden_it_draws_nothing_and_shown_once(qtbot, plot, drawn):
    for _ in range(5):
        plot.show_curves(CURVES, **LABELS)
        QApplication.processEvents()
    assert not drawn
    with qtbot.waitExposed(plot):
        plot.show()
    QApplication.processEvents()
    drawn.clear()
    for _ in range(5):
        plot.show_curves(CURVES, **LABELS)
    QApplication.processEvents()
    assert len(drawn) == 1
    plot.update()
    QApplication.processEvents()
    assert len(drawn) == 1


def test_a_nan_is_a_gap_and_the_mark_lies_on_the_line(plot):
    x, y = np.arange(101.0), np.arange(101.0)
    y[40:60] = np.nan
    plot.show_curves([Curve("", x, y, mark=80)], x_label="x", y_label="y")
    _, columns = coloured(pixels(plot), "#e69f00")
    line = np.unique(columns)
    left, right = line.min(), line.max()
    at = left + (right - left) * np.array([0.41, 0.57])
    assert not np.any((line > at[0]) & (line < at[1]))
    counts = np.bincount(columns, minlength=right + 1)
    assert abs(np.argmax(counts) - (left + 0.8 * (right - left))) <= 3


def test_a_line_ends_where_it_was_measured(plot):
    plot.show_curves([Curve("", X, X, mark=X[-1] + 50)], x_label="x", y_label="y")
    _, marked = coloured(pixels(plot), "#e69f00")
    plot.show_curves([Curve("", X, X)], x_label="x", y_label="y")
    _, alone = coloured(pixels(plot), "#e69f00")
    assert marked.min() == alone.min()
    assert abs(marked.max() - alone.max()) <= 3  # the dot's radius


def test_text_has_the_colour_of_the_palette(plot):
    plot.show_curves(CURVES, **LABELS)
    for ink, paper in (("#ff0000", "#000000"), ("#0000ff", "#ffffff")):
        palette = QPalette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(ink))
        palette.setColor(QPalette.ColorRole.Window, QColor(paper))
        plot.setPalette(palette)
        assert coloured(pixels(plot), ink)[0].size > 200


def test_the_scale_on_the_right_is_its_own(plot):
    small, large = Curve("", X, X / 1e6, right=True), Curve("", X, X * 1e6)
    plot.show_curves([large, small], **LABELS)
    picture = pixels(plot)
    for colour in ("#e69f00", "#4a9fe0"):  # both fill their scale
        rows, _ = coloured(picture, colour)
        if rows.size:  # the one below may be hidden by the one above
            assert np.ptp(rows) > 60
    assert coloured(picture, "#4a9fe0")[0].size


def test_nothing_and_no_numbers_at_all_can_be_shown(plot):
    pixels(plot)
    plot.show_curves([Curve("empty", [], [])], x_label="x", y_label="y")
    pixels(plot)
    plot.show_curves([Curve("zero", X, 0.0 * X)], x_label="x", y_label="y", log_y=True)
    pixels(plot)
    plot.show_curves([Curve("", X, np.nan * X, mark=20)], x_label="x", y_label="y")
    assert not coloured(pixels(plot), "#e69f00")[0].size


def test_the_numbers_are_copied(plot):
    plot.show_curves([Curve("a", [1, 2], [0.5, np.nan]), Curve("b", [1], [3])], **LABELS)
    plot.copy()
    text = QApplication.clipboard().text()
    assert text == "iteration\ta\titeration\tb\n1\t0.5\t1\t3\n2\tnan\t\t"


def test_drawing_again_keeps_axes_and_legend(plot, monkeypatch):
    """To make them takes longer than to draw all of it."""
    made, clear = [], Figure.clear
    monkeypatch.setattr(Figure, "clear", lambda figure: made.append(figure) or clear(figure))
    plot.show_curves(CURVES, **LABELS)
    before = pixels(plot)
    other = [replace(CURVES[0], label="divergence 2", y=CURVES[0].y / 2), CURVES[1]]
    plot.show_curves(other, **LABELS)
    assert not np.array_equal(pixels(plot), before)
    assert len(made) == 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["cells", "cells · RL 40"], ["cells", "cells · RL 40"]),
        (
            ["cells", "cells z", "cells · RL 40", "cells · RL 40 z"],
            ["cells", "cells z", "…RL 40", "…RL 40 z"],
        ),
        (
            ["experiment 12 position 3 C1", "experiment 12 position 3 C1 · RL 40"],
            ["experiment 12 position 3 C1", "…RL 40"],
        ),
    ],
)
def test_the_legend_says_what_tells_curves_apart(plot, labels, expected):
    assert [text.get_text() for text in legend_of(plot, labels).get_texts()] == expected


@pytest.mark.parametrize("width", [296, 320, 500])
@pytest.mark.parametrize(
    "labels",
    [
        ["experiment 12 position 3 C1", "…z", "experiment 12 position 3 C1 · RL 40", "…z"],
        ["WWWWMMMM_well_A03_field_7", "…z", "20x_well_B11_field_2 · Wiener", "…z"],
        ["_cells in $ and $", "_cells in $ and $ · RL 40 · total variation", "threshold"],
        [f"{place} of a long experiment, deconvolved" for place in "ABCDEF"],
    ],
)
def test_no_name_runs_out_of_the_legend(plot, width, labels):
    plot.resize(width, 140)
    labels = [labels[n - 1] + " z" if label == "…z" else label for n, label in enumerate(labels)]
    legend = legend_of(plot, labels)
    shown = legend.get_window_extent()
    assert shown.x1 <= width
    assert shown.y1 <= 140
    assert legend.axes.get_window_extent().y1 <= shown.y0 + 1
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(set(texts)) == len(labels)
    for words, label in zip(texts, labels, strict=True):
        assert words == label or "…" in words
        assert label.endswith(words.rpartition("…")[2])


def legend_of(plot, labels):
    plot.show_curves([Curve(label, [0, 1], [0, 1]) for label in labels], x_label="x", y_label="y")
    plot.grab()
    return plot._figure.axes[0].get_legend()
