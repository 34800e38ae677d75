"""The widget Synthetic PSF: fields that follow model and microscope, presets, the Nyquist step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tifffile
from hand import SPACING

from napari_deconv.errors import DeconvError
from napari_deconv.psf import fluorophores, make_psf, nyquist_step, objectives
from napari_deconv.widgets.common.fields import orange
from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.optics import read_pairs

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")

UM = {"scale": SPACING, "units": ("µm",) * 3}


def test_a_synthetic_psf_takes_over_what_the_image_says(viewer, open_widget, bead_image):
    optics = {"na": 1.2, "wavelength": 0.6, "n_immersion": 1.333}
    metadata = {KEY: {"role": "image", "optics": optics}}
    viewer.add_image(bead_image, name="cells", metadata=metadata, **UM)
    hand = open_widget("Synthetic PSF")
    hand.widget.size.value = "11 × 65 × 65"
    hand.run()
    layer = viewer.layers["PSF Vectorial 1.2 water"]
    expected = make_psf("vectorial", shape=(11, 65, 65), spacing=SPACING, **optics)
    np.testing.assert_array_equal(layer.data, expected.data)
    hand.widget.size.value = "65 × 65"
    hand.widget.model.value = "born_wolf"
    hand.run()
    expected = make_psf("born_wolf", shape=(65, 65), spacing=SPACING[1:], **optics)
    np.testing.assert_array_equal(viewer.layers["PSF Born–Wolf 1.2 water"].data, expected.data)


def test_a_synthetic_psf_for_a_plane(viewer, open_widget, bead_image):
    viewer.add_image(bead_image[12], name="plane", scale=SPACING[1:], units=("µm",) * 2)
    assert open_widget("Synthetic PSF").widget.size.value == "193 × 193"


def test_a_synthetic_psf_without_any_image(viewer, open_widget, said):
    hand = open_widget("Synthetic PSF")
    hand.widget.size.value = "9 × 33"
    hand.click()
    assert said()[-1].startswith("No voxel size is given")
    hand.widget.voxel_size.field.value = "0.1 × 0.1"
    hand.run()
    assert viewer.layers[0].data.shape == (9, 33)
    assert hand.widget.result_line.text().startswith("9 × 33 voxels")
    hand.widget.size.value = "9 × 33 × 33"
    hand.click()
    assert "“Size (voxels)” has 3 numbers" in said()[-1]
    hand.widget.size.value = "large"
    hand.click()
    assert "not understood" in said()[-1]


def shown(widget):
    """Labels of the fields that can be seen."""
    return {
        field.label for field, _ in widget._rows.items() if field.native.isVisibleTo(widget)
    } - {""}


def test_numbers_that_are_missing_are_said(viewer, open_widget, said):
    hand = open_widget("Synthetic PSF")
    widget = hand.widget
    widget.size.value, widget.voxel_size.field.value = "33 × 33", "0.05 × 0.05"
    for name in ("na", "wavelength", "n_immersion"):
        field = widget.optics.numbers[name]
        before, field.value = field.value, 0
        assert widget.optics.nyquist.value == ""
        hand.run()
        assert field.label in said()[-1]
        field.value = before
    widget.optics.numbers["na"].value = 1.6
    hand.run()
    assert "“Numerical aperture” 1.6 is not below “Immersion index” 1.515" in said()[-1]
    assert "give “Immersion index” (air" in said()[-1]


OPTICS = {"Microscope", "Objective", "Fluorophore", "Numerical aperture", "Immersion index"}
ALWAYS = {"For image", "Voxel size (µm)", "Size (voxels)", "Model"}


@pytest.mark.parametrize(
    ("model", "modality", "fields"),
    [
        ("vectorial", "widefield", {"Emission (µm)", "Specimen index", "Depth (µm)"}),
        ("born_wolf", "widefield", {"Emission (µm)"}),
        ("born_wolf", "confocal", {"Emission (µm)", "Excitation (µm)", "Pinhole (Airy units)"}),
        ("born_wolf", "spinning_disk", {"Emission (µm)", "Excitation (µm)", "Pinhole (Airy units)",
                                        "Pinhole distance (µm)"}),
        ("born_wolf", "two_photon", {"Excitation (µm)"}),
        ("born_wolf", "light_sheet", {"Emission (µm)", "Excitation (µm)", "Sheet aperture",
                                      "Sheet"}),
        ("born_wolf", "sted", {"Emission (µm)", "Excitation (µm)", "Pinhole (Airy units)",
                               "Depletion (µm)", "Saturation"}),
    ],
)  # fmt: skip
def test_fields_that_do_not_apply_are_hidden(viewer, open_widget, model, modality, fields):
    widget = open_widget("Synthetic PSF").widget
    widget.model.value, widget.optics.modality.value = model, modality
    assert shown(widget) == ALWAYS | OPTICS | fields
    for simple, own in (
        ("gaussian", {"Width x, y (µm)", "Width z (µm)"}),
        ("motion", {"Path (µm)", "Direction (°)", "Towards z (°)"}),
        ("formula", {"Formula", "With"}),
    ):
        widget.model.value = simple
        assert shown(widget) == ALWAYS | own


@quiet
@pytest.mark.parametrize(
    ("modality", "values"),
    [
        ("confocal", {"excitation": 0.5, "pinhole": 0.0}),
        ("spinning_disk", {"excitation": 0.5, "pinhole": 0.6, "pinhole_distance": 2.2}),
        ("two_photon", {"excitation": 0.8}),
        ("light_sheet", {"excitation": 0.5, "illumination_na": 0.2, "sheet": "scanned"}),
        ("sted", {"excitation": 0.5, "depletion": 0.6, "saturation": 3.0, "pinhole": 1.0}),
    ],
)
def test_each_microscope_is_the_function(viewer, open_widget, modality, values):
    hand = open_widget("Synthetic PSF")
    widget = hand.widget
    widget.size.value, widget.voxel_size.field.value = "5 × 25 × 25", "0.1 × 0.05 × 0.05"
    widget.optics.modality.value = modality
    for name, value in values.items():
        widget.optics.fields[name].value = value
    hand.run()
    (layer,) = viewer.layers
    optics = {"na": 1.4, "n_immersion": 1.515, "modality": modality, **values}
    if modality != "two_photon":
        optics["wavelength"] = 0.52
    expected = make_psf("vectorial", shape=(5, 25, 25), spacing=(0.1, 0.05, 0.05), **optics)
    np.testing.assert_array_equal(layer.data, expected.data)
    assert layer.name.startswith("PSF Vectorial 1.4 oil, ")
    recipe = layer.metadata[KEY]
    assert recipe["parameters"]["modality"] == modality


def test_simple_shapes(viewer, open_widget, said):
    hand = open_widget("Synthetic PSF")
    widget = hand.widget
    widget.size.value, widget.voxel_size.field.value = "5 × 15 × 15", "0.1 × 0.1 × 0.1"
    widget.model.value = "motion"
    widget.angle.value, widget.rise.value = 30, 10
    hand.run()
    expected = make_psf("motion", shape=(5, 15, 15), spacing=0.1, length=1, angle=(30, 10))
    np.testing.assert_array_equal(viewer.layers["PSF Motion"].data, expected.data)
    widget.model.value = "formula"
    widget.pixel_integration.value = False
    hand.run()
    gaussian = make_psf("gaussian", shape=(5, 15, 15), spacing=0.1, fwhm=(0.7, 0.25, 0.25),
                        pixel_integration=False)  # fmt: skip
    np.testing.assert_allclose(viewer.layers["PSF Formula"].data, gaussian.data, rtol=1e-4)
    widget.parameters.value = "a 0.25"
    hand.click()
    assert "“a 0.25” is not understood" in said()[-1]
    widget.parameters.value = "a = 0.25"
    hand.click()
    hand.wait()
    assert "“b”, character" in said()[-1]


def test_presets_fill_the_fields(viewer, open_widget):
    hand = open_widget("Synthetic PSF")
    widget, optics = hand.widget, hand.widget.optics
    optics.objective.value = "40× 0.8 water dipping"
    optics.fluorophore.value = "mCherry"
    dipping = objectives()["40× 0.8 water dipping"]
    for name, value in {**dipping.parameters, **fluorophores()["mCherry"].parameters}.items():
        assert optics.numbers[name].value == pytest.approx(value)
    widget.size.value, widget.voxel_size.field.value = "5 × 33 × 33", "0.3 × 0.15 × 0.15"
    hand.run()
    (layer,) = viewer.layers
    parameters = layer.metadata[KEY]["parameters"]
    assert parameters["n_glass"] == dipping.n_immersion
    assert layer.name == "PSF Vectorial 0.8 water"
    # one photon's peak is not the laser of two
    optics.modality.value = "two_photon"
    optics.numbers["excitation"].value = 0.9
    optics.fluorophore.value = "GFP"
    assert optics.numbers["excitation"].value == 0.9
    assert optics.numbers["wavelength"].value == 0.507


def test_the_nyquist_step_is_shown_with_the_voxel_size(viewer, open_widget, bead_image):
    viewer.add_image(bead_image, name="cells", **UM)
    widget = open_widget("Synthetic PSF").widget
    step = " × ".join(f"{s:.3f}" for s in nyquist_step(na=1.4, wavelength=0.52))
    too_large = orange(f"Nyquist step: {step} µm, the voxels are larger.")
    assert widget.optics.nyquist.value == too_large
    widget.voxel_size.field.value = "0.2 × 0.05 × 0.05"
    assert widget.optics.nyquist.value == f"Nyquist step: {step} µm"
    widget.optics.modality.value = "confocal"
    assert "larger" in widget.optics.nyquist.value
    widget.optics.numbers["na"].value = 1.6  # impossible in oil
    assert not widget.optics.nyquist.native.isVisibleTo(widget)
    widget.model.value = "gaussian"
    assert not widget.optics.nyquist.native.isVisibleTo(widget)


@quiet
def test_aberrations(viewer, open_widget, said):
    hand = open_widget("Synthetic PSF")
    widget = hand.widget
    widget.size.value, widget.voxel_size.field.value = "5 × 25 × 25", "0.2 × 0.05 × 0.05"
    widget.optics.zernike.value = "12: 0.05; 8: -0.02"
    hand.run()
    expected = make_psf("vectorial", shape=(5, 25, 25), spacing=(0.2, 0.05, 0.05), na=1.4,
                        wavelength=0.52, zernike={12: 0.05, 8: -0.02})  # fmt: skip
    np.testing.assert_array_equal(viewer.layers[0].data, expected.data)
    widget.optics.zernike.value = "spherical"
    hand.click()
    assert "“spherical” is not understood" in said()[-1]


def test_a_preset_is_named_while_the_numbers_are_its_own(viewer, open_widget):
    optics = open_widget("Synthetic PSF").widget.optics
    optics.objective.value, optics.fluorophore.value = "60× 1.4 oil", "GFP"
    optics.modality.value = "two_photon"
    assert optics.fluorophore.value == "GFP"
    assert optics.numbers["excitation"].value == pytest.approx(0.976)
    optics.modality.value = "confocal"
    assert optics.numbers["excitation"].value == pytest.approx(0.488)
    optics.numbers["na"].value = 1.3
    assert optics.objective.value is None
    assert optics.fluorophore.value == "GFP"
    optics.objective.value = "20× 0.8 air"
    assert optics.numbers["na"].value == 0.8
    optics.take({"excitation": 0.9, "wavelength": 0.6, "modality": "two_photon"})
    assert optics.numbers["excitation"].value == 0.9
    assert optics.objective.value == "20× 0.8 air"
    assert optics.fluorophore.value is None


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="1.2" Immersion="Water"
    NominalMagnification="60"/></Instrument>
  <Image ID="Image:0"><ObjectiveSettings ID="Objective:0"/>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="8" SizeY="8" SizeZ="2"
            SizeC="{channels}" SizeT="1">
      <Channel ID="Channel:0:0" EmissionWavelength="600" ExcitationWavelength="561"
               AcquisitionMode="LaserScanningConfocalMicroscopy" PinholeSize="40"/>
      {more}<TiffData/></Pixels></Image></OME>"""


