"""The command line as a real process: streams, progress, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "napari_deconv.cli"]
DECONVOLVE = [*COMMAND, "deconvolve", "image.tif", "psf.tif", "--stop", "none"]


def test_a_real_process(image, tmp_path):
    """As installed: exit codes, streams, no progress bar where stderr is no terminal."""
    done = subprocess.run(
        [*DECONVOLVE, "-n", "3", "-o", "out.tif"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1].startswith("Wrote out.tif: 12 × 32 × 32 voxels")
    failed = subprocess.run(
        [*COMMAND, "measure", "none.tif"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, encoding="utf-8",
    )  # fmt: skip
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "error: There is no file none.tif.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_progress_bar_on_a_terminal(image, tmp_path):
    import pty
    import termios

    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    process = subprocess.Popen(
        [*DECONVOLVE, "-n", "30", "-o", "out.tif"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(master, 4096):
            shown += part
    os.close(master)
    assert process.wait(120) == 0
    assert b"coarse start" in shown
    assert b"/30" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another there")
def test_ctrl_c_leaves_nothing_behind(image, tmp_path, start):
    before = set(tmp_path.iterdir())
    process = start(
        [*DECONVOLVE, "-n", "1000000", "-v", "-o", "out.tif"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stderr.readline()  # the image has been read
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted, nothing was written"
    assert set(tmp_path.iterdir()) == before
