"""PSFs of other programs and microscopes, as they come."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_deconv.errors import DeconvWarning
from napari_deconv.psf.clean import clean_psf, load_psf
from napari_deconv.psf.measure import measure_psf


def test_a_raw_bead_is_cleaned(data_dir):
    path = data_dir / "psf/pyotf_psf_wl520nm_z300nm_x130nm_na0.85_n1.0.tif"
    with pytest.warns(DeconvWarning, match="offset of"):
        psf, steps = load_psf(path, (0.3, 0.13, 0.13))
    assert len(steps) == 1
    report = measure_psf(psf)
    assert report.fwhm_half_maximum == pytest.approx((1.278, 0.405, 0.390), rel=0.015)
    # A lens of NA 0.85 puts 0.66 outside of 3 FWHM in this window; with the offset 0.98 is there.
    assert 0.4 < report.flux_outside < 0.7


def test_a_lattice_psf_is_cleaned(data_dir):
    values = tifffile.imread(data_dir / "bio/lattice_psf_z100nm.tif")
    with pytest.warns(DeconvWarning):
        psf, steps = clean_psf(values, (0.1, 0.10188, 0.10188))
    assert steps[0].startswith("The PSF had an offset of 141.8")
    assert "(0, 7, 0) voxels off its centre" in steps[1]
    report = measure_psf(psf)
    raw = measure_psf(values - 141.0 * (values > 141), (0.1, 0.10188, 0.10188))
    assert report.fwhm == pytest.approx(raw.fwhm, rel=0.01)
    assert report.centre == pytest.approx([n // 2 for n in psf.shape], abs=1.6)
    assert report.flux_outside < 0.4 < 0.8 < raw.flux_outside


def test_a_peers_psf_is_centred(data_dir):
    values = tifffile.imread(data_dir / "beads/haase_peer_psf_45cubed.tif")
    with pytest.warns(DeconvWarning, match=r"\(3, -2, 2\) voxels off its centre"):
        psf, steps = clean_psf(values, (0.125, 0.02249, 0.02249))
    assert len(steps) == 1
    assert psf.data.max() == pytest.approx(values.max() / values[values > 0].sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("psf/psfgenerator_gibsonlanni_kern3d1.tif", (0.25, 0.1, 0.1)),
        ("beads/hoogenboom_peer_psf_av_zyx60x21.6x21.6.tif", (0.06, 0.0216, 0.0216)),
        ("benchmark/pollen_psf.tif", 0.1),
        ("benchmark/bars25_kernel.tif", 0.1),
    ],
)
def test_clean_psfs_need_nothing(data_dir, name, spacing):
    psf, steps = load_psf(data_dir / name, spacing)
    assert steps == []
    values = tifffile.imread(data_dir / name)
    np.testing.assert_allclose(psf.data, values / values.sum(dtype=float), rtol=1e-5)
