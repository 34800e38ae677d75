"""The command line, as users meet it: what it writes, says, and returns."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import napari_deconv
from napari_deconv.cli import main
from napari_deconv.files import read_image, write_image
from napari_deconv.psf import Psf, make_psf

SPACING = (0.2, 0.08, 0.08)
COMMANDS = ("background", "beads", "distill", "psf", "deconvolve", "measure", "devices", "demo")


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


# -- help ----------------------------------------------------------------------------------------


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


# -- commands ------------------------------------------------------------------------------------


def test_background_is_the_function(shell, image):
    result = shell("background image.tif -m percentile --percentile 5 -e cpu -o out.tif")
    written = read_image("out.tif")
    expected = napari_deconv.subtract_background(image, "percentile", percentile=5, engine="cpu")
    np.testing.assert_array_equal(written.data, expected)
    assert written.spacing == SPACING
    assert written.metadata["operation"] == "subtract_background"
    assert written.metadata["parameters"]["percentile"] == 5
    assert written.metadata["input"] == "image.tif"
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


def test_deconvolve_is_the_function(shell, image):
    shell("deconvolve image.tif psf.tif -n 8 -b 10 --regularization tv -e cpu -o out.ome.tif")
    written = read_image("out.ome.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=8, background=10, regularization="tv",
        spacing=SPACING, engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(written.data, result.image)
    assert written.metadata == result.recipe | {"input": "image.tif", "psf": "psf.tif"}


@pytest.mark.parametrize("method", ["wiener", "inverse"])
def test_direct_methods(shell, image, method):
    shell(f"deconvolve image.tif psf.tif -m {method} --weight 0.05 -e cpu -o out.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), method=method, regularization_weight=0.05, engine="cpu"
    )
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)


def test_deconvolve_options_about_files(shell, image, tmp_path):
    """Mask, start and background from files."""
    mask = np.ones(image.shape, np.uint8)
    mask[:, :4] = 0
    write_image("mask.tif", mask)
    write_image("start.tif", np.full(image.shape, 7, np.float32))
    write_image("level.tif", np.full(image.shape, 9, np.float32))
    shell(
        "deconvolve image.tif psf.tif -n 3 --mask mask.tif --initial start.tif -b level.tif "
        "--acceleration none --no-centre-psf -e cpu -o out.tif"
    )
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=3, mask=mask != 0, initial=np.full(image.shape, 7),
        background=np.full(image.shape, 9), acceleration=None, centre_psf=False, spacing=SPACING,
        engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)


def test_channels_are_kept_or_chosen(shell, image):
    stack = np.stack([image, image[:, ::-1]])
    write_image("two.tif", stack, SPACING, channels=["red", "green"])
    shell("deconvolve two.tif psf.tif -n 2 -e cpu -o all.tif")
    both = read_image("all.tif")
    assert (both.axes, both.channels, both.spacing) == ("CZYX", ("red", "green"), SPACING)
    shell("deconvolve two.tif psf.tif -n 2 -c 1 -e cpu -o one.tif")
    one = read_image("one.tif")
    assert (one.axes, one.channels) == ("ZYX", ("green",))
    np.testing.assert_allclose(one.data, both.data[1], rtol=1e-5, atol=1e-3)
    shell("deconvolve two.tif psf.tif -c 2 -o none.tif", code=2)
    shell("deconvolve image.tif psf.tif -c 1 -o none.tif", code=2)


def test_a_channel_is_taken_of_all_files(shell, image):
    """Mask, start and background with channels, and without: those are for any channel."""
    mask = np.ones(image.shape, np.uint8)
    mask[:, :4] = 0
    beside = {"mask": mask, "start": np.full(image.shape, 7.0), "level": np.full(image.shape, 9.0)}
    names = ["red", "green"]
    write_image("two.tif", np.stack([image[:, ::-1], image]), SPACING, channels=names)
    for name, array in beside.items():
        write_image(f"{name}.tif", array)
        write_image(f"{name}_two.tif", np.stack([array[:, ::-1] + 1, array]), channels=names)
    command = "deconvolve two.tif psf.tif -n 3 -c 1 -e cpu"
    shell(f"{command} --mask mask_two.tif --initial start_two.tif -b level_two.tif -o channels.tif")
    shell(f"{command} --mask mask.tif --initial start.tif -b level.tif -o plain.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=3, mask=mask != 0, initial=beside["start"],
        background=beside["level"], spacing=SPACING, engine="cpu",
    )  # fmt: skip
    for name in ("channels.tif", "plain.tif"):
        np.testing.assert_array_equal(read_image(name).data, result.image)


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
    assert psf.metadata == expected.metadata


def test_measure_prints_what_was_measured(shell):
    shell("psf gaussian --fwhm 0.6,0.3,0.3 --shape 21,21,21 -s 0.1 -o psf.tif")
    text = shell("measure psf.tif").stdout
    report = json.loads(shell("measure psf.tif --json").stdout)
    # the voxel integrates: σ² grows by Δ²/12
    assert report["fwhm"] == pytest.approx([0.6038, 0.3076, 0.3076], abs=5e-4)
    assert report["centre"] == pytest.approx([10, 10, 10], abs=1e-3)
    assert report["spacing"] == [0.1, 0.1, 0.1]
    assert f"{report['fwhm'][0]:.3f}" in text
    assert text.split()[:3] == ["z", "y", "x"]


def test_devices_marks_what_auto_takes(shell):
    table = json.loads(shell("devices --json").stdout)
    auto = napari_deconv.get_engine("auto").device
    assert [row["engine"] for row in table if row["auto"]] == [auto.key]
    assert [row["engine"] for row in table] == [d.key for d in napari_deconv.list_devices()]
    lines = shell("devices").stdout.splitlines()
    assert [line for line in lines if "← auto" in line] == [
        line for line in lines if line.startswith(auto.key)
    ]


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("deconvolve", "Missing argument"),
        ("bogus", "No such command"),
        ("deconvolve image.tif psf.tif", "Missing option"),
        ("deconvolve image.tif psf.tif -o out.tif --bogus", "No such option"),
        ("deconvolve image.tif psf.tif -o out.tif -m magic", "'magic' is not one of"),
        ("deconvolve image.tif psf.tif -o out.tif -n 0", "iterations"),
        ("deconvolve image.tif psf.tif -o out.tif -n many", "not a valid integer"),
        ("deconvolve image.tif psf.tif -o out.tif -b some", "neither auto, a number, nor a file"),
        ("deconvolve image.tif psf.tif -o out.tif -e opencl:abacus", "abacus"),
        ("deconvolve image.tif psf.tif -o out.tif -s 0.2,0.1", "expected 3 numbers"),
        ("deconvolve image.tif psf.tif -o out.tif -s z,y,x", "not numbers"),
        ("deconvolve missing.tif psf.tif -o out.tif", "There is no file missing.tif"),
        ("deconvolve image.tif missing.tif -o out.tif", "There is no file missing.tif"),
        ("deconvolve image.tif psf.tif -o none/out.tif", "There is no folder none"),
        ("deconvolve image.tif psf.tif -o out.png", "does not end in .tif"),
        ("deconvolve image.tif psf.tif -o image.tif", "image.tif is the input"),
        ("deconvolve image.tif psf.tif -o psf.tif", "psf.tif is the input"),
        ("deconvolve image.tif psf.tif --mask plane.tif -o plane.tif", "plane.tif is the input"),
        ("deconvolve image.tif psf.tif --initial plane.tif -o plane.tif", "plane.tif is the input"),
        ("deconvolve image.tif psf.tif -b plane.tif -o plane.tif", "plane.tif is the input"),
        ("deconvolve image.tif psf.tif -b plane.tif -o ./link.tif", "link.tif is the input"),
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
        "deconvolve bare.tif psf.tif -o out.tif",
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


def test_a_given_voxel_size_is_taken(shell, image):
    tifffile.imwrite("bare.tif", image)
    tifffile.imwrite("bare_psf.tif", Psf.load("psf.tif").data)
    message = shell("deconvolve bare.tif bare_psf.tif -s 0.2,0.08,0.08 -o out.tif", code=2).stderr
    assert "bare_psf.tif has no voxel size: give it with --psf-spacing" in message
    shell(
        "deconvolve bare.tif bare_psf.tif -n 2 -s 0.2,0.08,0.08 --psf-spacing 0.2,0.08,0.08 "
        "-e cpu -o out.tif"
    )
    assert read_image("out.tif").spacing == SPACING


def test_no_voxel_size_is_needed_where_none_is_used(shell, image):
    tifffile.imwrite("bare.tif", image)
    shell("background bare.tif -e cpu -o out.tif")
    assert read_image("out.tif").spacing is None


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("background image.tif -m constant -o out.tif", "--value"),
        ("background image.tif -m percentile --percentile 101 -o out.tif", "--percentile 101"),
        ("beads ramp.tif -o out.csv", "--fwhm"),
        ("distill ramp.tif -o out.tif", "--fwhm"),
        ("distill image.tif -d -1 -o out.tif", "--bead-diameter -1"),
        ("deconvolve image.tif psf.tif -n 0 -o out.tif", "--iterations 0"),
        ("deconvolve image.tif psf.tif --regularization tv --weight -1 -o out.tif", "--weight -1"),
        ("deconvolve image.tif psf.tif -e opencl:abacus -o out.tif", "--engine"),
        ("psf gaussian --shape 5,5,5 -s 0.1 -o out.tif", "--fwhm (not given)"),
        ("psf gaussian --fwhm 1 --immersion 1 --shape 5,5,5 -s 0.1 -o out.tif", "no --immersion"),
        ("psf born_wolf --na 1.4 --shape 5,5,5 -s 0.1 -o out.tif", "--wavelength 0.52"),
        (
            "psf born_wolf --na 1.4 --immersion 1.33 --wavelength 0.5 --shape 5,5,5 -s 0.1 "
            "-o out.tif",
            "--na 1.4 is not below --immersion 1.33",
        ),
    ],
)
def test_messages_speak_of_options(shell, image, command, option):
    write_image("ramp.tif", np.indices((9, 20, 20), np.uint8).sum(axis=0, dtype=np.uint8), SPACING)
    line = shell(command, code=2).stderr
    assert option in line
    assert not re.search(r"\w=|\bn_|None", line)


def test_warnings_speak_of_options(shell, image):
    psf = Psf.load("psf.tif")
    Psf(np.roll(psf.data, 2, axis=2), psf.spacing).save("aside.tif")
    line = shell("deconvolve image.tif aside.tif -n 1 -e cpu -o out.tif").stderr
    assert "Pass --no-centre-psf to keep it" in line


def test_a_locked_folder_is_found_before_the_work(shell, image, tmp_path, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode)
    )
    (tmp_path / "locked").mkdir()
    for work in ("images.run_deconvolution", "images.subtract_background", "points.detect_beads"):
        monkeypatch.delattr(f"napari_deconv.cli.{work}")
    for command in ("deconvolve image.tif psf.tif", "background image.tif", "distill image.tif"):
        line = shell(f"{command} -o locked/out.tif", code=2).stderr
        assert "you may not write in the folder" in line


# -- talking -------------------------------------------------------------------------------------


def test_warnings_are_one_line(shell, image):
    make_psf("gaussian", shape=(9, 15, 15), spacing=0.1, fwhm=0.4).save("other.tif")
    result = shell("deconvolve image.tif other.tif -n 1 -e cpu -o out.tif")
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "resampled" in line


def test_quiet_and_verbose(shell, image):
    command = "deconvolve image.tif psf.tif -n 1 -b 10 -e cpu -o out.tif"
    assert "Wrote out.tif" in shell(command).stdout
    assert shell(f"{command} -q").output == ""
    verbose = shell(f"{command} -v")
    assert "voxel size 0.2 × 0.08 × 0.08 µm" in verbose.stderr
    failed = CliRunner().invoke(main, ["measure", "none.tif", "-v"])
    assert failed.exit_code == 2
    assert "Traceback" in failed.stderr


def test_out_of_memory_is_said(shell, image, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError("Unable to allocate 5.00 TiB")

    monkeypatch.setattr("napari_deconv.cli.images.run_deconvolution", fail)
    assert "Out of memory" in shell("deconvolve image.tif psf.tif -o out.tif", code=2).stderr


# -- real processes ------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "napari_deconv.cli"]


def test_a_real_process(image, tmp_path):
    """As installed: exit codes, streams, no progress bar where stderr is no terminal."""
    done = subprocess.run(
        [*COMMAND, "deconvolve", "image.tif", "psf.tif", "-n", "3", "-o", "out.tif"],
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
        [*COMMAND, "deconvolve", "image.tif", "psf.tif", "-n", "30", "-o", "out.tif"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(master, 4096):
            shown += part
    os.close(master)
    assert process.wait(120) == 0
    assert b"/30" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another there")
def test_ctrl_c_leaves_nothing_behind(image, tmp_path):
    before = set(tmp_path.iterdir())
    process = subprocess.Popen(
        [*COMMAND, "deconvolve", "image.tif", "psf.tif", "-n", "1000000", "-v", "-o", "out.tif"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stderr.readline()  # the image has been read
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "error: interrupted, nothing was written"
    assert set(tmp_path.iterdir()) == before


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
