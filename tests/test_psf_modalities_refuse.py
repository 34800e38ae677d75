"""What a microscope's PSF is refused for: its memory, impossible optics, whatever comes."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError, DeviceError
from napari_deconv.psf import make_psf
from napari_deconv.psf.synthetic.modalities import MODALITIES
from optics_cases import NEEDED, OIL

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")


# -- memory --------------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("shape", [(64, 128, 128), (4, 300, 300), (500, 10, 11)])
@pytest.mark.parametrize(
    "optics",
    [
        *({"modality": modality, **needed} for modality, needed in NEEDED.items()),
        {"modality": "confocal", "excitation": 0.488, "pinhole": 20},
        {"zernike": {12: 0.05, 8: 0.03}},
    ],
    ids=lambda optics: "-".join(map(str, optics.values())),
)
def test_the_memory_asked_for_is_about_what_is_used(shape, optics, monkeypatch):
    asked = []
    monkeypatch.setattr(
        type(get_engine("cpu")), "require", lambda self, nbytes, *_: asked.append(nbytes)
    )
    tracemalloc.start()
    make_psf("vectorial", shape=shape, spacing=(0.1, 0.04, 0.04), engine="cpu", **OIL, **optics)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.75 * peak < max(asked) < 3 * peak


@quiet
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_psf_beyond_the_memory_is_refused_at_once(modality):
    optics = {**OIL, **NEEDED[modality], "modality": modality, "engine": "cpu"}
    with pytest.raises(DeviceError, match=r"needs .* of memory"):
        make_psf("vectorial", shape=(9, 1, 10**7), spacing=0.1, **optics)


# -- what is impossible --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"modality": "tirf"}, "spinning_disk"),
        ({"n_immersion": 1e6}, "no medium refracts"),
        ({"n_sample": 1.33, "depth": 5000}, "rays meet the axis all over"),
        ({"modality": "confocal"}, r"excitation is missing: .*excitation=0\.488"),
        ({"modality": "two_photon"}, r"excitation is missing: .*excitation=0\.8"),
        ({"modality": "two_photon", "excitation": 800}, r"nanometres: .*excitation=0\.8"),
        ({"modality": "confocal", "excitation": 488}, r"nanometres: .*excitation=0\.488"),
        ({"modality": "confocal", "excitation": -1}, "0 or more"),
        ({"modality": "confocal", "excitation": 1e-4}, "no wavelength"),
        ({"modality": "confocal", "excitation": "blue"}, "expected a number"),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": -1}, "0 or more"),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": math.nan}, "pinhole=nan"),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": 150}, "math.inf"),
        ({"modality": "confocal", "excitation": 0.488, "pinhole_radius": 50}, "100 Airy units"),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": 1, "pinhole_radius": 0.2},
         "give one"),
        ({"modality": "confocal", "excitation": 0.488, "depletion": 0.6}, "has no depletion"),
        ({"pinhole": 1}, "modality='widefield' has no pinhole"),
        ({"modality": "spinning_disk", "excitation": 0.488, "pinhole_distance": 0.1},
         "less than a pinhole's diameter"),
        ({"modality": "spinning_disk", "excitation": 0.488, "pinhole_distance": 99},
         "modality='confocal'"),
        ({"modality": "spinning_disk", "excitation": 0.488, "pinhole": math.inf}, "inf µm"),
        ({"modality": "light_sheet", "excitation": 0.488}, "illumination_na is missing"),
        ({"modality": "light_sheet", "excitation": 0.488, "illumination_na": 1.6}, "no aperture"),
        ({"modality": "light_sheet", "excitation": 0.488, "illumination_na": 0.1,
          "sheet": "bessel"}, "'scanned'"),
        ({"modality": "light_sheet", "excitation": 0.488, "illumination_na": 0.1, "depth": 100,
          "centre": "none"}, "No light reaches the window"),
        ({"modality": "sted", "excitation": 0.488}, "depletion is missing"),
        ({"modality": "sted", "excitation": 0.488, "depletion": 592}, r"depletion=0\.592"),
        ({"modality": "sted", "excitation": 0.488, "depletion": 0.592, "saturation": -1},
         "0 to 10000"),
        ({"modality": "confocal", "excitation": 0.488, "zernike": {12: 0.05}},
         "widefield microscopes only"),
        ({"zernike": [0.1]}, "OSA/ANSI"),
        ({"zernike": {"x": 0.1}}, "OSA/ANSI"),
    ],
)  # fmt: skip
def test_impossible_parameters(parameters, message):
    frame = {"shape": (9, 9, 9), "spacing": 0.04, "engine": "cpu"}
    with pytest.raises(DeconvError, match=message):
        make_psf("gibson_lanni", **frame, **OIL, **parameters)


# -- whatever comes ------------------------------------------------------------------------------

number = st.one_of(st.floats(1e-3, 3), st.sampled_from([0.0, -1.0, math.inf, math.nan, 1e6, 1e-9]))
maybe = st.one_of(st.none(), number)


@quiet
@settings(deadline=None, max_examples=80)
@given(
    model=st.sampled_from(["born_wolf", "gibson_lanni", "vectorial"]),
    modality=st.sampled_from(list(MODALITIES)),
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    spacing=st.floats(0.01, 1),
    centre=st.sampled_from(["best_focus", "paraxial", "none"]),
    na=st.floats(0.05, 1.6),
    wavelength=st.floats(0.3, 1.2),
    depth=st.floats(0, 50),
    n_sample=st.one_of(st.none(), st.floats(1, 1.6)),
    own=st.fixed_dictionaries(
        {},
        optional={
            "excitation": number, "pinhole": number, "pinhole_radius": maybe,
            "pinhole_distance": maybe, "illumination_na": number, "depletion": number,
            "saturation": number, "n_immersion": maybe, "flip_z": st.booleans(),
            "zernike": st.dictionaries(st.integers(-1, 20), st.floats(-0.2, 0.2), max_size=2),
        },
    ),
)  # fmt: skip
def test_any_parameters_give_a_psf_or_an_error(model, modality, shape, spacing, own, **parameters):
    kept = {} if model == "born_wolf" else parameters
    kept = kept | {name: parameters[name] for name in ("na", "wavelength", "centre")}
    known = {*NEEDED[modality], "n_immersion", "flip_z"}
    if modality in ("confocal", "sted", "spinning_disk"):
        known |= {"pinhole", "pinhole_radius", "saturation", "pinhole_distance"}
    own = {
        name: value for name, value in own.items() if name in known or value == own.get("zernike")
    }
    try:
        psf = make_psf(model, shape=shape, spacing=spacing, modality=modality, engine="cpu",
                       **(NEEDED[modality] | own | kept))  # fmt: skip
    except DeconvError:
        return
    assert psf.data.dtype == np.float32
    assert psf.data.shape == tuple(shape)
    assert np.isfinite(psf.data).all()
    assert psf.data.min() >= 0
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-5)
