"""The command deconvolve."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from shell_cases import SPACING

import napari_deconv
from napari_deconv.files import read_image, write_image
from napari_deconv.psf import Psf, make_psf


def test_deconvolve_is_the_function(shell, image):
    shell(
        "deconvolve image.tif psf.tif --stop none "
        "-n 8 -b 10 --regularization tv -e cpu -o out.ome.tif"
    )
    written = read_image("out.ome.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=8, background=10, regularization="tv",
        levels="auto", spacing=SPACING, engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(written.data, result.image)
    origins = {name: {"path": str(Path(f"{name}.tif").resolve())} for name in ("image", "psf")}
    done = dict(written.metadata)
    assert done.pop("made")["stop_reason"] == result.stop_reason
    assert done == result.recipe | {"inputs": origins}


@pytest.mark.parametrize("method", ["wiener", "inverse"])
def test_direct_methods(shell, image, method):
    shell(f"deconvolve image.tif psf.tif -m {method} --weight 0.05 -e cpu -o out.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), method=method, regularization_weight=0.05, engine="cpu"
    )
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("-m fista --weight 0.01", {"method": "fista", "regularization_weight": 0.01}),
        (
            "--levels 1 --acceleration wiener_butterworth --read-noise 2 --gain 1.5 --offset 3 "
            "--stop none",
            {"acceleration": "wiener_butterworth", "read_noise": 2, "gain": 1.5, "offset": 3},
        ),
        (
            "--levels 2 --regularization tv --weight auto --damping 2 --gain 1 --stop discrepancy",
            {"levels": 2, "regularization": "tv", "regularization_weight": "auto", "damping": 2,
             "gain": 1, "stop": "discrepancy"},
        ),
    ],
)  # fmt: skip
def test_deconvolve_options(shell, image, command, options):
    shell(f"deconvolve image.tif psf.tif -n 7 {command} -e cpu -o out.tif")
    given = {"levels": "auto" if "--levels" not in command else 1} | options
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=7, spacing=SPACING, engine="cpu", **given
    )
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)


def test_the_history_is_a_table(shell, image):
    shell(
        "deconvolve image.tif psf.tif --stop none "
        "-n 12 --gain 1 -e cpu -o out.tif --history fit.csv"
    )
    history = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=12, gain=1, levels="auto", engine="cpu"
    ).history
    with Path("fit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(history)
    assert [int(row["iteration"]) for row in rows] == [0, 5, 10]
    for name in history.keys() - {"seconds"}:
        np.testing.assert_array_equal([float(row[name]) for row in rows], history[name])


def test_the_history_of_channels_numbers_them(shell, image):
    write_image("two.tif", np.stack([image, np.zeros_like(image)]), SPACING)
    shell(
        "deconvolve two.tif psf.tif -n 20 --stop quality --acceleration biggs -e cpu -o out.tif "
        "--history fit.csv"
    )
    with Path("fit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    history = napari_deconv.deconvolve(
        np.stack([image, np.zeros_like(image)]), Psf.load("psf.tif"), iterations=20,
        stop="quality", acceleration="biggs", levels="auto", engine="cpu",
    ).history  # fmt: skip
    lengths = (history["iteration"] >= 0).sum(axis=1)
    assert [row["c"] for row in rows] == ["0"] * lengths[0] + ["1"] * lengths[1]
    assert lengths[0] > lengths[1]


def test_why_it_stopped_and_what_was_found(shell, image):
    result = shell(
        "deconvolve image.tif psf.tif -n 60 --stop quality --gain 1.25 -v -e cpu -o out.tif"
    )
    assert re.match(r"Stopped after \d+ iterations: .* \(quality\), \d", result.stdout)
    assert "Gain 1.25 grey values a photon" in result.stderr
    assert re.search(r"Memory needed: 0\.0\d+ GiB", result.stderr)
    result = shell("deconvolve image.tif psf.tif -m wiener --weight auto -v -e cpu -o out.tif")
    weights = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), method="wiener", regularization_weight="auto", engine="cpu"
    ).weights
    for rule, weight in weights.items():
        assert f"{rule} {weight:.3g}" in result.stderr


def test_the_psf_that_blind_finds_is_written(shell, image):
    command = "deconvolve image.tif psf.tif --stop none -m blind --symmetric-psf -n 5 -e cpu"
    shell(f"{command} -o out.tif --psf-output found.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), method="blind", symmetric_psf=True, iterations=5, engine="cpu"
    )
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)
    np.testing.assert_allclose(Psf.load("found.tif").data, result.psf.data, rtol=1e-6)
    assert Psf.load("found.tif").spacing == SPACING


def test_psfs_of_several_depths(shell, image):
    psf = Psf.load("psf.tif")
    wider = make_psf("gaussian", shape=psf.shape, spacing=SPACING, fwhm=(0.7, 0.35, 0.35))
    write_image("psfs.tif", np.stack([psf.data, wider.data]), SPACING)
    shell("deconvolve image.tif psfs.tif -n 3 --depths 0,1.5 -e cpu -o out.tif")
    result = napari_deconv.deconvolve(
        image, [psf, wider], depths=(0, 1.5), iterations=3, levels="auto", spacing=SPACING,
        engine="cpu",
    )  # fmt: skip
    np.testing.assert_array_equal(read_image("out.tif").data, result.image)
    message = shell("deconvolve image.tif psfs.tif -o out.tif", code=2).stderr
    assert "such a file needs --depths" in message


def test_deconvolve_options_about_files(shell, image, tmp_path):
    """Mask, start and background from files."""
    mask = np.ones(image.shape, np.uint8)
    mask[:, :4] = 0
    write_image("mask.tif", mask)
    write_image("start.tif", np.full(image.shape, 7, np.float32))
    write_image("level.tif", np.full(image.shape, 9, np.float32))
    shell(
        "deconvolve image.tif psf.tif --stop none "
        "-n 3 --mask mask.tif --initial start.tif -b level.tif "
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
    shell("deconvolve two.tif psf.tif --stop none -n 2 -e cpu -o all.tif")
    both = read_image("all.tif")
    assert (both.axes, both.channels, both.spacing) == ("CZYX", ("red", "green"), SPACING)
    shell("deconvolve two.tif psf.tif --stop none -n 2 -c 1 -e cpu -o one.tif")
    one = read_image("one.tif")
    assert (one.axes, one.channels) == ("ZYX", ("green",))
    np.testing.assert_allclose(one.data, both.data[1], rtol=1e-5, atol=1e-3)
    shell("deconvolve two.tif psf.tif --stop none -c 2 -o none.tif", code=2)
    shell("deconvolve image.tif psf.tif --stop none -c 1 -o none.tif", code=2)


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
    command = "deconvolve two.tif psf.tif --stop none -n 3 -c 1 -e cpu"
    shell(f"{command} --mask mask_two.tif --initial start_two.tif -b level_two.tif -o channels.tif")
    shell(f"{command} --mask mask.tif --initial start.tif -b level.tif -o plain.tif")
    result = napari_deconv.deconvolve(
        image, Psf.load("psf.tif"), iterations=3, levels="auto", mask=mask != 0,
        initial=beside["start"], background=beside["level"], spacing=SPACING, engine="cpu",
    )  # fmt: skip
    for name in ("channels.tif", "plain.tif"):
        np.testing.assert_array_equal(read_image(name).data, result.image)


def test_a_given_voxel_size_is_taken(shell, image):
    tifffile.imwrite("bare.tif", image)
    tifffile.imwrite("bare_psf.tif", Psf.load("psf.tif").data)
    message = shell(
        "deconvolve bare.tif bare_psf.tif --stop none -s 0.2,0.08,0.08 -o out.tif", code=2
    ).stderr
    assert "bare_psf.tif has no voxel size: give it with --psf-spacing" in message
    shell(
        "deconvolve bare.tif bare_psf.tif --stop none "
        "-n 2 -s 0.2,0.08,0.08 --psf-spacing 0.2,0.08,0.08 "
        "-e cpu -o out.tif"
    )
    assert read_image("out.tif").spacing == SPACING


def test_warnings_speak_of_options(shell, image):
    psf = Psf.load("psf.tif")
    Psf(np.roll(psf.data, 2, axis=2), psf.spacing).save("aside.tif")
    line = shell("deconvolve image.tif aside.tif -n 1 -e cpu -o out.tif").stderr
    assert "Pass --no-centre-psf to keep it" in line


def test_warnings_are_one_line(shell, image):
    make_psf("gaussian", shape=(9, 15, 15), spacing=0.1, fwhm=0.4).save("other.tif")
    result = shell("deconvolve image.tif other.tif -n 1 --stop none -e cpu -o out.tif")
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "resampled" in line


def test_out_of_memory_is_said(shell, image, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError("Unable to allocate 5.00 TiB")

    monkeypatch.setattr("napari_deconv.cli.deconvolution.run_deconvolution", fail)
    assert (
        "Out of memory"
        in shell("deconvolve image.tif psf.tif --stop none -o out.tif", code=2).stderr
    )
