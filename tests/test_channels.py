"""What the names of channels say of their light, and that others say nothing."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_deconv import fluorophores
from napari_deconv.psf.synthetic.channels import _LASERS, _words, emission_of


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("DAPI", "DAPI"),
        ("c0_dapi.tif", "DAPI"),
        ("w1DAPI", "DAPI"),
        ("Hoechst", "Hoechst 33342"),
        ("GFP", "GFP"),
        ("EGFP", "GFP"),
        ("lifeact-mEGFP", "GFP"),
        ("GCaMP6f", "GFP"),
        ("EYFP", "YFP"),
        ("FITC (GFP)", "FITC"),
        ("Alexa 488", "Alexa Fluor 488"),
        ("AlexaFluor594", "Alexa Fluor 594"),
        ("Alexa Fluor® 568", "Alexa Fluor 568"),
        ("ch1-AF647", "Alexa Fluor 647"),
        ("A488", "Alexa Fluor 488"),
        ("Cy3", "Cy3"),
        ("CY 5", "Cy5"),
        ("H2B-mCherry", "mCherry"),
        ("H2BmCherry", "mCherry"),
        ("TRITC", "TRITC"),
        ("TxRed", "Texas Red"),
        ("texas_red", "Texas Red"),
        ("SiR-tubulin", "SiR"),
        ("mNeonGreen-actin", "mNeonGreen"),
        ("atto647N", "ATTO 647N"),
        ("GFP 488 nm", "GFP"),
        ("DAPI, GFP", "DAPI"),
    ],
)
def test_fluorophores(name, preset):
    known = fluorophores()[preset]
    assert emission_of(name) == {
        "fluorophore": preset,
        "wavelength": known.emission / 1000,
        "excitation": known.excitation / 1000,
    }


@pytest.mark.parametrize("preset", fluorophores())
def test_every_preset_is_known_by_its_name(preset):
    for name in (preset, preset.upper(), preset.lower().replace(" ", "-"), f"C1: {preset} (2)"):
        assert emission_of(name)["fluorophore"] == preset


@pytest.mark.parametrize(
    ("name", "excitation", "emission"),
    [
        ("488", 0.488, 0.519),
        ("C1-488", 0.488, 0.519),
        ("channel 2: 561nm", 0.561, 0.603),
        ("Laser 640", 0.640, 0.668),
        ("tubulin ex405", 0.405, 0.461),
        ("tubulin 405 nm", 0.405, 0.461),
        ("Ex 488 Em 525/50", 0.488, 0.525),
    ],
)
def test_laser_lines(name, excitation, emission):
    assert emission_of(name) == {"wavelength": emission, "excitation": excitation}


def test_an_emission_is_one():
    assert emission_of("em525") == emission_of("Emission: 525 nm") == {"wavelength": 0.525}


def test_lasers_excite_what_stands_for_them():
    """A dye emits at longer wavelengths than the laser, and is excited near it."""
    for line, preset in _LASERS.items():
        dye = fluorophores()[preset]
        assert line < dye.emission
        assert dye.excitation - 30 < line + 30 < dye.excitation + 95


@pytest.mark.parametrize(
    "name",
    [
        "", "C1", "channel 2", "ch00", "Channel:0", "cells", "truth", "Image [1]", "cells · RL 40",
        "512", "1024", "520", "700 nm", "640x480", "0.488", "488 ms", "frame 488", "cells 488",
        "Area A 488", "IMG_0488", "20200405", "2024-05-14", "488 561", "405/488/561", "488.1",
        "Cy5.5", "Cy", "Alexa 999", "AF", "miRFP670", "tomato leaf", "PI", "em", "em 5", "red",
        "embryo 525", "stack_647_z12", "em1024",
    ],
)  # fmt: skip
def test_nothing_is_guessed(name):
    assert emission_of(name) == {}


@given(st.text())
def test_any_text_is_a_name(name):
    known = emission_of(name)
    assert known.keys() <= {"fluorophore", "wavelength", "excitation"}
    assert all(0.3 < known[key] < 1 for key in known.keys() - {"fluorophore"})
    assert known.keys() != {"fluorophore"}


@given(st.text(string.ascii_lowercase + string.digits + " -_.:#", max_size=12))
def test_random_names_say_nothing_but_by_chance(name):
    """What is found is written there: a preset's first word, or a line or band of three digits."""
    known = emission_of(name)
    if "excitation" in known and "fluorophore" not in known:
        assert f"{1000 * known['excitation']:.0f}" in name
    elif known and "fluorophore" not in known:
        assert "em" in name


@given(
    st.lists(
        st.sampled_from(["c", "ch", "channel", "series", "z", "t", "pos", "scan"]), max_size=3
    ),
    st.integers(0, 3000),
)
def test_numbers_that_are_no_laser_lines(words, number):
    name = " ".join([*words, str(number)])
    known = emission_of(name)
    if number not in _LASERS or not set(words) <= {"c", "ch", "channel"}:
        assert known == {}
    else:
        assert known["excitation"] == number / 1000


def test_words_are_split_at_numbers():
    assert _words("w1DAPI_Cy5.5 A488") == ["w", "1", "dapi", "cy", "5.5", "af", "488"]


def test_presets_of_ones_own_are_known(tmp_path, monkeypatch):
    path = tmp_path / "presets.json"
    path.write_text('{"fluorophores": {"JF 646": {"excitation": 646, "emission": 664}}}')
    monkeypatch.setenv("NAPARI_DECONV_PRESETS", str(path))
    assert emission_of("C2 JF646")["fluorophore"] == "JF 646"
