"""The command measure, and recorded PSFs on the command line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell_cases import SPACING

import napari_deconv
from napari_deconv.files import read_image, write_image
from napari_deconv.psf import Psf, make_psf


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


def test_measure_prints_a_table(shell):
    shell("psf gaussian --fwhm 0.6,0.3,0.3 --shape 21,21,21 -s 0.1 -o psf.tif")
    lines = shell("measure psf.tif").stdout.splitlines()
    assert lines[0].split() == ["measured"]
    assert lines[1].split() == ["FWHM,", "Gaussian,", "µm", "z", "0.604"]
    assert lines[-1].split() == ["10", "%", "contrast", "at,", "1/µm", "2.614"]


def test_measure_compares_and_reports(shell):  # voxels integrate: σ² grows by Δ²/12
    shell("psf gaussian --fwhm 0.6,0.3,0.3 --shape 21,21,21 -s 0.1 -o theory.tif")
    shell("psf gaussian --fwhm 0.9,0.3,0.3 --shape 31,21,21 -s 0.1 -o psf.tif")
    shell("measure theory.tif --report before.json")
    result = shell(
        "measure psf.tif --theory theory.tif --earlier before.json --note microscope=Wide "
        "--report after.html -r after.pdf -r after.json -r after.csv -r after.png"
    )
    assert "FWHM z is 49% above theory: spherical aberration or wrong index?" in result.stdout
    assert f"FWHM z has grown by 49% since {date.today()}." in result.stdout
    assert [line for line in result.stdout.splitlines() if line.startswith("Wrote")] == [
        f"Wrote after.{suffix}." for suffix in ("html", "pdf", "json", "csv", "png")
    ]
    report = json.loads(Path("after.json").read_text())
    assert report["notes"] == {"microscope": "Wide"}
    assert report["theory"]["ratio"]["fwhm"][0] == pytest.approx(0.9021 / 0.6038, abs=2e-3)
    printed = json.loads(shell("measure psf.tif --json").stdout)
    assert printed["file"] == "psf.tif"
    assert printed["fwhm"] == report["fwhm"]


def test_the_date_of_a_recording_is_printed(shell):
    values = np.pad(np.full((5, 5, 5), 9, np.uint8), 8)
    tifffile.imwrite(
        "psf.ome.tif", values,
        metadata={"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.1,
                  "AcquisitionDate": "2026-11-01T09:30:00"},
    )  # fmt: skip
    assert read_image("psf.ome.tif").acquired == "2026-11-01T09:30:00"
    notes = json.loads(shell("measure psf.ome.tif --json").stdout)["notes"]
    assert notes == {"recorded": "2026-11-01T09:30:00"}
    result = shell("measure psf.ome.tif --note recorded=today --json")
    assert json.loads(result.stdout)["notes"] == {"recorded": "today"}


def test_measure_against_optics(shell):
    optics = {"na": 1.2, "wavelength": 0.52, "n_immersion": 1.33}
    psf = make_psf("vectorial", shape=(9, 65, 65), spacing=(0.2, 0.08, 0.08), **optics)
    psf.save("psf.tif")
    result = shell("measure psf.tif --theory na=1.2,wavelength=0.52,immersion=1.33 --json")
    report = json.loads(result.stdout)
    assert report["theory"]["ratio"]["fwhm"] == pytest.approx([1, 1, 1], abs=1e-5)
    assert report["findings"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--theory missing.tif", "no file missing.tif"),
        ("--theory na=1.2,0.5", "--theory '0.5' is not understood: expected NAME=VALUE"),
        ("--theory na=high,wavelength=0.5", "--na 'high'"),
        ("--earlier missing.json", "no file missing.json"),
        ("--note microscope", "--note 'microscope' is not understood"),
        ("--report report.doc", "does not end in .html or .pdf or .png or .csv or .json"),
        ("--report nowhere/report.html", "no folder nowhere"),
    ],
)
def test_bad_comparisons_write_nothing(shell, options, message):
    shell("psf gaussian --fwhm 0.6,0.3,0.3 --shape 21,21,21 -s 0.1 -o psf.tif")
    assert message in shell(f"measure psf.tif -r good.html {options}", code=2).stderr
    assert [path.name for path in Path().iterdir()] == ["psf.tif"]


def test_distill_reports_about_beads(shell, bead_file):
    path, _ = bead_file
    shell(
        f"distill {path} --bead-diameter 0.1 -n 10 -e cpu -o psf.tif --report report.json "
        "--report report.html --theory na=1.4,wavelength=0.52 --note objective=100x"
    )
    report = json.loads(Path("report.json").read_text())
    psf, beads = Psf.load("psf.tif"), report["beads"]
    assert report["fwhm"] == napari_deconv.measure_psf(psf).to_dict()["fwhm"]
    assert beads["counts"]["accepted"] == psf.metadata["beads"]["accepted"]
    assert 0.8 < beads["residual_rms"] < 2
    assert report["theory"]["metadata"]["na"] == 1.4
    assert Path("report.html").read_text().startswith("<!DOCTYPE html>")


def test_a_bad_report_is_refused_before_the_work(shell, bead_file):
    path, _ = bead_file
    for option in ("--earlier missing.json", "--note text", "--theory missing.tif", "-r psf.tif"):
        shell(f"distill {path} -o psf.tif -r good.html {option}", code=2)
    assert list(Path().iterdir()) == []
