"""The command run, and what the other commands write down of what they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shell_cases import SPACING

import napari_deconv
from napari_deconv import Psf, Recipe, load_psf, write_image
from napari_deconv.files import provenance_of, read_image

RECIPE = """napari-deconv: 1
input: {path: image.tif}
psf: {file: psf.tif}
deconvolution: {method: richardson_lucy, iterations: 6}
engine: cpu
"""


def again(file):
    """Do what the record in a file says."""
    return Recipe.of(provenance_of(file)).run()


def test_run_is_the_function_and_keeps_the_record(shell, image):
    Path("recipe.yaml").write_text(RECIPE)
    assert "Wrote recipe.ome.tif" in shell("run recipe.yaml").stdout
    result = napari_deconv.deconvolve(
        image, load_psf("psf.tif")[0], iterations=6, spacing=SPACING, engine="cpu"
    )
    written = read_image("recipe.ome.tif")
    np.testing.assert_array_equal(written.data, result.image)
    assert written.spacing == SPACING
    assert written.metadata["inputs"]["image"] == {"path": str(Path("image.tif").resolve())}
    assert written.metadata["made"]["stop_reason"] == result.stop_reason
    np.testing.assert_array_equal(again("recipe.ome.tif"), result.image)


def test_input_output_and_engine_of_the_command_go_first(shell, image):
    text = RECIPE + "output: {path: there.ome.tif, dtype: uint16}\n"
    Path("recipe.yaml").write_text(text.replace("iterations: 6", "method: tikhonov").replace(
        "method: richardson_lucy, ", ""))  # fmt: skip
    other = np.stack([image, image[:, ::-1]])
    write_image("other.ome.tif", other, SPACING, channels=["DAPI", "GFP"])
    shell("run recipe.yaml other.ome.tif -o here.ome.zarr -e opencl -q")
    assert not Path("there.ome.tif").exists()
    result = napari_deconv.deconvolve(
        other, load_psf("psf.tif")[0], method="tikhonov", spacing=SPACING, engine="opencl"
    )
    written = read_image("here.ome.zarr")
    np.testing.assert_array_equal(written.data, np.rint(result.image).clip(0))
    assert (written.data.dtype, written.axes) == (np.uint16, "CZYX")
    assert written.channels == ("DAPI", "GFP")
    assert written.metadata["engine"].startswith("opencl")


def test_dry_run_prints_the_calls_and_does_nothing(shell, image):
    Path("recipe.yaml").write_text(RECIPE)
    before = {path.name for path in Path().iterdir()}
    printed = shell("run recipe.yaml --dry-run -o out.ome.tif").stdout
    assert printed.endswith("# to be written to out.ome.tif\n")
    names: dict[str, object] = {}
    exec(printed, names)
    assert {path.name for path in Path().iterdir()} == before
    shell("run recipe.yaml -o out.ome.tif")
    np.testing.assert_array_equal(read_image("out.ome.tif").data, names["result"])


@pytest.mark.filterwarnings("ignore::napari_deconv.DeconvWarning")
def test_psfs_and_beads(shell, bead_file):
    path, _ = bead_file
    Path("beads.yaml").write_text(
        f"napari-deconv: 1\ninput: {path}\nbeads: {{bead_diameter: 0.1}}\nengine: cpu"
    )
    assert "accepted" in shell("run beads.yaml").stdout
    shell(f"beads {path} -d 0.1 -e cpu -o shell.csv")
    assert Path("beads.csv").read_text() == Path("shell.csv").read_text()

    shell(f"distill {path} -d 0.1 --keep neighbour -n 5 --shape 11,21,21 -e cpu -o shell.tif")
    made = again("shell.tif")
    np.testing.assert_array_equal(made, Psf.load("shell.tif"))
    Recipe.of(made.metadata).save("psf.yaml")
    shell("run psf.yaml -o again.ome.tif")
    np.testing.assert_array_equal(Psf.load("again.ome.tif"), made)
    assert provenance_of("again.ome.tif")["role"] == "psf"


@pytest.mark.parametrize(
    "command",
    [
        "background image.tif -m percentile --percentile 5 -e cpu -o out.tif",
        "background image.tif -m top_hat --radius 0.6 -e cpu -o out.tif",
        "background image.tif -e opencl -o out.tif",
        "deconvolve image.tif psf.tif -n 5 --stop none -e cpu -o out.tif",
        "deconvolve image.tif psf.tif -m fista -n 4 --stop quality -e opencl -o out.tif",
        "deconvolve both.tif psf.tif -c 1 -n 4 --stop none -b 10 -e cpu -o out.tif",
        "deconvolve image.tif psf.tif --mask mask.tif -n 4 --stop none -e cpu -o out.tif",
        "deconvolve image.tif wide.tif --psf-spacing 0.4,0.16,0.16 -n 3 --stop none -o out.tif",
        "deconvolve image.tif psf.tif --initial mask.tif -n 3 --stop none -e cpu -o out.tif",
        "psf vectorial --na 1.2 --wavelength 0.52 -s 0.2,0.08,0.08 --shape 11,49,49 -o out.tif",
        "psf formula --formula 2**(-(x**2+y**2)/(a/2)**2) --param a=0.25 -s 0.05 --shape 31,31 "
        "-o out.tif",
    ],
)
@pytest.mark.filterwarnings("ignore:The PSF")
@pytest.mark.usefixtures("image")
def test_what_the_shell_did_can_be_done_again(shell, image, command):
    write_image("both.tif", np.stack([image[::-1], image]), SPACING)
    write_image("mask.tif", (image < 60).astype(np.uint8), SPACING)
    write_image("wide.tif", Psf.load("psf.tif").data)
    shell(command)
    expected = read_image("out.tif").data
    np.testing.assert_array_equal(again("out.tif"), expected)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run missing.yaml", "missing.yaml cannot be read"),
        ("run recipe.yaml -o image.tif", "image.tif is the input"),
        ("run recipe.yaml -o out.png", "does not end in .tif or .tiff or .zarr"),
        ("run recipe.yaml nothing.tif", "There is no file nothing.tif"),
        ("run wrong.yaml", "wrong.yaml, line 4: deconvolution.iteration is not known"),
        ("run bare.yaml", "names no image: give the file to work on"),
        ("run recipe.yaml -e cuda", "engine='cuda' is not known"),
        ("run nanometres.yaml", "wavelength=520 looks like nanometres: expected µm, wavelength="),
    ],
)
@pytest.mark.usefixtures("image")
def test_errors_are_one_line(shell, command, message):
    Path("recipe.yaml").write_text(RECIPE)
    Path("wrong.yaml").write_text(RECIPE.replace("iterations", "iteration"))
    Path("bare.yaml").write_text(RECIPE.replace("input: {path: image.tif}\n", ""))
    optics = "optics: {model: vectorial, shape: [5, 9, 9], na: 1.4, wavelength: 520.0}"
    Path("nanometres.yaml").write_text(RECIPE.replace("file: psf.tif", optics))
    before = {path.name for path in Path().iterdir()}
    assert message in shell(command, code=2).stderr
    assert {path.name for path in Path().iterdir()} == before
