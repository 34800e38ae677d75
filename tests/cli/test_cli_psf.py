"""Synthetic PSFs from the shell."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from napari_deconv.cli import main
from napari_deconv.files import write_image
from napari_deconv.psf import Psf, make_psf, objectives

OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.2" Immersion="Water"/>
  </Instrument><Image ID="Image:0"><ObjectiveSettings ID="Objective:0"/>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" SizeY="4" SizeZ="2"
            SizeC="1" SizeT="1" PhysicalSizeX="0.05" PhysicalSizeY="0.05" PhysicalSizeZ="0.2">
      <Channel ID="Channel:0:0" EmissionWavelength="520" ExcitationWavelength="488"
               AcquisitionMode="{mode}"/><TiffData/></Pixels></Image></OME>"""


def write_ome(path, mode):
    tifffile.imwrite(path, np.zeros((2, 4, 4), np.uint16), description=OME.format(mode=mode),
                     metadata=None)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("vectorial --modality confocal --excitation 0.488 --pinhole 0.8",
         {"modality": "confocal", "excitation": 0.488, "pinhole": 0.8}),
        ("vectorial --modality confocal --excitation 0.488 --pinhole inf --flip-z --sample 1.4",
         {"modality": "confocal", "excitation": 0.488, "pinhole": math.inf, "flip_z": True,
          "n_sample": 1.4}),
        ("gibson_lanni --modality spinning_disk --excitation 0.488 --pinhole-radius 0.2 "
         "--pinhole-distance 3",
         {"modality": "spinning_disk", "excitation": 0.488, "pinhole_radius": 0.2,
          "pinhole_distance": 3}),
        ("born_wolf --modality two_photon --excitation 0.9 --pixel-integration",
         {"modality": "two_photon", "excitation": 0.9, "pixel_integration": True}),
        ("vectorial --modality light_sheet --excitation 0.488 --illumination-na 0.1 "
         "--sheet scanned",
         {"modality": "light_sheet", "excitation": 0.488, "illumination_na": 0.1,
          "sheet": "scanned"}),
        ("vectorial --modality sted --excitation 0.488 --depletion 0.592 --saturation 3",
         {"modality": "sted", "excitation": 0.488, "depletion": 0.592, "saturation": 3}),
        ("vectorial --zernike 12=0.03 --zernike 7=-.02 --glass-design 1.52 "
         "--immersion-design 1.51",
         {"zernike": {12: 0.03, 7: -0.02}, "n_glass_design": 1.52, "n_immersion_design": 1.51}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")
def test_psf_is_the_function(shell, command, parameters):
    model = command.split()[0]
    result = shell(f"psf {command} --na 1.4 --wavelength 0.52 -s 0.1,0.05,0.05 --shape 7,21,21 "
                   "-e cpu -o psf.tif")  # fmt: skip
    expected = make_psf(model, na=1.4, wavelength=0.52, spacing=(0.1, 0.05, 0.05),
                        shape=(7, 21, 21), engine="cpu", **parameters)  # fmt: skip
    psf = Psf.load("psf.tif")
    np.testing.assert_array_equal(psf.data, expected.data)
    assert expected.metadata.items() <= psf.metadata.items()
    step = " × ".join(f"{step:.3g}" for step in expected.metadata["nyquist_step"])
    assert f"The optics need voxels of {step} µm or less." in result.stdout


def test_simple_shapes(shell):
    shell("psf motion --length 0.5 --angle 30,10 -s 0.1 --shape 5,9,9 -o motion.tif")
    expected = make_psf("motion", length=0.5, angle=(30, 10), spacing=0.1, shape=(5, 9, 9))
    np.testing.assert_array_equal(Psf.load("motion.tif").data, expected.data)
    formula = "2**(-(x**2+y**2)/(a/2)**2)"
    result = shell(f"psf formula --formula {formula} --param a=0.25 -s 0.05 --shape 31,31 -o f.tif")
    expected = make_psf("formula", formula=formula, parameters={"a": 0.25}, spacing=0.05,
                        shape=(31, 31))  # fmt: skip
    np.testing.assert_array_equal(Psf.load("f.tif").data, expected.data)
    assert "optics" not in result.stdout


def test_presets(shell, tmp_path):
    def run(*arguments):
        frame = ["-s", "0.1,0.04,0.04", "--shape", "3,65,65", "-e", "cpu", "-o", "psf.tif"]
        result = CliRunner().invoke(main, ["psf", "vectorial", *arguments, *frame])
        assert result.exit_code == 0, result.output
        return Psf.load("psf.tif").metadata

    preset = ["--objective", "60x 1.4 oil", "--fluorophore", "mcherry"]
    made = run(*preset)
    oil = objectives()["60× 1.4 oil"]
    assert made["na"] == 1.4
    assert made["n_immersion"] == oil.n_immersion
    assert made["working_distance"] == oil.working_distance
    assert made["wavelength"] == 0.61
    made = run(*preset, "--modality", "confocal", "--wavelength", "0.6")
    assert (made["wavelength"], made["excitation"]) == (0.6, 0.587)
    # One photon's peak says nothing of two.
    made = run(*preset, "--modality", "two_photon", "--excitation", "1.1")
    assert made["excitation"] == 1.1
    (tmp_path / "own.json").write_text(json.dumps({"fluorophores": {"dye": {
        "excitation": 500, "emission": 555}}}))  # fmt: skip
    own = ["--presets", "own.json", "--objective", "60× 1.4 oil", "--fluorophore", "DYE"]
    assert run(*own)["wavelength"] == 0.555
    listed = shell("psf --list-presets").stdout
    assert "60× 1.4 oil" in listed
    assert "488 → 507 nm" in listed


def test_optics_of_an_image(shell):
    write_ome("confocal.ome.tif", "LaserScanningConfocalMicroscopy")
    shell("psf vectorial --image confocal.ome.tif --shape 5,33,33 -e cpu -o psf.tif")
    psf = Psf.load("psf.tif")
    assert psf.spacing == (0.2, 0.05, 0.05)
    stated = {"na": 1.2, "n_immersion": 1.333, "wavelength": 0.52, "excitation": 0.488,
              "modality": "confocal", "pinhole": 1.0}  # fmt: skip
    assert stated.items() <= psf.metadata.items()
    shell("psf born_wolf --image confocal.ome.tif --modality widefield --na 1.1 --shape 99,99 "
          "-e cpu -o psf.tif")  # fmt: skip
    psf = Psf.load("psf.tif")
    assert psf.spacing == (0.05, 0.05)
    assert {
        "na": 1.1,
        "modality": "widefield",
        "model": "born_wolf",
    }.items() <= psf.metadata.items()
    optics = {"optics": {"na": 0.8, "wavelength": 0.6, "n_immersion": 1.0, "diameter": 0.1}}
    write_image("ours.tif", np.zeros((3, 4, 4), np.float32), (0.2, 0.08, 0.08), optics)
    shell("psf gibson_lanni --image ours.tif --shape 3,65,65 -e cpu -o psf.tif")
    assert Psf.load("psf.tif").metadata["na"] == 0.8


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("vectorial --na 1.4 --wavelength 0.52", "give --spacing z,y,x"),
        ("vectorial --objective none -s 0.1", "no objective 'none': choose one of 4×"),
        ("vectorial --fluorophore XFP -s 0.1", "no fluorophore 'XFP'"),
        ("vectorial --fluorophore GFP --presets none.json -s 0.1", "none.json cannot be read"),
        ("vectorial --na 1.4 --wavelength 0.52 --modality confocal -s 0.1", "--excitation 0.488"),
        ("vectorial --na 1.4 --wavelength 0.52 --modality sted --excitation 0.4 -s 0.1",
         "--depletion 0.775"),
        ("vectorial --na 1.4 --wavelength 0.52 --pinhole 1 -s 0.1", "has no pinhole"),
        ("vectorial --na 1.4 --wavelength 0.52 --zernike 12 -s 0.1", "'12' is not INDEX="),
        ("vectorial --na 1.4 --wavelength 0.52 --zernike a=1 -s 0.1", "'a=1' is not INDEX="),
        ("vectorial --image none.tif", "There is no file none.tif"),
        ("formula --formula x+q -s 0.1", "“q”, character 3, is not known"),
        ("formula --formula x --param x -s 0.1", "'x' is not NAME=VALUE"),
        ("motion --length 1 --no-pixel-integration -s 0.1", "--no-pixel-integration is not poss"),
        ("gaussian --fwhm 1 --modality confocal -s 0.1", "knows no optics"),
    ],
)  # fmt: skip
def test_bad_input(shell, tmp_path, command, message):
    stderr = shell(f"psf {command} --shape 5,5,5 -e cpu -o psf.tif", code=2).stderr
    assert message in stderr
    assert not (tmp_path / "psf.tif").exists()
