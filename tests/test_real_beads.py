"""Real beads give the widths that others measured of them, to 10 %."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_deconv import Psf, detect_beads, distill_psf, measure_psf
from napari_deconv.beads.statistics import bead_statistics

WIDEFIELD = ((0.3, 0.108, 0.108), "hoogenboom_200nm_na095_zyx300x108x108.tif")
CONFOCAL = ((0.125, 0.02249, 0.02249), "haase_Bead_Image1_crop.tif")


def read(data_dir, name):
    return tifffile.imread(data_dir / "beads" / name)


@pytest.fixture(scope="module")
def widefield(data_dir):
    """The middle of the image, beads, and the PSF with the beads' size in it."""
    spacing, name = WIDEFIELD
    image = read(data_dir, name)[:, 128:384, 128:384]
    beads = detect_beads(image, spacing=spacing, bead_diameter=0.2, engine="cpu")
    psf = distill_psf(image, beads, spacing=spacing, shape=(17, 25, 25), engine="cpu")
    return image, beads, psf


def test_widefield_beads(widefield, data_dir):
    psf = widefield[2]
    assert psf.metadata["beads"]["used"] >= 8
    widths = measure_psf(psf).fwhm
    np.testing.assert_allclose(widths, (0.858, 0.398, 0.400), rtol=0.05)
    peer = Psf(read(data_dir, "hoogenboom_peer_psf_av_zyx60x21.6x21.6.tif"), (0.06, 0.0216, 0.0216))
    np.testing.assert_allclose(widths, measure_psf(peer).fwhm, rtol=0.05)


def test_the_size_of_widefield_beads_is_taken_out(widefield):
    """A ball of 0.2 µm has the variance 0.002 µm² along an axis."""
    image, beads, seen = widefield
    psf = distill_psf(
        image, beads, spacing=seen.spacing, shape=seen.shape, bead_diameter=0.2, engine="cpu"
    )
    expected = np.sqrt(np.square(measure_psf(seen).fwhm) - 8 * np.log(2) * 0.002)
    np.testing.assert_allclose(measure_psf(psf).fwhm, expected, rtol=0.05)


def test_statistics_of_widefield_beads(widefield):
    image, beads, psf = widefield
    found = bead_statistics(beads, image, psf)
    np.testing.assert_allclose(found.fwhm_median, (0.858, 0.398, 0.400), rtol=0.03)
    assert np.all(np.array(found.fwhm_sd) < 0.1 * np.array(found.fwhm_mean))
    assert found.gain is None  # 8 bits hide the noise
    assert np.all(found.snr[found.accepted] > 10)
    inner = found.field_map.fwhm
    np.testing.assert_allclose(inner, np.reshape(found.fwhm_mean, (3, 1, 1)) + 0 * inner, rtol=0.1)


def test_confocal_beads(data_dir):
    spacing, name = CONFOCAL
    psf = distill_psf(read(data_dir, name), spacing=spacing, engine="cpu")
    assert psf.metadata["beads"]["used"] == 4
    report = measure_psf(psf)
    np.testing.assert_allclose(report.fwhm, (0.537, 0.227, 0.161), rtol=0.05)
    np.testing.assert_allclose(report.centre, [n // 2 for n in psf.shape], atol=1.0)
    peer = Psf(read(data_dir, "haase_peer_psf_45cubed.tif"), spacing)
    np.testing.assert_allclose(report.fwhm, measure_psf(peer).fwhm, rtol=0.05)