@pytest.mark.parametrize("channels", [1, 2])
def test_optics_of_the_file_an_image_was_read_from(viewer, open_widget, tmp_path, channels):
    path = tmp_path / "cells.ome.tif"
    more = '<Channel ID="Channel:0:1" EmissionWavelength="520"/>' * (channels - 1)
    tifffile.imwrite(
        path,
        np.zeros((channels * 2, 8, 8), np.uint16),
        photometric="minisblack",
        metadata=None,
        description=OME.format(channels=channels, more=more),
    )
    viewer.open(path, plugin="napari")
    optics = open_widget("Synthetic PSF").widget.optics
    assert optics.numbers["na"].value == 1.2
    assert optics.numbers["n_immersion"].value == 1.333
    if channels == 1:
        assert optics.numbers["wavelength"].value == 0.6
        assert optics.modality.value == "confocal"
        pinhole = 20 / 60 * 1.2 / (0.61 * 0.6)
        assert math.isclose(optics.numbers["pinhole"].value, pinhole, abs_tol=0.06)
    else:  # of which channel the layer is, is not known
        assert optics.numbers["wavelength"].value == 0.52
        assert optics.modality.value == "widefield"


def test_pairs():
    assert read_pairs(" a = 0.25,b:1e-3 ;", str) == {"a": 0.25, "b": 1e-3}
    assert read_pairs("", int) == {}
    for wrong in ("a", "a=b", "a=1=2", "x: 0.1"):
        with pytest.raises(DeconvError, match="not understood"):
            read_pairs(wrong, int)
