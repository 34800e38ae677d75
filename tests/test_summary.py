"""The figures of a result that go into the table of a folder."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np
import pytest

from napari_deconv import deconvolve, make_psf
from napari_deconv.recipe.summary import Summary, figures

processes = partial(ProcessPoolExecutor, mp_context=get_context("spawn"))

PSF = make_psf("gaussian", shape=(3, 7, 7), spacing=0.1, fwhm=0.25)


def test_figures_of_a_series_are_means_of_the_last_rows():
    """Volumes end after different numbers of iterations."""
    rng = np.random.default_rng(0)
    truth = np.zeros((4, 24, 24))
    truth[2, 8:16, 12] = 900
    series = np.stack([rng.poisson(truth + 30), rng.poisson(np.full(truth.shape, 30.0))])
    options = {"stop": "quality", "gain": 1.0, "iterations": 60, "engine": "cpu"}
    each = [deconvolve(image, PSF, **options) for image in series]
    rows = [len(one.history["iteration"]) for one in each]
    assert rows[0] != rows[1]
    found = figures(deconvolve(series, PSF, **options))
    for name in ("divergence", "discrepancy", "quality", "flux"):
        expected = np.mean([one.history[name][-1] for one in each])
        assert found[name] == pytest.approx(expected, rel=1e-4), name
    assert np.isnan(found["held_out"])
    assert found["iterations"] == max(one.iterations for one in each)
    assert found["background"] == pytest.approx(np.mean([one.background for one in each]))


def test_a_row_takes_the_place_of_that_of_the_same_result(tmp_path):
    table = Summary(tmp_path / "summary.csv")
    for row in (
        {"output": "b.tif", "status": "done", "error": "two\nlines", "seconds": 1.23456789},
        {"output": "a.tif", "status": "failed", "gain": float("nan"), "unknown": 1},
        {"output": "b.tif", "status": "failed"},
    ):
        table.put(row)
    assert table.row("a.tif") | {"gain": "", "status": "failed"} == table.row("a.tif")
    assert (table.row("b.tif")["status"], table.row("b.tif")["error"]) == ("failed", "")
    assert table.row("c.tif") == {}
    lines = table.path.read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["output", "a.tif", "b.tif"]


def put_rows(path, worker):
    """Begin when the other one is there, too."""
    path.with_name(f"{worker}.ready").touch()
    while len(list(path.parent.glob("*.ready"))) < 2:
        time.sleep(0.001)
    for number in range(40):
        Summary(path).put({"output": f"{worker}-{number}.tif", "status": "done"})


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, processes])
def test_no_row_is_lost_where_two_write_at_once(tmp_path, kind):
    path = tmp_path / "summary.csv"
    with kind(2) as pool:
        list(pool.map(put_rows, [path] * 2, range(2)))
    assert len(path.read_text().splitlines()) == 1 + 2 * 40
    assert {one.suffix for one in tmp_path.iterdir()} == {".csv", ".ready"}
