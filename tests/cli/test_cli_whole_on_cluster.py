"""Recipes that need the whole image, done by the workers of a real Dask cluster."""

from __future__ import annotations

import csv
import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from shell_cases import SPACING

from napari_deconv import Recipe, read_image, use_cluster, write_image
from napari_deconv.blocks.memory import Memory
from napari_deconv.cli import main
from napari_deconv.files import provenance_of
from napari_deconv.recipe import jobs
from napari_deconv.recipe.jobs import Job, Workshop
from napari_deconv.recipe.kept import Kept
from napari_deconv.recipe.whole import Whole

PSF = "psf: {file: psf.tif}\n"
BLIND = "deconvolution: {method: blind, iterations: 4}\n"
METHODS = [
    "{method: blind, iterations: 4}",
    "{method: ictm, iterations: 4}",
    "{method: fista, iterations: 4}",
    "{method: tikhonov}",
    "{method: inverse}",
    "{method: gradient_consensus, iterations: 4, gain: 1}",
    "{iterations: 4, acceleration: biggs}",
    "{iterations: 4, acceleration: wiener_butterworth}",
    "{iterations: 4, boundary: circular}",
]
OTHERS = {
    "background: {method: percentile, percentile: 5}\n": "ome.tif",
    PSF + "convolution: {}\n": "ome.zarr",
    PSF + "acquisition: {background: 10, photons: 100, seed: 1}\n": "ome.tif",
    "beads: {threshold: 40}\n": "csv",
    "psf: {optics: {model: gaussian, shape: [5, 9, 9], fwhm: [0.5, 0.3, 0.3], "
    "spacing: [0.2, 0.1, 0.1]}}\n": "ome.tif",
    "input: {sample: bars_confocal}\nbackground: {}\n": "ome.tif",
    "background_estimate: {}\n": "",
}


@pytest.fixture(scope="module")
def scheduler():
    """The address of two worker processes of one thread each, that work in another folder."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def only_there(monkeypatch):
    """Fail where this process does what a worker is to do; gives a function that begins that."""

    def run(*_):
        raise AssertionError("It was done here.")

    return lambda: monkeypatch.setattr(Whole, "run", run)


@pytest.fixture
def files(shell, image):
    Path("data").mkdir()
    for name, data in (("a.ome.tif", image), ("b.tif", image[:, ::-1])):
        write_image(f"data/{name}", data, SPACING)


def recipe(text):
    Path("recipe.yaml").write_text(f"napari-deconv: 1\n{text}engine: cpu\n")


def record(path):
    """How a result was made, but for when, how long, and what else was loaded."""
    left_out = ("date", "seconds", "versions")
    known = {k: v for k, v in provenance_of(path).items() if k not in left_out}
    return known | {"made": {k: v for k, v in known["made"].items() if k not in left_out}}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("method", METHODS)
def test_methods_that_need_the_whole_image_give_the_same_bits(shell, scheduler, only_there, method):
    recipe(f"{PSF}deconvolution: {method}\n")
    here = shell("run recipe.yaml data/a.ome.tif -o here.ome.tif")
    only_there()
    there = shell(f"run recipe.yaml data/a.ome.tif -o there.ome.tif --scheduler {scheduler}")
    assert there.stdout == here.stdout.replace("here.ome", "there.ome")
    np.testing.assert_array_equal(read_image("there.ome.tif").data, read_image("here.ome.tif").data)
    assert record("there.ome.tif") == record("here.ome.tif")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_deconvolution_is_the_same(shell, scheduler, only_there, text):
    recipe(text)
    given = "" if "optics" in text or "sample" in text else "data/a.ome.tif"
    names = [f"{name}.{OTHERS[text]}" if OTHERS[text] else "" for name in ("here", "there")]
    outputs = [f"-o {name}" if name else "" for name in names]
    here = shell(f"run recipe.yaml {given} {outputs[0]}").stdout
    only_there()
    there = shell(f"run recipe.yaml {given} {outputs[1]} --scheduler {scheduler}").stdout
    assert there == here.replace(*names)
    if names[0].endswith("csv"):
        assert Path(names[1]).read_text() == Path(names[0]).read_text()
    elif names[0]:
        first, second = (read_image(name) for name in names)
        np.testing.assert_array_equal(first.data, second.data)
        assert first.spacing == second.spacing
        assert record(names[0]) == record(names[1])


@pytest.mark.usefixtures("files")
def test_the_plan_says_where(shell, scheduler):
    recipe(PSF + BLIND)
    told = shell(f"run recipe.yaml data/a.ome.tif --scheduler {scheduler} --dry-run").stdout
    assert "# in memory, in one piece, on a worker\n" in told
    assert "deconvolve(" in told


@pytest.mark.usefixtures("files")
def test_many_files_are_done_and_those_that_fail_are_listed(shell, scheduler):
    recipe(PSF + BLIND)
    below = read_image("data/b.tif").data.astype(np.float32)
    below[:, :4] = -1  # which is warned of
    for name in ("c", "d"):
        write_image(f"data/{name}.tif", below, SPACING)
    Path("data/bad.tif").write_bytes(b"II*\\0\\0\\0\\0\\0")
    write_image("data/plane.tif", np.ones((8, 8), np.uint16), SPACING[1:])
    tables = {}

    def failing(command):
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == 1, result.output
        return result.stdout

    for folder, more in (("here", ""), ("there", f"--scheduler {scheduler}")):
        command = f"run recipe.yaml data --output {folder} {more}"
        assert "4 done, 0 skipped, 2 failed" in failing(command)
        with Path(folder, "summary.csv").open(newline="", encoding="utf-8") as file:
            tables[folder] = {row.pop("output"): row for row in csv.DictReader(file)}
        assert "0 done, 4 skipped, 2 failed" in failing(command)
    for rows in tables.values():
        for row in rows.values():
            del row["seconds"]
    assert tables["there"] == tables["here"]
    assert "below 0" in tables["there"]["c.ome.tif"]["warnings"]
    for name in ("a.ome.tif", "b.ome.tif"):
        here, there = (read_image(f"{folder}/{name}").data for folder in ("here", "there"))
        np.testing.assert_array_equal(there, here)


@pytest.mark.usefixtures("files")
def test_a_worker_makes_once_what_files_share(shell, scheduler):
    def count():
        def get(kept, key, make):
            def counted():
                Kept.made += 1
                return make()

            return Kept.own(kept, key, counted)

        Kept.made, Kept.own = 0, Kept.get
        Kept.get = get

    def told():
        Kept.get = Kept.own
        return Kept.made

    recipe(PSF + BLIND)
    for number in range(4):
        write_image(f"data/more{number}.tif", read_image("data/b.tif").data, SPACING)
    with use_cluster(scheduler) as client:
        client.run(count)
        shell("run recipe.yaml data --output there")
        made = client.run(told).values()
    assert max(made) == 1  # none where the other was faster with all files


@pytest.mark.usefixtures("files")
def test_what_no_worker_has_room_for_is_refused(shell, scheduler, monkeypatch):
    recipe(PSF + BLIND)
    monkeypatch.setattr(jobs, "_HELD", 1e12)
    said = shell(f"run recipe.yaml data/a.ome.tif --scheduler {scheduler}", code=2).stderr
    assert "blind" in said
    assert not Path("recipe.ome.tif").exists()


@pytest.mark.usefixtures("files")
def test_arrays_that_no_worker_has_room_for_are_refused_there(shell, scheduler, monkeypatch):
    """Instead of workers that Dask ends one after the other."""
    recipe(PSF + BLIND)
    find = jobs.find_place

    def small(*given):
        place = find(*given)
        return replace(place, free=Memory(1e6, 1e6))

    monkeypatch.setattr(jobs, "find_place", small)
    monkeypatch.setattr(jobs, "_HELD", 1)
    said = shell(f"run recipe.yaml data/a.ome.tif --scheduler {scheduler}", code=2).stderr
    assert "the memory limit is 1.0 MB" in said


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("where", ["", "--scheduler"])
def test_the_memory_limit_holds_on_workers_too(shell, scheduler, where):
    recipe("input: {sample: bars_confocal}\n" + PSF + BLIND)
    where = f"{where} {scheduler}" if where else ""
    said = shell(f"run recipe.yaml --memory 0.00001 {where}", code=2).stderr
    assert "the memory limit is" in said
    shell(f"run recipe.yaml -o free.ome.tif {where}")


def at_work(client):
    """The address of a worker that has begun the task; waits until there is one."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for worker, tasks in client.processing().items():
            if tasks:
                return worker
        time.sleep(0.01)
    raise TimeoutError("No task has begun.")


