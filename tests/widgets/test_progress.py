"""The bar that says how far a run is."""

from __future__ import annotations

from napari_deconv.widgets.common.progress import ProgressBar


def test_the_time_left_counts_from_where_it_goes_on(qtbot, monkeypatch):
    now = iter([0.0, 100.0, 130.0, 131.0, 151.0, 160.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    bar = ProgressBar()
    qtbot.addWidget(bar)
    bar.wait()
    bar.begin()
    bar.step(8, 10, coarse=False)
    assert bar.format() == "8/10 · 3 min left"
    bar.step(9, 10, coarse=False)
    assert bar.format() == "9/10 · 65 s left"
    bar.step(1, 4, coarse=False)  # another step of it
    assert bar.format() == "1/4 · 3 s left"
    bar.step(2, 4, coarse=False)
    assert bar.format() == "2/4 · 21 s left"
    bar.step(4, 4, coarse=False)
    assert bar.format() == "4/4"  # what comes then has its own steps


def test_a_step_that_is_said_again_changes_nothing(qtbot, monkeypatch):
    now = iter([0.0, 10.0, 20.0, 30.0, 37.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    bar = ProgressBar()
    qtbot.addWidget(bar)
    bar.wait()
    bar.begin()
    bar.step(0, 4, coarse=False)
    assert bar.format() == "0/4"
    for step in (1, 1, 2, 2):
        bar.step(step, 4, coarse=False)
    assert bar.format() == "2/4 · 20 s left"
    bar.step(0, 3, coarse=False)  # something else begins
    bar.step(1, 3, coarse=False)
    assert bar.format() == "1/3 · 14 s left"


def test_a_part_of_a_step_fills_the_bar_and_counts(qtbot, monkeypatch):
    now = iter([0.0, 10.0, 20.0, 40.0, 50.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    bar = ProgressBar()
    qtbot.addWidget(bar)
    bar.wait()
    bar.begin()
    filled = []
    for done in (0, 0.25, 0.5, 1, 1.25):
        bar.step(done, 2, coarse=False)
        filled.append(bar.value() / bar.maximum())
    assert filled == [0, 0.125, 0.25, 0.5, 0.625]
    assert bar.format() == "1/2 · 30 s left"
