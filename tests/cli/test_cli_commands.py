"""The command line, as users meet it: what it writes, says, and returns."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from shell_cases import SPACING

import napari_deconv
from napari_deconv.cli import main
from napari_deconv.files import read_image
from napari_deconv.psf import Psf, make_psf

COMMANDS = ("background", "beads", "distill", "psf", "deconvolve", "measure", "devices", "demo")


def test_help_lists_all_commands_and_shows_examples(shell):
    text = shell("--help").stdout
    for command in COMMANDS:
        assert command in text
        page = shell(f"{command} --help").stdout
        assert f"napari-deconv {command}" in page.split("Examples:")[1]


def test_version(shell):
    assert napari_deconv.__version__ in shell("--version").stdout


def test_no_command_shows_help(shell):
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2
    assert "Examples:" in result.stderr


def test_background_is_the_function(shell, image):
    result = shell("background image.tif -m percentile --percentile 5 -e cpu -o out.tif")
    written = read_image("out.tif")
    expected = napari_deconv.subtract_background(image, "percentile", percentile=5, engine="cpu")
    np.testing.assert_array_equal(written.data, expected)
    assert written.spacing == SPACING
    assert written.metadata["operation"] == "subtract_background"
    assert written.metadata["parameters"]["percentile"] == 5
    assert Path(written.metadata["inputs"]["image"]["path"]).name == "image.tif"
    level = napari_deconv.estimate_background(image, "percentile", percentile=5, engine="cpu")
    assert f"(percentile): {level:.4g} on average" in result.stdout


def test_the_background_is_estimated_once(shell, image, monkeypatch):
    from napari_deconv import background

    estimates = []
    percentile = np.percentile
    monkeypatch.setattr(
        background.np, "percentile", lambda *given: estimates.append(percentile(*given)) or 10.0
    )
    result = shell("background image.tif -m percentile -e cpu -o out.tif")
    assert len(estimates) == 1
    assert "10 on average" in result.stdout


def test_background_radius_is_in_micrometres(shell, image):
    shell("background image.tif -m top_hat --radius 0.4 -e cpu -o out.tif")
    expected = napari_deconv.subtract_background(
        image, "top_hat", radius=0.4, spacing=SPACING, engine="cpu"
    )
    np.testing.assert_array_equal(read_image("out.tif").data, expected)


def test_beads_and_distill(shell, bead_file):
    path, sample = bead_file
    result = shell(f"beads {path} -d 0.1 --keep neighbour -e cpu -o beads.csv")
    with Path("beads.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = napari_deconv.detect_beads(
        sample.image, spacing=sample.spacing, bead_diameter=0.1, engine="cpu",
        reject=napari_deconv.Rejection(neighbour=False),
    )  # fmt: skip
    assert [row["status"] for row in rows] == found.status.tolist()
    assert f"{len(rows)} beads" in result.stdout
    shell(f"distill {path} -d 0.1 -n 5 --shape 15,25,25 --keep neighbour -e cpu -o psf.ome.tif")
    psf = Psf.load("psf.ome.tif")
    assert psf.shape == (15, 25, 25)
    assert psf.spacing == sample.spacing
    assert psf.data.sum() == pytest.approx(1)
    expected = napari_deconv.distill_psf(
        sample.image, found, spacing=sample.spacing, shape=(15, 25, 25), iterations=5,
        bead_diameter=0.1, engine="cpu",
    )  # fmt: skip
    np.testing.assert_allclose(psf.data, expected.data, atol=1e-7 * psf.data.max())
    assert psf.metadata["operation"] == "distill_psf"


def test_distances_of_the_rules(shell, bead_file):
    path, sample = bead_file
    shell(f"beads {path} --edge-distance 0.5 --neighbour-distance 0.3 -e cpu -o beads.csv")
    with Path("beads.csv").open(newline="") as file:
        statuses = [row["status"] for row in csv.DictReader(file)]
    rules = napari_deconv.Rejection(edge_distance=0.5, neighbour_distance=0.3)
    found = napari_deconv.detect_beads(
        sample.image, spacing=sample.spacing, reject=rules, engine="cpu"
    )
    assert statuses == found.status.tolist()
    default = napari_deconv.detect_beads(sample.image, spacing=sample.spacing, engine="cpu")
    assert statuses != default.status.tolist()


def test_a_symmetric_psf(shell, bead_file):
    path, _ = bead_file
    shell(f"distill {path} -n 5 --shape 9,15,15 --symmetric -e cpu -o psf.ome.tif")
    data = Psf.load("psf.ome.tif").data
    np.testing.assert_allclose(data, np.swapaxes(data, 1, 2), atol=1e-8)


def test_distilling_by_centroids_finds_its_own_beads(shell, bead_file):
    path, _ = bead_file
    result = shell(f"distill {path} -m centroids -n 3 --shape 9,15,15 -e cpu -o psf.tif")
    assert "beads:" not in result.stdout
    assert Psf.load("psf.tif").metadata["parameters"]["method"] == "centroids"


def test_the_expected_width_of_beads_can_be_given(shell, bead_file):
    path, sample = bead_file
    fwhm = (0.7, 0.3, 0.3)
    shell(f"distill {path} --fwhm 0.7,0.3,0.3 -n 3 --shape 9,15,15 -e cpu -o psf.tif")
    found = napari_deconv.detect_beads(
        sample.image, spacing=sample.spacing, fwhm=fwhm, engine="cpu"
    )
    unaided = napari_deconv.detect_beads(sample.image, spacing=sample.spacing, engine="cpu")
    assert found.counts != unaided.counts
    assert Psf.load("psf.tif").metadata["beads"].items() >= found.counts.items()


def test_a_psf_too_small_to_measure_is_written(shell, bead_file):
    path, _ = bead_file
    result = shell(f"distill {path} -n 3 --shape 3,5,5 -e cpu -o distilled.tif")
    assert "Wrote distilled.tif: too small to measure." in result.stdout
    assert Psf.load("distilled.tif").shape == (3, 5, 5)
    result = shell("psf gaussian --fwhm 1 --shape 3,5,5 -s 0.1 -o psf.tif")
    assert "Wrote psf.tif: too small to measure." in result.stdout
    assert "no peak with flanks" in shell("measure psf.tif", code=2).stderr


def test_psf_is_the_function(shell):
    shell(
        "psf gibson_lanni --na 0.8 --wavelength 0.52 --immersion 1.0 --sample 1.33 --glass 1.5 "
        "--depth 3 --centre paraxial --no-pixel-integration -s 0.4,0.15,0.15 --shape 9,33,33 "
        "-e cpu -o psf.tif"
    )
    psf = Psf.load("psf.tif")
    expected = make_psf(
        "gibson_lanni", shape=(9, 33, 33), spacing=(0.4, 0.15, 0.15), na=0.8, wavelength=0.52,
        n_immersion=1.0, n_sample=1.33, n_glass=1.5, depth=3, centre="paraxial",
        pixel_integration=False, engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(psf.data, expected.data)
    assert expected.metadata.items() <= psf.metadata.items()


def test_measure_prints_what_was_measured(shell):
    shell("psf gaussian --fwhm 0.6,0.3,0.3 --shape 21,21,21 -s 0.1 -o psf.tif")
    text = shell("measure psf.tif").stdout
    report = json.loads(shell("measure psf.tif --json").stdout)
    # the voxel integrates: σ² grows by Δ²/12
    assert report["fwhm"] == pytest.approx([0.6038, 0.3076, 0.3076], abs=5e-4)
    assert report["centre"] == pytest.approx([10, 10, 10], abs=1e-3)
    assert report["spacing"] == [0.1, 0.1, 0.1]
    assert f"{report['fwhm'][0]:.3f}" in text


def test_devices_marks_what_auto_takes(shell):
    table = json.loads(shell("devices --json").stdout)
    auto = napari_deconv.get_engine("auto").device
    assert [row["engine"] for row in table if row["auto"]] == [auto.key]
    assert [row["engine"] for row in table] == [d.key for d in napari_deconv.list_devices()]
    lines = shell("devices").stdout.splitlines()
    assert [line for line in lines if "← auto" in line] == [
        line for line in lines if line.startswith(auto.key)
    ]


def test_no_voxel_size_is_needed_where_none_is_used(shell, image):
    tifffile.imwrite("bare.tif", image)
    shell("background bare.tif -e cpu -o out.tif")
    assert read_image("out.tif").spacing is None


def test_quiet_and_verbose(shell, image):
    command = "deconvolve image.tif psf.tif --stop none -n 1 -b 10 -e cpu -o out.tif"
    assert "Wrote out.tif" in shell(command).stdout
    assert shell(f"{command} -q").output == ""
    verbose = shell(f"{command} -v")
    assert "voxel size 0.2 × 0.08 × 0.08 µm" in verbose.stderr
    failed = CliRunner().invoke(main, ["measure", "none.tif", "-v"])
    assert failed.exit_code == 2
    assert "Traceback" in failed.stderr


def test_real_beads_from_the_shell(shell, data_dir):
    """The folder's README: 37 isolated beads, FWHM .858/.398/.400 µm."""
    path = data_dir / "beads" / "hoogenboom_200nm_na095_zyx300x108x108.tif"
    result = shell(f"beads {path} -d 0.2 -o beads.csv")
    with Path("beads.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["status"] == "accepted"]
    assert len(rows) >= 30
    assert f"{len(rows)} accepted" in result.stdout
    for axis, expected in zip("zyx", (0.858, 0.398, 0.4), strict=True):
        median = np.median([float(row[f"fwhm_{axis}_um"]) for row in rows])
        assert median == pytest.approx(expected, rel=0.05)
