"""Many files: one after the other, or as many at once as a cluster has threads."""

from __future__ import annotations

import threading
import time
import warnings
from pathlib import Path

import pytest

from napari_deconv import DeconvError, DeconvWarning, Recipe
from napari_deconv._progress import Progress
from napari_deconv.recipe.batch import Batch
from napari_deconv.recipe.jobs import Job
from napari_deconv.recipe.whole import Made

NAMES = "abcdef"


class Workshop:
    """Does something else to each job."""

    def __init__(self, do):
        self.do, self.begun = do, []

    def run(self, job, watch, tell=None):
        self.begun.append(job.target.stem)
        with watch("blocks") as callback:
            self.do(job.target.stem, callback)
        return Made({"background": 7.0})


@pytest.fixture
def batch(tmp_path):
    """Make a batch of six files that does something to each."""
    path = tmp_path / "recipe.yaml"
    path.write_text("napari-deconv: 1\nbackground: {}\n")
    recipe, jobs = Recipe.load(path), []
    for name in NAMES:
        (tmp_path / name).write_text(name)
        jobs.append(Job(recipe.on(tmp_path / name), tmp_path / name, tmp_path / f"{name}.tif"))
    return lambda do: Batch(jobs, Workshop(do), tmp_path)


@pytest.fixture
def two_threads():
    from distributed import Client

    with Client(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as client:
        yield client


def test_without_a_cluster_files_are_done_one_after_the_other_in_this_thread(batch):
    threads = []
    rows = batch(lambda *_: threads.append(threading.current_thread())).run()
    assert [row["output"] for row in rows] == [f"{name}.tif" for name in NAMES]
    assert threads == len(NAMES) * [threading.current_thread()]


@pytest.mark.usefixtures("two_threads")
def test_as_many_files_at_once_as_the_cluster_has_threads(batch):
    pairs, at_work, most = threading.Barrier(2, timeout=20), set(), []

    def do(name, _):
        at_work.add(name)
        pairs.wait()
        most.append(len(at_work))
        pairs.wait()
        at_work.remove(name)

    rows = {row["output"]: row for row in batch(do).run()}
    assert {row["status"] for row in rows.values()} == {"done"}, rows
    assert sorted(rows) == [f"{name}.tif" for name in NAMES]
    assert set(most) == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_file_that_fails_and_the_warnings_of_each_are_in_its_own_row(batch):
    pairs = threading.Barrier(2, timeout=20)

    def do(name, _):
        pairs.wait()
        warnings.warn(f"of {name}", DeconvWarning, stacklevel=1)
        pairs.wait()
        if name == "b":
            raise DeconvError("b is bad.")

    with pytest.warns(DeconvWarning) as shown:
        rows = {row["output"][0]: row for row in batch(do).run()}
    assert {name: row["warnings"] for name, row in rows.items()} == {n: f"of {n}" for n in NAMES}
    assert sorted(str(one.message) for one in shown) == [f"of {name}" for name in NAMES]
    assert [name for name, row in rows.items() if row["status"] == "failed"] == ["b"]
    assert rows["b"]["error"] == "b is bad."


@pytest.mark.usefixtures("two_threads")
def test_when_it_is_closed_none_begins_and_those_at_work_end(batch):
    ended = threading.Event()

    def do(name, callback):
        if name == "a":
            return
        try:
            for _ in range(2000):
                callback(Progress(1, 2))
                time.sleep(0.01)
        finally:
            ended.set()

    closed = batch(do)
    rows = closed.run()
    assert next(rows)["output"] == "a.tif"
    rows.close()
    assert ended.wait(10)
    time.sleep(0.2)
    assert set(closed.workshop.begun) <= {"a", "b", "c"}
    table = Path(closed.folder, "summary.csv").read_text().splitlines()
    assert [line[0] for line in table[1:]] == ["a"]
