"""PSFs of a motion, and PSFs written as a formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf import make_psf

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")

# -- motion --------------------------------------------------------------------------------------


def test_a_motion_along_x_fills_whole_and_half_voxels():
    psf = make_psf("motion", shape=(3, 7), spacing=0.1, length=0.4)
    row = np.array([0, 0.5, 1, 1, 1, 0.5, 0]) / 4
    np.testing.assert_allclose(psf.data, [0 * row, row, 0 * row], atol=1e-7)
    assert psf.metadata["angle"] == [0.0, 0.0]
    down = make_psf("motion", shape=(7, 3), spacing=0.1, length=0.4, angle=90)
    np.testing.assert_allclose(down.data, psf.data.T, atol=1e-7)
    deep = make_psf("motion", shape=(7, 1, 1), spacing=0.1, length=0.4, angle=(30, 90))
    np.testing.assert_allclose(deep.data[:, 0, 0], row, atol=1e-7)


@quiet
@settings(deadline=None, max_examples=50)
@given(
    shape=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    spacing=st.floats(0.05, 0.2),
    length=st.floats(0.01, 3),
    angle=st.floats(-360, 360),
    elevation=st.floats(-90, 90),
)
def test_a_motion_is_a_dense_row_of_points(shape, spacing, length, angle, elevation):
    elevation = elevation if len(shape) == 3 else 0.0
    psf = make_psf("motion", shape=shape, spacing=spacing, length=length, angle=(angle, elevation))
    t = (np.arange(200_000) + 0.5) / 200_000 - 0.5
    phi, theta = math.radians(angle), math.radians(elevation)
    direction = [math.sin(theta), math.cos(theta) * math.sin(phi), math.cos(theta) * math.cos(phi)]
    voxels = [
        np.rint(n // 2 + t * length * part / spacing).astype(int)
        for n, part in zip(shape, direction[-len(shape) :], strict=True)
    ]
    inside = np.all([(v >= 0) & (v < n) for v, n in zip(voxels, shape, strict=True)], axis=0)
    counted = np.zeros(shape)
    np.add.at(counted, tuple(v[inside] for v in voxels), 1)
    np.testing.assert_allclose(psf.data, counted / counted.sum(), atol=1e-4)


def test_a_cut_path_is_said():
    with pytest.warns(DeconvWarning, match="only 50% of the motion") as caught:
        make_psf("motion", shape=(5, 5), spacing=0.1, length=1.0)
    assert [warning.filename for warning in caught] == [__file__]


# -- formula -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 15, 14), (15, 14)])
def test_the_formula_of_a_gaussian(shape):
    spacing = (0.2, 0.05, 0.06)[-len(shape) :]
    formula = "2**(-(x**2+y**2)/(a/2)**2) * 2**(-(z/(b/2))**2)"
    written = make_psf("formula", shape=shape, spacing=spacing, formula=formula,
                       parameters={"a": 0.3, "b": 0.9}, pixel_integration=False)  # fmt: skip
    fwhm = (0.9, 0.3, 0.3)[-len(shape) :]
    gaussian = make_psf("gaussian", shape=shape, spacing=spacing, fwhm=fwhm,
                        pixel_integration=False)  # fmt: skip
    np.testing.assert_allclose(written.data, gaussian.data, rtol=2e-6, atol=1e-12)
    assert written.metadata["parameters"] == {"a": 0.3, "b": 0.9}
    whole = make_psf("formula", shape=shape, spacing=spacing, formula=formula,
                     parameters={"a": 0.3, "b": 0.9})  # fmt: skip
    integral = make_psf("gaussian", shape=shape, spacing=spacing, fwhm=fwhm)
    np.testing.assert_allclose(whole.data, integral.data, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("1", lambda z, y, x: 1 + 0 * x * y * z),
        ("(x**2 + y**2 < 0.04) * 2", lambda z, y, x: 2.0 * (x**2 + y**2 < 0.04) + 0 * z),
        ("where(hypot(x, y) < 0.2, 1 + 0*z, exp(-z**2))",
         lambda z, y, x: np.where(np.hypot(x, y) < 0.2, 1 + 0 * z, np.exp(-(z**2)))),
        ("max(1 - abs(x)/0.3, 0) * cos(y)**2 / cosh(z)",
         lambda z, y, x: np.maximum(1 - np.abs(x) / 0.3, 0) * np.cos(y) ** 2 / np.cosh(z)),
        ("(j1(8*hypot(x,y) + 1e-9)/(8*hypot(x,y) + 1e-9))**2 + 0*z",
         lambda z, y, x: (scipy.special.j1(8 * np.hypot(x, y) + 1e-9)
                          / (8 * np.hypot(x, y) + 1e-9)) ** 2 + 0 * z),
        (" 1 + sin(pi*x)*tanh(y)*erf(z)%e ",
         lambda z, y, x: 1 + np.mod(np.sin(np.pi * x) * np.tanh(y) * scipy.special.erf(z), np.e)),
        ("-1/-(1 + +x**2) + sqrt(4) - log(e) + tan(0) + atan2(0, 1) + min(y, 9) + 0.3",
         lambda z, y, x: 1 / (1 + x**2) + 1.3 + y + 0 * z),
    ],
)  # fmt: skip
def test_formulas(formula, expected):
    psf = make_psf("formula", shape=(4, 5, 6), spacing=(0.3, 0.1, 0.1), formula=formula,
                   pixel_integration=False)  # fmt: skip
    grid = np.ix_((np.arange(4) - 2) * 0.3, (np.arange(5) - 2) * 0.1, (np.arange(6) - 3) * 0.1)
    values = np.broadcast_to(expected(*grid), (4, 5, 6))
    np.testing.assert_allclose(psf.data, values / values.sum(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("", "cannot be read"),
        ("2*(x", r"cannot be read, character 3, at “\(x”"),
        ("x +", r"cannot be read.*at its end"),
        ("exp(-q*x**2)", r"“q”, character 6, is not known"),
        ("(x^2)", r"“x\^2”, character 2, is not understood\. Write \*\* for powers"),
        ("gauss(x)", "is no function: there are sqrt"),
        ("sqrt(x, y)", "has 2 arguments: sqrt takes 1"),
        ("x.real", "is not understood"),
        ("(lambda: 1)()", "is not understood"),
        ("__import__('os').getcwd()", "is not understood"),
        ("[x for x in (1, 2)]", "is not understood"),
        ("'x'", "is not understood"),
        ("x if y else z", "is not understood"),
        ("0 < x < 1", "is not understood"),
        ("1j", "is not understood"),
        ("exp", "is not known"),
        ("1/abs(x)", "gives inf at .*x=0, y=.* no finite number"),
        ("log(x)", "no finite number"),
        ("9**9**9**9", "no finite number"),
        ("1e400", "gives inf"),
        ("1" + "0" * 400, "is too large a number"),
        ("-1", "gives -1 at .* negative"),
        ("cos(20*x)", "negative"),
        ("0*x", "is 0 everywhere"),
        ("x" * 1001, "has 1001 characters"),
        ("(" * 300 + "x" + ")" * 300, "cannot be read|nested too deeply"),
        ("-" * 999 + "x", "cannot be read|nested too deeply"),
        ("x\0", "cannot be read"),
    ],
)
def test_what_is_no_formula(formula, message):
    with pytest.raises(DeconvError, match=message):
        make_psf("formula", shape=(5, 5), spacing=0.1, formula=formula, pixel_integration=False)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="xyzab0129.+-*/%()<>= ,jeqprstuminhao'[]{}:;!&|^~@", max_size=40))
def test_any_text_gives_a_psf_or_an_error(formula):
    try:
        psf = make_psf("formula", shape=(3, 4), spacing=0.1, formula=formula)
    except DeconvError:
        return
    assert np.isfinite(psf.data).all()
    assert psf.data.min() >= 0
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "motion"}, "length is missing"),
        ({"model": "motion", "length": 0}, "no motion"),
        ({"model": "motion", "length": math.nan}, "length=nan"),
        ({"model": "motion", "length": 1, "angle": "up"}, "degrees in the plane"),
        ({"model": "motion", "length": 1, "angle": (1, 2, 3)}, "or two numbers"),
        ({"model": "motion", "length": 1, "angle": 1e4}, "from -360 to 360"),
        ({"model": "motion", "length": 1, "angle": (0, 30)}, "leaves the plane"),
        ({"model": "motion", "length": 1, "pixel_integration": False}, "line without width"),
        ({"model": "motion", "length": 1, "fwhm": 1}, "has no fwhm: it takes length, angle"),
        ({"model": "motion", "length": 1, "modality": "confocal"}, "knows no optics"),
        ({"model": "gaussian", "fwhm": 1, "centre": "paraxial"}, "knows no optics"),
        ({"model": "gaussian", "fwhm": 1, "flip_z": True}, "knows no optics"),
        ({"model": "formula"}, "expected a text"),
        ({"model": "formula", "formula": "a", "parameters": [1]}, "expected names and numbers"),
        ({"model": "formula", "formula": "a", "parameters": {"a": "b"}}, "finite number"),
        ({"model": "formula", "formula": "1", "parameters": {"a": 1}}, "has no a"),
        ({"model": "formula", "formula": "x", "parameters": {"x": 1}}, "has a meaning already"),
    ],
)  # fmt: skip
def test_impossible_parameters(parameters, message):
    with pytest.raises(DeconvError, match=message):
        make_psf(shape=(9, 9), spacing=0.1, **parameters)
