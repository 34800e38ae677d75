"""The widget PSF quality: numbers, comparison, reports, errors."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hand import SPACING, blob
from qtpy.QtWidgets import QFileDialog

from napari_deconv.beads.statistics import bead_statistics
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import make_report
from napari_deconv.widgets.common.layers import KEY
from napari_deconv.widgets.common.parts import whole
from napari_deconv.widgets.common.points import read_beads

UM = {"scale": SPACING, "units": ("µm",) * 3}
OPTICS = {"na": 1.2, "wavelength": 0.52, "n_immersion": 1.33}


@pytest.fixture
def save_as(monkeypatch, tmp_path):
    """Answer the file dialog with a name."""

    def answer(name):
        chosen = str(tmp_path / name) if name else ""
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (chosen, ""))
        return tmp_path / name

    return answer


@pytest.fixture
def psf_layer(viewer):
    psf = blob((25, 33, 33), (12, 16, 16)).astype(np.float32)
    return viewer.add_image(psf, name="PSF", **UM)


def test_numbers_and_findings(viewer, open_widget, psf_layer, save_as):
    hand = open_widget("PSF quality")
    widget = hand.widget
    assert widget.image.value.name == "PSF"
    assert not widget.save_button.isVisibleTo(widget)
    assert not widget.device.native.isVisibleTo(widget)
    hand.run()
    measured = measure_psf(np.asarray(psf_layer.data), SPACING)
    for width in measured.fwhm:
        assert f"{width:.3f}" in widget.numbers.text()
    assert "in theory" not in widget.numbers.text()
    assert widget.result_line.text().startswith("Nothing is out of tolerance.\nSet ")
    assert [layer.name for layer in viewer.layers] == ["PSF"]

    numbers = widget.optics.numbers
    numbers["na"].value, numbers["wavelength"].value, numbers["n_immersion"].value = 1.2, 0.52, 1.33
    widget.notes["objective"].value = "60×/1.2 W"
    hand.run()
    expected = make_report(
        Psf(psf_layer.data, SPACING), theory=OPTICS, notes={"objective": "60×/1.2 W"}
    )
    assert widget.result_line.text().startswith("\n".join(expected.findings))
    assert "FWHM z is 34% above theory" in widget.result_line.text()
    assert "in theory" in widget.numbers.text()
    newest = widget.history.fill().actions()[0].text()
    assert "PSF · Widefield, NA 1.2, 0.52 µm · " in newest

    path = save_as("report.json")
    widget.save_button.click()
    hand.wait()
    assert widget.result_line.text().startswith("Saved report.json.")
    assert json.loads(path.read_text(encoding="utf-8")) == expected.to_dict()

    widget.earlier.value = path
    hand.run()
    assert "drift, %" in widget.numbers.text()
    assert widget.minimumSizeHint().width() <= 320


def test_optics_and_beads_come_from_the_layers(viewer, open_widget, bead_image):
    beads = viewer.add_image(bead_image, name="beads", metadata={KEY: {"optics": OPTICS}}, **UM)
    open_widget("Bead detection").run()
    open_widget("PSF distilling").run()
    hand = open_widget("PSF quality")
    widget = hand.widget
    assert widget.image.value.name == "PSF (beads)"
    assert widget.beads.value.name == "beads · beads"
    assert {name: widget.optics.numbers[name].value for name in OPTICS} == OPTICS
    hand.run()
    layer = viewer.layers["PSF (beads)"]
    psf = Psf(layer.data, SPACING, layer.metadata[KEY])
    found = read_beads(widget.beads.value, whole(beads, "image"), SPACING)
    statistics = bead_statistics(found, bead_image, psf, bead_diameter=0.1)
    expected = make_report(psf, statistics=statistics, theory=OPTICS)
    text = widget.numbers.text()
    assert "± SD over the beads" in text
    assert all(f"{sd:.3f}" in text for sd in statistics.fwhm_sd)
    assert widget.result_line.text().startswith("\n".join(expected.findings))

    viewer.layers.remove("beads")
    hand.click()
    assert widget.result_line.text().startswith("The image of “beads · beads” is not open")


def test_the_theory_is_of_the_microscope_that_the_layer_knows(viewer, open_widget, psf_layer):
    confocal = OPTICS | {"modality": "confocal", "excitation": 0.488, "pinhole": 0.8}
    psf_layer.metadata[KEY] = {"role": "psf", "parameters": {**confocal, "shape": [9, 9, 9]}}
    hand = open_widget("PSF quality")
    hand.run()
    text = hand.widget.result_line.text()
    assert "Theory: vectorial, confocal, NA 1.2, λ 0.52 µm, immersion 1.33" in text
    assert "excitation 0.488 µm, pinhole 0.8 AU" in text
    with warnings.catch_warnings(action="ignore"):
        expected = make_report(Psf(psf_layer.data, SPACING), theory=confocal)
    widths = expected.expected.fwhm
    assert all(f"{width:.3f}" in hand.widget.numbers.text() for width in widths)


def test_a_synthetic_psf_has_its_own_theory(viewer, open_widget, psf_layer):
    confocal = OPTICS | {"modality": "confocal", "excitation": 0.488}
    viewer.add_image(np.zeros((4, 9, 9)), name="cells", metadata={KEY: {"optics": confocal}}, **UM)
    sted = confocal | {"modality": "sted", "depletion": 0.592, "saturation": 5}
    psf_layer.metadata[KEY] = {"role": "psf", "source": "cells", "parameters": sted}
    optics = open_widget("PSF quality").widget.optics
    assert optics.modality.value == "sted"
    assert optics.numbers["depletion"].value == 0.592


def test_a_recorded_bead_is_cleaned(viewer, open_widget, said):
    light = 3000 * blob((25, 48, 48), (12, 24, 24))
    image = np.random.default_rng(0).poisson(light + 100).astype(np.uint16)
    viewer.add_image(image, name="one bead", **UM)
    hand = open_widget("PSF quality")
    hand.widget.image.value = viewer.layers["one bead"].__wrapped__
    hand.run()
    assert any("The PSF had an offset of " in message for message in said())
    assert "0.80" in hand.widget.numbers.text()


def test_errors_are_said(viewer, open_widget, psf_layer, save_as, said):
    hand = open_widget("PSF quality")
    widget = hand.widget
    hand.run()
    save_as("")  # the dialog is cancelled
    widget.save_button.click()
    assert widget._worker is None
    path = save_as("report.doc")
    widget.save_button.click()
    hand.wait()
    assert "does not end in .html" in widget.result_line.text()
    assert not path.exists()
    viewer.add_image(np.zeros((5, 9, 9), np.float32), name="empty PSF", **UM)
    hand.run()
    assert "no value above 0" in said()[-1]
    viewer.add_image(psf_layer.data, name="bare PSF")
    hand.click()
    assert "no voxel size" in said()[-1]
    viewer.layers.clear()
    hand.click()
    assert "No PSF is chosen" in said()[-1]


def test_closing_the_dock_lets_go(viewer, open_widget, psf_layer):
    hand = open_widget("PSF quality")
    hand.click()
    hand.dock.destroyOnClose()
    hand.wait()
    assert hand.widget.numbers.text() == ""
    choices = hand.widget.image.choices
    viewer.add_image(np.zeros((4, 4)))
    assert hand.widget.image.choices == choices


def test_deconvolution_takes_a_recorded_psf(viewer, open_widget, bead_image, said):
    light = 5000 * blob((13, 13, 13), (6, 6, 6))
    padded = np.pad(light, ((6, 6), (12, 12), (12, 12)))
    recorded = np.random.default_rng(0).poisson(padded + 100).astype(np.uint16)
    viewer.add_image(light, name="PSF", **UM)
    viewer.add_image(bead_image, name="beads", **UM)
    hand = open_widget("Deconvolution")
    hand.widget.settings.iterations.value = 5
    hand.run()
    assert not any("offset" in message for message in said())
    viewer.add_image(recorded, name="recorded PSF", **UM)
    assert hand.widget.psf.value.name == "recorded PSF"
    hand.run()
    assert any("The PSF had an offset of " in message for message in said())
    expected, found = (layer.data for layer in viewer.layers if "RL" in layer.name)
    assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)


def test_beads_of_another_psf_are_not_taken(viewer, open_widget, bead_image, psf_layer):
    viewer.add_image(bead_image, name="beads", **UM)
    open_widget("Bead detection").run()
    open_widget("PSF distilling").run()
    widget = open_widget("PSF quality").widget
    assert widget.beads.value.name == "beads · beads"
    widget.image.value = psf_layer
    assert widget.beads.value is None
    widget.image.value = viewer.layers["PSF (beads)"].__wrapped__
    assert widget.beads.value.name == "beads · beads"
    widget.beads.value = None
    viewer.add_points(np.zeros((1, 3)), name="others")
    assert widget.beads.value is None


def test_the_microscope_can_be_chosen(viewer, open_widget, psf_layer):
    hand = open_widget("PSF quality")
    optics = hand.widget.optics
    optics.modality.value = "two_photon"
    assert not optics.numbers["wavelength"].native.isVisibleTo(hand.widget)
    hand.run()
    assert "Set aperture and wavelengths" in hand.widget.result_line.text()
    optics.numbers["na"].value, optics.numbers["excitation"].value = 1.2, 0.8
    hand.run()
    assert "Theory: vectorial, two photon, NA 1.2" in hand.widget.result_line.text()
    viewer.add_image(psf_layer.data, name="another PSF", metadata={KEY: {"optics": OPTICS}}, **UM)
    assert optics.modality.value == "widefield"
    assert optics.numbers["na"].value == 1.2


def test_a_report_is_saved_once(viewer, open_widget, psf_layer, save_as):
    hand = open_widget("PSF quality")
    hand.run()
    save_as("report.csv")
    hand.widget.save_button.click()
    assert not hand.widget.save_button.isEnabled()
    hand.wait()
    assert hand.widget.save_button.isEnabled()


def test_what_was_done_to_a_psf_stays_in_the_result_line(viewer, open_widget):
    light = 3000 * blob((25, 48, 48), (12, 24, 24))
    image = np.random.default_rng(0).poisson(light + 100).astype(np.uint16)
    viewer.add_image(image, name="PSF", **UM)
    hand = open_widget("PSF quality")
    for _ in range(2):  # not twice in the second one
        hand.run()
        assert hand.widget.result_line.text().count("The PSF had an offset of ") == 1
