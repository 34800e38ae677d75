"""A Dask cluster from the shell, and what can be wrong with one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import warnings

import pytest

from napari_deconv import DeconvError, DeconvWarning, use_cluster

pytest.importorskip("distributed")


@pytest.fixture
def dask():
    """Start `dask …` in the shell; all that runs ends with the test."""
    running = []

    def start(*words, **environment):
        command = [sys.executable, "-m", "dask", *words]
        running.append(subprocess.Popen(command, env=os.environ | environment))

    yield start
    for process in reversed(running):
        process.terminate()
        process.wait(20)


@pytest.fixture
def scheduler_file(dask, tmp_path):
    file = tmp_path / "scheduler.json"
    dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(file))  # fmt: skip
    until(lambda: file.exists() and file.read_text().endswith("}"))  # not written at once
    return file


def until(done):
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_workers_from_the_shell_pass_their_warnings_on(dask, scheduler_file):
    def warn(run):
        warnings.warn("Smaller tiles.", DeconvWarning, stacklevel=1)
        warnings.warn("Of no interest.", UserWarning, stacklevel=1)

    dask("worker", "--scheduler-file", str(scheduler_file), "--nthreads", "1", "--no-dashboard")
    for run in range(2):
        with use_cluster(scheduler_file) as client, pytest.warns(DeconvWarning) as given:
            client.submit(warn, run).result()
        assert [str(each.message) for each in given] == ["Smaller tiles."]


def test_workers_with_another_version_are_refused(dask, scheduler_file, tmp_path):
    other = tmp_path / "napari_deconv-9.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: napari-deconv\nVersion: 9.9\n")
    dask("worker", "--scheduler-file", str(scheduler_file), "--no-dashboard",
         PYTHONPATH=str(tmp_path))  # fmt: skip
    with pytest.raises(DeconvError, match=r"napari-deconv 9\.9, here it is .*same environment"):
        use_cluster(scheduler_file)


def test_a_scheduler_without_workers(scheduler_file):
    with pytest.raises(DeconvError, match=r"no workers within 0\.2 s.*dask worker tcp://"):
        use_cluster(scheduler_file, timeout=0.2)


def test_nobody_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DeconvError, match=f"No Dask scheduler answers at {address} within"):
            use_cluster(address, timeout=0.5)


@pytest.mark.parametrize("address", ["carrier://node17:8786", "tcp://node17", "tcp://node17:port"])
def test_no_address(address):
    with pytest.raises(DeconvError, match=f"{address} is no address.*tcp://node17:8786"):
        use_cluster(address)


@pytest.mark.parametrize("content", ["", "[1]", "{}", "5"])
def test_no_scheduler_file(content, tmp_path):
    file = tmp_path / "scheduler.json"
    with pytest.raises(DeconvError, match="There is no scheduler file"):
        use_cluster(file)
    file.write_text(content)
    with pytest.raises(DeconvError, match="is no scheduler file"):
        use_cluster(file)


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DeconvError, match=r'pip install "napari-deconv\[distributed\]"'):
        use_cluster("tcp://node17:8786")


def test_nothing_imports_distributed_without_a_scheduler():
    code = "import sys, napari_deconv.blocks.storing, napari_deconv.blocks.cluster, {0}; "
    code += "sys.exit('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code.format("napari_deconv.cli")], check=False)
    assert done.returncode == 0
