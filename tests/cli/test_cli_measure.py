"""The command measure, and recorded PSFs on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from shell_cases import SPACING

import napari_deconv
from napari_deconv.files import read_image, write_image
from napari_deconv.psf import Psf


@pytest.fixture
def recorded(image):
    """The PSF as a camera records it: photons on an offset of 100, with noise."""
    light = 4000 * Psf.load("psf.tif").data
    light = np.pad(light, ((3, 3), (9, 9), (9, 9)))
    noise = np.random.default_rng(0).normal(100, 2, light.shape)
    values = np.rint(light / light.max() * 4000 + noise).astype(np.uint16)
    write_image("recorded.tif", values, SPACING)
    return values


def test_a_recorded_psf_just_works(shell, image, recorded):
    options = "--stop none -n 8 -b 10 -e cpu"
    result = shell(f"deconvolve image.tif recorded.tif {options} -o recorded_rl.tif")
    assert "warning: The PSF had an offset of 100" in result.stderr
    clean = shell(f"deconvolve image.tif psf.tif {options} -o psf_rl.tif")
    assert "warning" not in clean.stderr
    expected, found = read_image("psf_rl.tif").data, read_image("recorded_rl.tif").data
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
    raw = napari_deconv.deconvolve(
        image, Psf(recorded, SPACING), iterations=8, background=10, levels="auto", engine="cpu"
    ).image
    assert np.linalg.norm(raw - expected) > 0.5 * np.linalg.norm(expected)
