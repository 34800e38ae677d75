"""Bad input from the shell: one line, exit code 2, nothing written."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import tifffile
from shell_cases import SPACING

from napari_deconv.files import write_image


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("deconvolve", "Missing argument"),
        ("bogus", "No such command"),
        ("deconvolve image.tif psf.tif --stop none", "Missing option"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif --bogus", "No such option"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -m magic", "'magic' is not one of"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -n 0", "iterations"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -n many", "not a valid integer"),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif --levels 1.5",
            "neither auto nor a whole number",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif --weight much",
            "neither auto nor a number",
        ),
        ("deconvolve image.tif psf.tif -o out.tif --stop late", "'late' is not one of"),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif --history image.tif",
            "does not end in .csv",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif --history none/h.csv",
            "There is no folder none",
        ),
        ("deconvolve image.tif psf.tif -o out.tif -m wiener --history h.csv", "takes one step"),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif --depths 0,1",
            "a file of several PSFs",
        ),
        ("deconvolve image.tif psf.tif --stop none -o out.tif --psf-output p.tif", "finds none"),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif -m blind --psf-output psf.tif",
            "is the input",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -o p.tif -m blind --psf-output p.tif",
            "another output",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -o out.tif -b some",
            "neither auto, a number, nor a file",
        ),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -e opencl:abacus", "abacus"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -s 0.2,0.1", "expected 3 numbers"),
        ("deconvolve image.tif psf.tif --stop none -o out.tif -s z,y,x", "not numbers"),
        ("deconvolve missing.tif psf.tif --stop none -o out.tif", "There is no file missing.tif"),
        ("deconvolve image.tif missing.tif -o out.tif", "There is no file missing.tif"),
        ("deconvolve image.tif psf.tif --stop none -o none/out.tif", "There is no folder none"),
        ("deconvolve image.tif psf.tif --stop none -o out.png", "does not end in .tif"),
        ("deconvolve image.tif psf.tif --stop none -o image.tif", "image.tif is the input"),
        ("deconvolve image.tif psf.tif --stop none -o psf.tif", "psf.tif is the input"),
        (
            "deconvolve image.tif psf.tif --stop none --mask plane.tif -o plane.tif",
            "plane.tif is the input",
        ),
        (
            "deconvolve image.tif psf.tif --stop none --initial plane.tif -o plane.tif",
            "plane.tif is the input",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -b plane.tif -o plane.tif",
            "plane.tif is the input",
        ),
        (
            "deconvolve image.tif psf.tif --stop none -b plane.tif -o ./link.tif",
            "link.tif is the input",
        ),
        ("deconvolve image.tif plane.tif -o out.tif", "both have to be stacks"),
        ("background image.tif -m top_hat --radius -1 -o out.tif", "radius"),
        ("beads image.tif -o beads.txt", "does not end in .csv"),
        ("measure text.tif", "cannot be read as a TIFF"),
        ("psf gaussian --shape 5,5,5 -s 0.1 -o out.tif", "fwhm"),
        ("psf gibson_lanni --na 2 --wavelength 0.5 --shape 5,5,5 -s 0.1 -o out.tif", "na"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(shell, image, tmp_path, command, message):
    write_image("plane.tif", image[0], SPACING[1:])
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "link.tif").hardlink_to(tmp_path / "plane.tif")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    result = shell(command, code=2)
    (line,) = result.stderr.splitlines()
    assert message in line
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "command",
    [
        "deconvolve bare.tif psf.tif --stop none -o out.tif",
        "background bare.tif -m rolling_ball -o out.tif",
        "beads bare.tif -o out.csv",
        "distill bare.tif -o out.tif",
        "measure bare.tif",
    ],
)
def test_a_voxel_size_is_never_guessed(shell, image, command):
    tifffile.imwrite("bare.tif", image)
    result = shell(command, code=2)
    assert "bare.tif has no voxel size: give it with --spacing z,y,x in µm" in result.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("background image.tif -m constant -o out.tif", "--value"),
        ("background image.tif -m percentile --percentile 101 -o out.tif", "--percentile 101"),
        ("beads ramp.tif -o out.csv", "--fwhm"),
        ("distill ramp.tif -o out.tif", "--fwhm"),
        ("distill image.tif -d -1 -o out.tif", "--bead-diameter -1"),
        ("deconvolve image.tif psf.tif --stop none -n 0 -o out.tif", "--iterations 0"),
        ("deconvolve image.tif psf.tif --stop none --levels 0 -o out.tif", "--levels 0"),
        ("deconvolve image.tif psf.tif --stop none --damping -1 -o out.tif", "--damping -1"),
        ("deconvolve image.tif psf.tif --stop none --gain 0 -o out.tif", "--gain 0"),
        ("deconvolve image.tif psf.tif --stop none --read-noise -2 -o out.tif", "--read-noise -2"),
        ("deconvolve image.tif psf.tif -m wiener --read-noise 2 -o out.tif", "no --read-noise"),
        (
            "deconvolve image.tif psf.tif --stop none --symmetric-psf -o out.tif",
            "no --symmetric-psf",
        ),
        (
            "deconvolve image.tif psf.tif --stop none --weight auto -o out.tif",
            "--weight has no effect",
        ),
        (
            "deconvolve image.tif psf.tif --stop none --regularization tv --weight -1 -o out.tif",
            "--weight -1",
        ),
        ("deconvolve image.tif psf.tif --stop none -e opencl:abacus -o out.tif", "--engine"),
        ("psf gaussian --shape 5,5,5 -s 0.1 -o out.tif", "--fwhm (not given)"),
        ("psf gaussian --fwhm 1 --immersion 1 --shape 5,5,5 -s 0.1 -o out.tif", "no --immersion"),
        ("psf born_wolf --na 1.4 --shape 5,5,5 -s 0.1 -o out.tif", "--wavelength 0.52"),
        (
            "psf born_wolf --na 1.4 --immersion 1.33 --wavelength 0.5 --shape 5,5,5 -s 0.1 "
            "-o out.tif",
            "--na 1.4 is not below --immersion 1.33",
        ),
        (
            "psf born_wolf --na 1 --wavelength 0.5 --zernike 300=1 --shape 5,5 -s 0.1 -o out.tif",
            "--zernike {300: 1.0}",
        ),
    ],
)
def test_messages_speak_of_options(shell, image, command, option):
    write_image("ramp.tif", np.indices((9, 20, 20), np.uint8).sum(axis=0, dtype=np.uint8), SPACING)
    line = shell(command, code=2).stderr
    assert option in line
    assert not re.search(r"\w=|\bn_|None", line)


def test_names_of_files_and_quotations_are_no_options(shell):
    assert "There is no file n_sample.tif." in shell("measure n_sample.tif", code=2).stderr
    line = shell("psf formula --formula na=1 --shape 5,5 -s 0.1 -o out.tif", code=2).stderr
    assert "“na=1”" in line


def test_a_locked_folder_is_found_before_the_work(shell, image, tmp_path, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode)
    )
    (tmp_path / "locked").mkdir()
    for work in (
        "deconvolution.run_deconvolution",
        "background.subtract_background",
        "beads.detect_beads",
    ):
        monkeypatch.delattr(f"napari_deconv.cli.{work}")
    for command in (
        "deconvolve image.tif psf.tif --stop none",
        "background image.tif",
        "distill image.tif",
    ):
        line = shell(f"{command} -o locked/out.tif", code=2).stderr
        assert "you may not write in the folder" in line
