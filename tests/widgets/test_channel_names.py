"""Synthetic PSF takes the emission from the name of a channel, and says so."""

from __future__ import annotations

import numpy as np
import pytest
from hand import SPACING

from napari_deconv.widgets.common.layers import KEY


@pytest.fixture
def optics_of(viewer, open_widget):
    """Add an image, open Synthetic PSF, and give its optics."""

    def add(name, **optics):
        metadata = {KEY: {"optics": optics}} if optics else {}
        viewer.add_image(
            np.zeros((4, 8, 8)), name=name, scale=SPACING, units=("µm",) * 3, metadata=metadata
        )
        return open_widget("Synthetic PSF").widget

    return add


def shown(widget):
    optics = widget.optics
    emission = optics.numbers["wavelength"].native.isVisibleTo(widget)
    assert optics.origin.native.isVisibleTo(widget) == (emission and bool(optics.origin.value))
    wavelengths = [optics.numbers[name].value for name in ("wavelength", "excitation")]
    return optics.fluorophore.value, *wavelengths


def test_a_fluorophore(optics_of):
    widget = optics_of("ch1-mCherry")
    assert shown(widget) == ("mCherry", 0.61, 0.587)
    note = widget.optics.origin.value
    assert note == "Emission taken from the layer's name, “ch1-mCherry”: check it."
    assert widget.optics.origin.native.isVisibleTo(widget)


def test_a_laser_line(optics_of):
    widget = optics_of("C2 561 nm")
    assert shown(widget) == (None, 0.603, 0.561)
    assert "“C2 561 nm”" in widget.optics.origin.value


@pytest.mark.parametrize("name", ["C1", "channel 2", "cells", "frame 488"])
def test_names_that_say_nothing(optics_of, name):
    widget = optics_of(name)
    assert shown(widget) == (None, 0.52, 0.488)
    assert widget.optics.origin.value == ""


def test_what_the_file_says_counts_more(optics_of):
    widget = optics_of("DAPI", wavelength=0.6, na=1.2)
    assert shown(widget)[1] == 0.6
    assert widget.optics.origin.value == ""


def test_the_name_fills_in_what_the_file_does_not_say(optics_of):
    widget = optics_of("GFP", na=1.2, excitation=0.473, modality="confocal")
    assert shown(widget) == (None, 0.507, 0.473)  # no longer that of the preset
    assert widget.optics.numbers["na"].value == 1.2
    assert "“GFP”" in widget.optics.origin.value


@pytest.mark.parametrize("name", ["GFP", "488"])
def test_two_photons_are_not_excited_by_a_name(optics_of, name):
    widget = optics_of(name, modality="two_photon", excitation=0.92, na=1.0)
    assert shown(widget)[2] == 0.92
    assert not widget.optics.origin.native.isVisibleTo(widget)  # the emission plays no part


def test_the_note_goes_with_what_it_is_about(viewer, optics_of):
    widget = optics_of("GFP")
    widget.optics.numbers["wavelength"].value = 0.55
    assert widget.optics.origin.value == ""
    assert shown(widget)[0] is None
    viewer.add_image(np.zeros((4, 8, 8)), name="Cy5", scale=SPACING, units=("µm",) * 3)
    assert shown(widget) == ("Cy5", 0.666, 0.649)
    widget.model.value = "gaussian"
    assert not widget.optics.origin.native.isVisibleTo(widget)