@pytest.mark.usefixtures("files")
def test_another_worker_does_it_where_one_is_killed(shell, scheduler):
    recipe(PSF + "deconvolution: {method: fista, iterations: 600}\n")
    shell("run recipe.yaml data/a.ome.tif -o here.ome.tif")
    killed = []
    with use_cluster(scheduler) as client:
        processes = client.run(os.getpid)

        def kill():
            worker = at_work(client)
            time.sleep(0.2)  # in the middle of it
            os.kill(processes[worker], signal.SIGKILL)
            killed.append(Path("there.ome.tif").exists())

        killer = threading.Thread(target=kill)
        killer.start()
        shell("run recipe.yaml data/a.ome.tif -o there.ome.tif")
        killer.join()
        client.wait_for_workers(2)
    assert killed == [False]
    np.testing.assert_array_equal(read_image("there.ome.tif").data, read_image("here.ome.tif").data)


@pytest.mark.usefixtures("files")
def test_what_nobody_waits_for_any_more_ends_and_writes_nothing(scheduler, tmp_path):
    recipe(PSF + "deconvolution: {method: fista, iterations: 1000000}\n")
    source, target = Path("data/a.ome.tif"), Path("there.ome.tif")
    with use_cluster(scheduler) as client:

        @contextmanager
        def watch(_):
            def end(_):
                if client.processing() and at_work(client):
                    time.sleep(0.3)
                    raise KeyboardInterrupt

            yield end

        with pytest.raises(KeyboardInterrupt):
            Workshop().run(Job(Recipe.load("recipe.yaml").on(source), source, target), watch)
        until = time.monotonic() + 20
        while any(client.run(tasks_at_work).values()):
            assert time.monotonic() < until, "a worker goes on"
            time.sleep(0.1)
    assert {path.name for path in tmp_path.iterdir()} == {
        "data",
        "recipe.yaml",
        "psf.tif",
        "image.tif",
    }


def tasks_at_work(dask_worker):
    return len(dask_worker.active_threads)
