"""An empty folder to run commands in, and small images."""

from __future__ import annotations

import signal
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner
from shell_cases import SPACING

import napari_deconv
from napari_deconv.cli import main
from napari_deconv.files import write_image
from napari_deconv.psf import make_psf


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Run a command in an empty folder and give its result; fails loudly where it should not."""
    monkeypatch.chdir(tmp_path)

    def run(command, code=0):
        result = CliRunner().invoke(main, command.split())
        assert result.exit_code == code, result.output + repr(result.exception)
        if code:
            *_, last = result.stderr.splitlines()
            assert last.startswith("error: ")
            assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def start():
    """Start a process that hears Ctrl-C, and does not outlive the test.

    What a shell starts in the background does not, the tests included.
    """
    begun = []

    def process(words, **options):
        ours = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            begun.append(subprocess.Popen(words, text=True, **options))
        finally:
            signal.signal(signal.SIGINT, ours)
        return begun[-1]

    yield process
    for one in begun:
        one.kill()
        one.communicate()


@pytest.fixture
def image(tmp_path):
    """A blurred cross with a voxel size, and the PSF that blurred it."""
    truth = np.zeros((12, 32, 32), np.float32)
    truth[6, 16, 8:24] = truth[6, 8:24, 16] = 500
    psf = make_psf("gaussian", shape=(9, 15, 15), spacing=SPACING, fwhm=(0.5, 0.25, 0.25))
    psf.save(tmp_path / "psf.tif")
    blurred = napari_deconv.convolve(truth, psf, engine="cpu")
    photons = np.random.default_rng(0).poisson(blurred + 10).astype(np.uint16)
    write_image(tmp_path / "image.tif", photons, SPACING)
    return photons


@pytest.fixture(scope="module")
def bead_file(tmp_path_factory):
    from napari_deconv.sample_data import beads_widefield

    sample = beads_widefield((24, 128, 128), engine="cpu")
    path = tmp_path_factory.mktemp("beads") / "beads.tif"
    write_image(path, sample.image, sample.spacing)
    return path, sample
