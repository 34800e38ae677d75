"""The demo: the whole job on simulated data, and the figure that shows it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from matplotlib.image import imread

from napari_deconv import DeconvError, Psf, measure_psf
from napari_deconv.cli import main
from napari_deconv.demo import run_demo
from napari_deconv.figures import draw_demo
from napari_deconv.files import read_image

FILES = {
    "beads.csv", "beads.ome.tif", "beads_subtracted.ome.tif", "demo.png", "psf.ome.tif",
    "psf_truth.ome.tif", "specimen.ome.tif", "specimen_deconvolved.ome.tif",
    "specimen_truth.ome.tif",
}  # fmt: skip


def correlation(first, second):
    a, b = (np.asarray(array, float) - np.mean(array) for array in (first, second))
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("demo") / "made", []
    made = run_demo(
        folder, shape=(24, 112, 96), psf_shape=(15, 25, 25), iterations=15, engine="cpu",
        say=lines.append,
    )  # fmt: skip
    return made, folder, lines


def test_everything_is_written(demo):
    _, folder, _ = demo
    assert {path.name for path in folder.iterdir()} == FILES
    for path in folder.glob("*.ome.tif"):
        image = read_image(path)
        assert image.spacing == pytest.approx((0.2, 0.08, 0.08))
        assert image.metadata


def test_what_it_says_is_what_it_wrote(demo):
    _, folder, lines = demo
    specimen, truth, result = (
        read_image(folder / f"specimen{name}.ome.tif").data
        for name in ("", "_truth", "_deconvolved")
    )
    before, after = correlation(specimen, truth), correlation(result, truth)
    assert f"from {before:.2f} to {after:.2f}" in lines[-1]
    assert after > before + 0.1
    for name in ("psf", "psf_truth"):
        width = measure_psf(Psf.load(folder / f"{name}.ome.tif")).fwhm
        assert " / ".join(f"{each:.3f}" for each in width) in lines[-2]


def test_the_distilled_psf_is_the_true_one(demo):
    made, _, _ = demo
    np.testing.assert_allclose(
        measure_psf(made.psf).fwhm, measure_psf(made.beads.psf).fwhm, rtol=0.1
    )


def test_the_figure_has_its_panels_and_numbers(demo):
    made, folder, _ = demo
    titles = [axes.get_title(loc="left") for axes in draw_demo(made).axes]
    text = "\n".join(titles)
    assert len(titles) == 3 * 2 + 1 + 2 * 2
    for name in ("Before", "After", "Truth", "Beads", "PSF"):
        assert name in text
    for number in (made.correlation_before, made.correlation_after):
        assert f"correlation with the truth {number:.2f}" in text
    for psf in (made.psf, made.beads.psf):
        assert " / ".join(f"{width:.3f}" for width in measure_psf(psf).fwhm) in text
    picture = imread(folder / "demo.png")[..., :3]
    assert picture.shape[1] == 15 * 110
    # each third of the upper row shows something
    for third in np.array_split(picture[:500], 3, axis=1):
        assert third.std() > 0.1


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DeconvError, match="cannot be made"):
        run_demo(tmp_path / "file" / "demo")


@pytest.mark.slow
def test_the_full_demo(tmp_path):
    """The numbers that the README promises, in less than a minute."""
    from click.testing import CliRunner

    start = time.perf_counter()
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo"), "-e", "cpu"])
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start < 60
    folder = tmp_path / "demo"
    truth = read_image(folder / "specimen_truth.ome.tif").data
    assert correlation(read_image(folder / "specimen_deconvolved.ome.tif").data, truth) > 0.75
    measured, true = (
        measure_psf(Psf.load(folder / f"{name}.ome.tif")).fwhm for name in ("psf", "psf_truth")
    )
    np.testing.assert_allclose(measured, true, rtol=0.03)
