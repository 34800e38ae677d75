"""Bell-shaped PSFs, shapes and engines, and what users are told about their parameters."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from napari_deconv.engines import get_engine
from napari_deconv.errors import DeconvError, DeconvWarning, DeviceError
from napari_deconv.psf import Psf, make_psf, nyquist_step

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")

OIL = {"na": 1.4, "wavelength": 0.52}

# -- engines, shapes, bell shapes ------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("shape", [(9, 31, 30), (8, 24, 25), (33, 20)])
@pytest.mark.parametrize("model", ["born_wolf", "gibson_lanni"])
def test_engines_agree(model, shape, engine):
    spacing = (0.2, 0.09, 0.08)[-len(shape) :]
    here = make_psf(model, shape=shape, spacing=spacing, engine=engine, **OIL)
    there = make_psf(model, shape=shape, spacing=spacing, engine="cpu", **OIL)
    np.testing.assert_allclose(here.data, there.data, atol=1e-6 * there.data.max())


@quiet
@settings(deadline=None, max_examples=25)
@given(
    model=st.sampled_from(["gaussian", "lorentzian", "born_wolf", "gibson_lanni"]),
    shape=st.lists(st.integers(1, 24), min_size=2, max_size=3),
    pixel_integration=st.booleans(),
)
def test_any_shape_is_a_centred_psf(model, shape, pixel_integration):
    optics = {"fwhm": 0.25} if model in ("gaussian", "lorentzian") else OIL
    psf = make_psf(
        model,
        shape=shape,
        spacing=0.09,
        pixel_integration=pixel_integration,
        engine="cpu",
        **optics,
    )
    assert psf.shape == tuple(shape)
    assert psf.data.dtype == np.float32
    assert psf.data.min() >= 0
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    assert psf.data[tuple(n // 2 for n in shape)] == psf.data.max()


@quiet
@pytest.mark.parametrize("model", ["born_wolf", "gibson_lanni"])
def test_a_plane_is_the_one_in_focus(model):
    volume = make_psf(model, shape=(9, 31, 31), spacing=(0.2, 0.08, 0.08), engine="cpu", **OIL)
    plane = make_psf(model, shape=(31, 31), spacing=0.08, engine="cpu", **OIL)
    focus = volume.data[4] / volume.data[4].sum()
    np.testing.assert_allclose(plane.data, focus, atol=1e-6 * focus.max())


@pytest.mark.parametrize("shape", [(20, 31, 30), (31, 30)])
def test_gaussian_voxels_are_exact_integrals(shape):
    spacing, fwhm = (0.3, 0.1, 0.12)[-len(shape) :], (0.6, 0.25, 0.2)[-len(shape) :]
    psf = make_psf("gaussian", shape=shape, spacing=spacing, fwhm=fwhm)
    rng = np.random.default_rng(3)
    for _ in range(5):
        index = [int(n // 2 + rng.integers(-3, 4)) for n in shape]
        ratio = math.prod(
            quad(
                lambda x, w=w: 2 ** -((2 * x / w) ** 2),
                (i - n // 2 - 0.5) * s,
                (i - n // 2 + 0.5) * s,
            )[0]
            / quad(lambda x, w=w: 2 ** -((2 * x / w) ** 2), -0.5 * s, 0.5 * s)[0]
            for i, n, s, w in zip(index, shape, spacing, fwhm, strict=True)
        )
        assert psf.data[tuple(index)] / psf.data.max() == pytest.approx(ratio, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("step", [0.05, 0.2])
def test_lorentzian_voxels_are_integrals(step):
    widths = (0.4, 0.2, 0.25)
    psf = make_psf("lorentzian", shape=(5, 7, 6), spacing=step, fwhm=widths)

    def binned(factor):
        axes = [
            (np.arange(n * factor) - n // 2 * factor - (factor - 1) / 2) * step / factor
            for n in (5, 7, 6)
        ]
        values = 1 / (
            1 + sum(np.ix_(*((2 * x / w) ** 2 for x, w in zip(axes, widths, strict=True))))
        )
        return values.reshape(5, factor, 7, factor, 6, factor).sum(axis=(1, 3, 5))

    coarse, fine = (values / values.sum() for values in (binned(7), binned(21)))
    np.testing.assert_allclose(psf.data, fine + (fine - coarse) / 8, rtol=2e-4)


@pytest.mark.parametrize("model", ["gaussian", "lorentzian"])
def test_bell_shapes_have_half_their_peak_at_half_their_width(model):
    psf = make_psf(
        model, shape=(21, 41), spacing=(0.05, 0.05), fwhm=(0.4, 0.8), pixel_integration=False
    )
    values = psf.data / psf.data.max()
    assert values[10 + 4, 20] == pytest.approx(0.5, rel=1e-6)
    assert values[10, 20 - 8] == pytest.approx(0.5, rel=1e-6)


# -- what users are told ---------------------------------------------------------------------------


def test_metadata_hold_model_and_optics():
    psf = make_psf("gaussian", shape=(9, 9), spacing=0.1, fwhm=(0.2, 0.3))
    assert psf.metadata == {"model": "gaussian", "fwhm": [0.2, 0.3], "pixel_integration": True}
    psf = make_psf("gibson_lanni", shape=(61, 61), spacing=0.08, n_sample=1.33, depth=1, **OIL)
    expected = OIL | {
        "model": "gibson_lanni", "modality": "widefield", "pixel_integration": True,
        "centre": "best_focus", "flip_z": False,
        "n_immersion": 1.515, "n_immersion_design": 1.515, "n_sample": 1.33, "n_glass": 1.515,
        "n_glass_design": 1.515, "depth": 1.0, "glass_thickness": 170.0,
        "glass_thickness_design": 170.0, "working_distance": 150.0,
        "focal_shift": psf.metadata["focal_shift"],
        "nyquist_step": list(nyquist_step(**OIL)),
    }  # fmt: skip
    assert psf.metadata == expected
    json.dumps(psf.metadata)


@quiet
@pytest.mark.parametrize(
    "parameters",
    [
        {"model": "gaussian", "fwhm": (0.3, 0.2)},
        {"model": "motion", "length": 0.5, "angle": 30},
        {"model": "formula", "formula": "exp(-a*x**2 - y**2)", "parameters": {"a": 3}},
        {"model": "born_wolf", "flip_z": True, "centre": "none", **OIL},
        {"model": "vectorial", "n_sample": 1.33, "depth": 2, "zernike": {12: 0.1, 7: -0.05}, **OIL},
        {"model": "vectorial", "modality": "confocal", "excitation": 0.488, **OIL},
        {"model": "vectorial", "modality": "confocal", "excitation": 0.488, "pinhole": math.inf,
         **OIL},
        {"model": "vectorial", "modality": "spinning_disk", "excitation": 0.488, **OIL},
        {"model": "vectorial", "modality": "sted", "excitation": 0.6, "depletion": 0.775, **OIL},
    ],
)  # fmt: skip
def test_the_metadata_of_a_file_make_the_same_psf_again(tmp_path, parameters):
    psf = make_psf(shape=(15, 17), spacing=(0.06, 0.07), engine="cpu", **parameters)
    psf.save(tmp_path / "psf.ome.tif")
    found = Psf.load(tmp_path / "psf.ome.tif")
    known = {
        name: value for name, value in found.metadata.items()
        if name not in ("focal_shift", "nyquist_step")
    }  # fmt: skip
    again = make_psf(shape=found.shape, spacing=found.spacing, engine="cpu", **known)
    np.testing.assert_array_equal(again.data, psf.data)
    assert again.metadata == psf.metadata


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "airy"}, "gibson_lanni"),
        ({"centre": "middle"}, "best_focus"),
        ({"shape": 9}, "whole numbers"),
        ({"shape": (9, 9, 9, 9)}, "whole numbers"),
        ({"shape": (9, 0, 9)}, "whole numbers"),
        ({"shape": (9.5, 9, 9)}, "whole numbers"),
        ({"spacing": None}, "spacing is missing"),
        ({"spacing": (0.1, -0.1, 0.1)}, "voxel size"),
        ({"spacing": (0.1, 0.1)}, "3 numbers"),
        ({"spacing": 10**400}, "voxel size"),
        ({"spacing": (200, 80, 80)}, r"spacing=\(200.0, 80.0, 80.0\) is not in µm: .* of 0.278 × "),
        ({"spacing": 8e-8}, "is not in µm"),
        ({"spacing": 1e200}, "is not in µm"),
        ({"flip_z": "no"}, "flip_z='no': expected True or False"),
        ({"pixel_integration": "no"}, "pixel_integration='no': expected True or False"),
        ({"na": 10**400}, "not possible"),
        ({"n_sample": 0.133}, "no medium refracts light as much, or less than 1.0"),
        ({"na": None}, "na is missing"),
        ({"wavelength": None}, "wavelength is missing"),
        ({"na": 0}, "above 0"),
        ({"na": -1.4}, "above 0"),
        ({"na": "big"}, "above 0"),
        ({"wavelength": 0.0}, "above 0"),
        ({"wavelength": math.nan}, "above 0"),
        ({"wavelength": 520}, "wavelength=0.52"),
        ({"na": 1e-6}, "na=1e-06 would make a spot about 5.2e[+]05 µm wide: expected 0.001"),
        ({"na": 1e-6, "model": "born_wolf"}, "expected 0.001 or more"),
        ({"na": 1.515}, "not below n_immersion"),
        ({"na": 1.4, "n_immersion": 1.0}, "not below n_immersion=1"),
        ({"na": 1.45, "n_glass": 1.4}, "not below n_glass"),
        ({"na": 1.45, "n_immersion_design": 1.33}, "not below n_immersion_design"),
        ({"n_sample": -1.33}, "above 0"),
        ({"depth": -1.0}, "0 or more"),
        ({"depth": np.array([0.0, 5.0])}, "0 or more"),
        ({"zernike": np.array([0.0, 0.1])}, "OSA/ANSI indices"),
        ({"centre": np.zeros(2)}, "best_focus"),
        ({"engine": np.zeros(2)}, "is not known"),
        ({"fwhm": 0.2}, "has no fwhm"),
        ({"model": "born_wolf", "depth": 3.0}, "has no depth"),
        ({"model": "born_wolf", "n_sample": 1.33, "n_glass": 1.5}, "has no n_sample, n_glass"),
        ({"model": "gaussian", "fwhm": 0.2}, "has no na, wavelength"),
        ({"model": "gaussian", "na": None, "wavelength": None}, "fwhm=None"),
        ({"model": "gaussian", "na": None, "wavelength": None, "fwhm": (1, 2)}, "3 numbers"),
        ({"model": "lorentzian", "na": None, "wavelength": None, "fwhm": 0}, "above 0"),
        ({"model": "gaussian", "na": None, "wavelength": None, "fwhm": 1e300}, "that is flat"),
        ({"model": "gaussian", "na": None, "wavelength": None, "fwhm": 10**400}, "no width"),
        ({"model": "motion", "na": None, "wavelength": None, "length": 1e300}, "both are in µm"),
        (
            {"model": "motion", "na": None, "wavelength": None, "length": 1, "angle": np.zeros(3)},
            "two numbers",
        ),
    ],
)
def test_impossible_parameters(changes, message):
    parameters = {"model": "gibson_lanni", "shape": (9, 9, 9), "spacing": 0.08, "engine": "cpu"}
    with pytest.raises(DeconvError, match=message):
        make_psf(**(parameters | OIL | changes))


@pytest.mark.parametrize(
    ("model", "shape", "spacing"),
    [
        ("gaussian", (20_000,) * 3, 0.1),
        ("lorentzian", (20_000,) * 3, 0.1),
        ("born_wolf", (20_000,) * 3, 0.1),
        ("gibson_lanni", (1, 1, 10**6), 0.1),
    ],
)
@quiet
def test_a_psf_beyond_the_memory_is_refused_at_once(model, shape, spacing):
    parameters = {"fwhm": 0.3} if model in ("gaussian", "lorentzian") else OIL
    size = " × ".join(map(str, shape))
    with pytest.raises(DeviceError, match=f"A PSF of {size} voxels needs .* of memory"):
        make_psf(model, shape=shape, spacing=spacing, engine="cpu", **parameters)


@quiet
@pytest.mark.parametrize("model", ["gaussian", "lorentzian", "born_wolf", "gibson_lanni"])
@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((64, 128, 128), 0.1),
        ((16, 256, 256), (0.1, 0.1, 0.11)),
        ((4, 400, 400), 0.2),
        ((400, 400), 0.1),
        ((1000, 10, 11), 0.1),
        ((1, 50, 2000), 0.1),
    ],
)
def test_the_memory_asked_for_is_what_is_used(model, shape, spacing, monkeypatch):
    asked = []
    monkeypatch.setattr(
        type(get_engine("cpu")), "require", lambda self, nbytes, *_: asked.append(nbytes)
    )
    parameters = {"fwhm": 0.3} if model in ("gaussian", "lorentzian") else OIL
    tracemalloc.start()
    make_psf(model, shape=shape, spacing=spacing, engine="cpu", **parameters)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.9 * peak < max(asked) < 1.3 * peak


@quiet
@pytest.mark.parametrize("model", ["born_wolf", "gibson_lanni"])
def test_the_smallest_aperture_is_an_airy_pattern(model):
    psf = make_psf(model, shape=(201, 201), spacing=2.0, na=1e-3, wavelength=0.52, engine="cpu")
    assert psf.data[100, 100] == psf.data.max()
    v = 2 * math.pi / 0.52 * 1e-3 * 2.0 * np.arange(1, 101)
    airy = (2 * scipy.special.j1(v) / v) ** 2
    np.testing.assert_allclose(psf.data[100, 101:] / psf.data[100, 100], airy, atol=1e-4)


def test_undersampling_is_said():
    optics = {"na": 1.4, "wavelength": 0.56, "engine": "cpu"}
    with pytest.warns(DeconvWarning, match=r"0.1 × 0.1 µm or smaller"):
        make_psf("born_wolf", shape=(31, 31), spacing=0.101, **optics)
    axial = 0.56 / (2 * (1.515 - math.sqrt(1.515**2 - 1.4**2)))
    frame = {"shape": (3, 61, 61), **optics}
    with pytest.warns(DeconvWarning, match="undersampled"):
        make_psf("gibson_lanni", spacing=(1.01 * axial, 0.1, 0.1), **frame)
    # exactly Nyquist, and a window that holds the light: nothing to say
    make_psf("gibson_lanni", spacing=(axial, 0.1, 0.1), **frame)


@pytest.mark.parametrize("model", ["gaussian", "lorentzian"])
def test_a_window_with_just_the_top_of_a_bell_is_said(model):
    with pytest.warns(DeconvWarning, match="window of 0.9 × 0.9 µm is less than half") as told:
        make_psf(model, shape=(9, 9), spacing=0.1, fwhm=(500, 200))
    assert told[0].filename == __file__
    make_psf(model, shape=(1, 9, 9), spacing=0.1, fwhm=0.9)


def test_cutting_the_cone_is_said():
    frame = {"spacing": (0.2, 0.08, 0.08), "engine": "cpu", **OIL}
    with pytest.warns(
        DeconvWarning, match=r"1\.6 µm from the middle keeps only .* pixels"
    ) as caught:
        make_psf("gibson_lanni", shape=(17, 41, 41), **frame)
    assert [warning.filename for warning in caught] == [__file__]
    width = int(str(caught[0].message).split("about ")[1].split(" ")[0])
    make_psf("gibson_lanni", shape=(17, width, width), **frame)


@pytest.mark.parametrize("model", ["gaussian", "lorentzian"])
def test_a_bell_far_narrower_than_a_voxel_is_refused(model):
    with pytest.raises(DeconvError, match="less than a tenth of a voxel"):
        make_psf(model, shape=(9, 9, 9), spacing=0.1, fwhm=1e-4)
