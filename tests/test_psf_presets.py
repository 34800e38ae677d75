"""Presets of objectives and fluorophores, and optics that OME-XML states."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_deconv.errors import DeconvError
from napari_deconv.psf import (
    fluorophores,
    make_psf,
    objectives,
    optics_from_file,
    optics_from_ome,
)
from napari_deconv.psf.synthetic.presets import ENVIRONMENT, find_preset

# -- presets -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")
def test_every_objective_makes_a_psf():
    found = objectives()
    assert len(found) > 20
    for name, objective in found.items():
        magnification, na, medium = name.split(maxsplit=2)
        assert magnification == f"{objective.magnification:g}×"
        assert float(na) == objective.na
        assert medium.removesuffix(" dipping") == objective.medium
        assert medium.endswith("dipping") == (objective.glass_thickness == 0)
        assert 50 < objective.working_distance < 20_000
        psf = make_psf("gibson_lanni", shape=(3, 5, 5), spacing=(0.3, 0.1, 0.1), wavelength=0.52,
                       engine="cpu", **objective.parameters)  # fmt: skip
        assert (psf.metadata["n_glass"] == objective.n_immersion) == (
            medium.endswith("dipping") or medium == "oil"
        )
        assert psf.metadata["focal_shift"] == pytest.approx(0, abs=1e-5)


def test_fluorophores_emit_redder_than_they_absorb():
    found = fluorophores()
    asked = {"DAPI", "Hoechst 33342", "GFP", "FITC", "Alexa Fluor 488", "Alexa Fluor 568",
             "Alexa Fluor 647", "mCherry", "TRITC", "Cy3", "Cy5", "YFP", "CFP", "RFP", "tdTomato",
             "SiR"}  # fmt: skip
    assert asked <= found.keys()
    for fluorophore in found.values():
        assert 340 < fluorophore.excitation < fluorophore.emission < 800
    assert found["GFP"].parameters == {"wavelength": 0.507, "excitation": 0.488}


def test_presets_are_found_however_they_are_written():
    for name in ("60× 1.4 oil", "60x 1.4 Oil", "60x1.4oil"):
        assert find_preset(objectives(), name, "objective").na == 1.4
    with pytest.raises(DeconvError, match=r"no fluorophore 'XFP': choose one of .*GFP"):
        find_preset(fluorophores(), "XFP", "fluorophore")


def test_users_add_and_replace_presets(tmp_path, monkeypatch):
    path = tmp_path / "my presets.json"
    mine = {"magnification": 60, "na": 1.35, "medium": "oil", "n_immersion": 1.518,
            "working_distance": 150}  # fmt: skip
    presets = {"objectives": {"mine": mine, "60× 1.4 oil": mine | {"na": 1.41}},
               "fluorophores": {"dye µ": {"excitation": 561, "emission": 590.5}}}  # fmt: skip
    path.write_text(json.dumps(presets, ensure_ascii=False), encoding="utf-8")
    before = objectives()
    added = objectives(path)
    assert added.keys() - before.keys() == {"mine"}
    assert added["60× 1.4 oil"].na == 1.41
    assert objectives() == before
    monkeypatch.setenv(ENVIRONMENT, str(path))
    assert objectives() == added
    assert fluorophores()["dye µ"].emission == 590.5


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        '{"objectives": []}',
        '{"objectives": {"a": 3}}',
        '{"objectives": {"a": {"na": 1.4}}}',
        '{"objectives": {"a": {"magnification": 60, "na": "big", "medium": "oil", '
        '"n_immersion": 1.5, "working_distance": 130}}}',
        '{"objectives": {"a": {"magnification": 60, "na": 1.4, "medium": "oil", '
        '"n_immersion": 1.5, "working_distance": 130, "colour": 1}}}',
    ],
)
def test_presets_that_cannot_be_read(tmp_path, text):
    path = tmp_path / "presets.json"
    path.write_text(text)
    with pytest.raises(DeconvError, match=r"presets\.json"):
        objectives(path)


def test_missing_presets(tmp_path):
    with pytest.raises(DeconvError, match=r"none\.json cannot be read"):
        fluorophores(tmp_path / "none.json")


# -- OME-XML -------------------------------------------------------------------------------------

OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
  <Instrument ID="Instrument:0">
    <Objective ID="Objective:0" LensNA="0.8" NominalMagnification="20" Immersion="Air"/>
    <Objective ID="Objective:1" LensNA="1.2" NominalMagnification="63" Immersion="Water"/>
  </Instrument>
  <Image ID="Image:0">
    <ObjectiveSettings ID="Objective:1" {settings}/>
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="4" SizeY="4" SizeZ="1"
            SizeC="2" SizeT="1">
      <Channel ID="Channel:0:0" EmissionWavelength="520" ExcitationWavelength="488"
               AcquisitionMode="LaserScanningConfocalMicroscopy" PinholeSize="50"/>
      <Channel ID="Channel:0:1" EmissionWavelength="0.6" EmissionWavelengthUnit="µm"
               ExcitationWavelength="nan" AcquisitionMode="Other"/>
    </Pixels>
  </Image>
</OME>"""


def test_optics_from_ome():
    optics = optics_from_ome(OME.format(settings=""))
    assert optics == pytest.approx(
        {"na": 1.2, "n_immersion": 1.333, "wavelength": 0.52, "excitation": 0.488,
         "modality": "confocal", "pinhole_radius": 25 / 63}
    )  # fmt: skip
    with pytest.warns(match="undersampled"):
        make_psf("vectorial", shape=(5, 33, 33), spacing=0.1, engine="cpu", **optics)
    second = optics_from_ome(OME.format(settings='RefractiveIndex="1.34"'), channel=1)
    assert second == {"na": 1.2, "n_immersion": 1.34, "wavelength": 0.6}
    oil = optics_from_ome(OME.format(settings='Medium="Oil"'))
    assert oil["n_immersion"] == 1.515


def test_an_impossible_pinhole_is_left_out():
    xml = OME.format(settings="").replace('PinholeSize="50"', 'PinholeSize="5000"')
    assert "pinhole_radius" not in optics_from_ome(xml)


def test_little_or_nothing_in_ome():
    assert optics_from_ome("<OME/>") == {}
    assert optics_from_ome("<OME><Image><Pixels/></Image></OME>") == {}
    lone = '<OME><Instrument><Objective LensNA="0.5"/></Instrument><Image/></OME>'
    assert optics_from_ome(lone) == {"na": 0.5}
    with pytest.raises(DeconvError, match="cannot be read"):
        optics_from_ome("<OME>")
    with pytest.raises(DeconvError, match="has no channel 2: it has 2"):
        optics_from_ome(OME.format(settings=""), channel=2)


def test_optics_from_a_file(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((4, 4), np.uint8))
    assert optics_from_file(tmp_path / "plain.tif") == {}
    xml = OME.format(settings="").encode()
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((2, 4, 4), np.uint16), description=xml,
                     metadata=None)  # fmt: skip
    assert optics_from_file(tmp_path / "a.ome.tif")["na"] == 1.2
    (tmp_path / "bad.tif").write_bytes(b"no image")
    with pytest.raises(DeconvError, match=r"bad\.tif cannot be read"):
        optics_from_file(tmp_path / "bad.tif")
