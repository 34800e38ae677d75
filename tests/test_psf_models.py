"""Synthetic PSFs against closed forms, adaptive quadrature and another program's result."""

from __future__ import annotations

import json
import math
import tracemalloc

import numpy as np
import pytest
import tifffile
from benchmarks.pupil_integrals import intensity, pixel_mean
from scipy.interpolate import CubicSpline

from napari_deconv.psf.synthetic.models import make_psf
from optics_cases import OIL, OPTICS

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")
ENGINES = ("cpu", "opencl")
MODELS = ("born_wolf", "gibson_lanni", "vectorial")


def axial_line(model, spacing, planes, **optics):
    """Intensity on the axis, 1 at its peak, with z in µm."""
    psf = make_psf(
        model, shape=(planes, 1, 1), spacing=(spacing, 0.01, 0.01), pixel_integration=False,
        centre="paraxial", engine="cpu", **optics,
    )  # fmt: skip
    line = psf.data[:, 0, 0].astype(float)
    return (np.arange(planes) - planes // 2) * spacing, line / line.max()


def half_width(x, line):
    """Distance of the half-maximum points on both sides of the peak."""
    roots = CubicSpline(x, line / line.max()).solve(0.5, extrapolate=False)
    return roots[roots > 0].min() - roots[roots < 0].max()


# -- exact statements ----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("model", ["born_wolf", "gibson_lanni"])
@pytest.mark.parametrize(("na", "n"), [(0.3, 1.0), (0.95, 1.0), (1.4, 1.515)])
def test_focus_is_an_airy_pattern(model, na, n, engine):
    step = 0.52 / na / 50
    psf = make_psf(
        model, shape=(1, 121), spacing=(step, step), na=na, wavelength=0.52, n_immersion=n,
        pixel_integration=False, engine=engine,
    )  # fmt: skip
    x = (np.arange(121) - 60) * step * na / 0.52
    line = psf.data[0].astype(float)
    assert half_width(x, line) == pytest.approx(0.51450, abs=2e-5)
    spline = CubicSpline(x, line)
    zero = min(spline.derivative().roots(extrapolate=False), key=lambda r: abs(r - 0.6))
    assert zero == pytest.approx(0.60984, abs=2e-4)
    assert spline(zero) < 1e-6 * line.max()


@quiet
@pytest.mark.parametrize(("na", "n"), [(0.8, 1.0), (1.4, 1.515)])
def test_born_wolf_axis_is_a_squared_sinc(na, n):
    z, line = axial_line(
        "born_wolf", 0.52 * n / na**2 / 20, 161, na=na, wavelength=0.52, n_immersion=n
    )
    np.testing.assert_allclose(line, np.sinc(na**2 * z / (2 * n * 0.52)) ** 2, atol=1e-6)
    assert half_width(z, line) == pytest.approx(1.7718 * n * 0.52 / na**2, rel=1e-4)


@quiet
@pytest.mark.parametrize(("na", "n"), [(0.8, 1.0), (1.2, 1.33), (1.4, 1.515)])
def test_gibson_lanni_axis_is_exact(na, n):
    z, line = axial_line("gibson_lanni", 0.03, 201, na=na, wavelength=0.52, n_immersion=n)
    z[100] = 1e-4  # the closed form is 0/0 at the focus
    phase = 1j * 2 * math.pi / 0.52 * z

    def antiderivative(u):
        return np.exp(phase * u) * (u / phase - 1 / phase**2)

    exact = 4 * np.abs(antiderivative(n) - antiderivative(math.sqrt(n**2 - na**2))) ** 2 / na**4
    np.testing.assert_allclose(line, exact, atol=2e-6)


@quiet
@pytest.mark.parametrize("model", MODELS)
def test_every_plane_that_holds_its_cone_has_the_same_light(model):
    optics = {"na": 0.8, "wavelength": 0.5, "n_immersion": 1.0}
    psf = make_psf(model, shape=(7, 301, 301), spacing=(0.5, 0.15, 0.15), engine="cpu", **optics)
    light = psf.data.sum(axis=(1, 2), dtype=float)
    np.testing.assert_allclose(light, light[3], rtol=4e-3)


@quiet
@pytest.mark.parametrize("model", MODELS)
def test_lateral_cut_off(model):
    psf = make_psf(
        model, shape=(401, 401), spacing=0.08, na=1.4, wavelength=0.56, pixel_integration=False,
        engine="cpu",
    )  # fmt: skip
    window = np.hanning(403)[1:-1]
    otf = np.abs(np.fft.rfft(psf.data.sum(axis=0) * window))
    frequency = np.fft.rfftfreq(401, 0.08)
    cut_off = 2 * 1.4 / 0.56
    assert otf[frequency > 1.03 * cut_off].max() < 1e-4 * otf[0]
    assert otf[frequency < 0.9 * cut_off].min() > 1e-3 * otf[0]


@quiet
@pytest.mark.parametrize("model", ["gibson_lanni", "vectorial"])
def test_axial_cut_off_and_missing_cone(model):
    _, line = axial_line(model, 0.1, 401, **OIL)
    spectrum = np.abs(np.fft.rfft(line * np.hanning(403)[1:-1]))
    frequency = np.fft.rfftfreq(401, 0.1)
    cut_off = (1.515 - math.sqrt(1.515**2 - 1.4**2)) / 0.52
    assert spectrum[frequency > 1.05 * cut_off].max() < 1e-4 * spectrum.max()
    assert spectrum[frequency < 0.9 * cut_off].min() > 1e-2 * spectrum.max()
    psf = make_psf(model, shape=(21, 801, 801), spacing=(0.15, 0.12, 0.12), na=0.8,
                   wavelength=0.5, n_immersion=1.0, engine="cpu")  # fmt: skip
    planes = psf.data.sum(axis=(1, 2), dtype=float)
    along_z = np.abs(np.fft.rfft(planes))
    assert along_z[1:].max() < 2e-3 * along_z[0]


@quiet
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [24, 25])
def test_x_y_and_the_diagonal_are_alike(model, size):
    optics = OIL | ({} if model == "born_wolf" else {"n_sample": 1.33, "depth": 5.0})
    psf = make_psf(model, shape=(7, size, size), spacing=(0.2, 0.08, 0.08), engine="cpu", **optics)
    plane = psf.data[:, -(size - 1 + size % 2) :, -(size - 1 + size % 2) :]
    for other in (plane[:, ::-1], plane[:, :, ::-1], plane.transpose(0, 2, 1)):
        np.testing.assert_array_equal(plane, other)
    # 5-12-13: off the axes and the diagonal, at the radius of a pixel on the axis
    point = make_psf(
        model, shape=(27, 27), spacing=0.04, pixel_integration=False, engine="cpu", **optics
    )
    assert point.data[13 + 5, 13 + 12] == pytest.approx(point.data[13, 0], rel=1e-5, abs=1e-9)


@quiet
def test_pixels_need_not_be_square():
    flat = make_psf(
        "gibson_lanni", shape=(5, 40, 61), spacing=(0.2, 0.09, 0.06), engine="cpu", **OIL
    )
    tall = make_psf(
        "gibson_lanni", shape=(5, 61, 40), spacing=(0.2, 0.06, 0.09), engine="cpu", **OIL
    )
    np.testing.assert_allclose(flat.data, tall.data.transpose(0, 2, 1), rtol=1e-4, atol=1e-9)


# -- aberrations ---------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("model", ["gibson_lanni", "vectorial"])
@pytest.mark.parametrize(
    ("optics", "planes"),
    [
        ({"na": 1.2, "n_immersion": 1.33, "n_sample": 1.38}, -2),
        ({"na": 1.4, "n_immersion": 1.515, "n_sample": 1.33}, 4),
    ],
)
def test_depth_moves_the_best_focus(model, optics, planes):
    optics = optics | {"wavelength": 0.52, "depth": 10.0}
    frame = {"shape": (41, 15, 15), "spacing": (0.2, 0.08, 0.08), "engine": "cpu"}
    paraxial = make_psf(model, centre="paraxial", **frame, **optics)
    best = make_psf(model, **frame, **optics)
    assert np.argmax(paraxial.data[:, 7, 7]) - 20 == planes
    assert np.argmax(best.data[:, 7, 7]) == 20
    assert best.metadata["focal_shift"] / 0.2 == pytest.approx(planes, abs=0.5)
    assert paraxial.metadata["focal_shift"] == best.metadata["focal_shift"]


@quiet
def test_centre_none_starts_at_the_cover_slip():
    frame = {"shape": (41, 9, 9), "spacing": (0.2, 0.08, 0.08), "engine": "cpu"}
    optics = OIL | {"depth": 2.0}
    slip = make_psf("gibson_lanni", centre="none", **frame, **optics)
    assert np.argmax(slip.data[:, 4, 4]) - 20 == 10


@quiet
def test_best_focus_is_the_largest_intensity():
    z, line = axial_line(
        "gibson_lanni", 0.005, 1001, **OPTICS["oil into water, above the critical angle"]
    )
    psf = make_psf("gibson_lanni", shape=(1, 1), spacing=0.01, engine="cpu",
                   **OPTICS["oil into water, above the critical angle"])  # fmt: skip
    assert psf.metadata["focal_shift"] == pytest.approx(z[np.argmax(line)], abs=0.003)


# -- brute force ---------------------------------------------------------------------------------


def voxels(psf, count, seed=7):
    """Random voxels, counted from the middle, within half of the window."""
    rng = np.random.default_rng(seed)
    half = [n // 2 for n in psf.shape]
    return np.stack(
        [rng.integers(-n, n + 1, count) for n in (half[0] - 1, half[1] // 2, half[2] // 2)]
    )


@quiet
@pytest.mark.parametrize("name", OPTICS)
@pytest.mark.parametrize("model", ["gibson_lanni", "vectorial"])
def test_voxels_against_adaptive_quadrature(model, name, engine):
    optics = OPTICS[name]
    step, pixel = 0.2, 0.08 * 1.4 / optics["na"]
    psf = make_psf(
        model, shape=(33, 41, 40), spacing=(step, pixel, pixel), pixel_integration=False,
        engine=engine, **optics,
    )  # fmt: skip
    focus = psf.metadata["depth"] + psf.metadata["focal_shift"]
    z, y, x = voxels(psf, 12)
    values = psf.data[16 + z, 20 + y, 20 + x] / psf.data[16, 20, 20]
    exact = intensity(model, focus + z * step, np.hypot(y, x) * pixel, psf.metadata)
    exact /= intensity(model, focus, 0.0, psf.metadata)
    np.testing.assert_allclose(values, exact, atol=3e-6)


@quiet
@pytest.mark.parametrize("name", OPTICS)
@pytest.mark.parametrize("model", ["gibson_lanni", "vectorial"])
def test_pixels_against_adaptive_quadrature(model, name):
    """Pixels of the Nyquist step; 7×7 points a pixel are exact to single precision."""
    optics = OPTICS[name]
    step, pixel = 0.2, 0.52 / (4 * optics["na"])
    psf = make_psf(model, shape=(17, 21, 20), spacing=(step, pixel, pixel), **optics)
    focus = psf.metadata["depth"] + psf.metadata["focal_shift"]
    z, y, x = np.concatenate([np.zeros((3, 1), int), voxels(psf, 8)], axis=1)
    exact = pixel_mean(model, focus + z * step, y * pixel, x * pixel, pixel, psf.metadata, 7)
    values = psf.data[8 + z, 10 + y, 10 + x]
    np.testing.assert_allclose(values / values[0], exact / exact[0], atol=2e-6)


@quiet
def test_born_wolf_against_adaptive_quadrature(engine):
    psf = make_psf("born_wolf", shape=(21, 31, 31), spacing=(0.2, 0.08, 0.08),
                   pixel_integration=False, engine=engine, **OIL)  # fmt: skip
    z, y, x = voxels(psf, 12)
    values = psf.data[10 + z, 15 + y, 15 + x] / psf.data[10, 15, 15]
    exact = intensity("born_wolf", z * 0.2, np.hypot(y, x) * 0.08, psf.metadata)
    exact /= intensity("born_wolf", 0.0, 0.0, psf.metadata)
    np.testing.assert_allclose(values, exact, atol=3e-6)


@quiet
@pytest.mark.parametrize("name", OPTICS)
@pytest.mark.parametrize("model", ["gibson_lanni", "vectorial"])
def test_both_engines_agree(model, name):
    frame = {"shape": (17, 40, 41), "spacing": (0.2, 0.09, 0.09)}
    cpu, opencl = (
        make_psf(model, engine=engine, **frame, **OPTICS[name]).data for engine in ENGINES
    )
    np.testing.assert_allclose(cpu, opencl, atol=1e-6 * cpu.max())


@quiet
@pytest.mark.parametrize("pixel", [0.05, 0.09, 0.25])
def test_pixel_integration_against_supersampling(pixel):
    frame = {"engine": "cpu", **OPTICS["oil into water, above the critical angle"]}
    integrated = make_psf("gibson_lanni", shape=(3, 13, 13), spacing=(0.3, pixel, pixel), **frame)

    def binned(factor):
        fine = make_psf(
            "gibson_lanni", shape=(3, 13 * factor, 13 * factor), pixel_integration=False,
            spacing=(0.3, pixel / factor, pixel / factor), **frame,
        )  # fmt: skip
        return fine.data.astype(float).reshape(3, 13, factor, 13, factor).sum(axis=(2, 4))

    # midpoint sums err by h²: two of them give the limit
    coarse, fine = binned(9), binned(27)
    limit = fine + (fine - coarse) / 8
    np.testing.assert_allclose(integrated.data, limit, atol=2e-5 * limit.max())
    np.testing.assert_allclose(integrated.data, coarse, atol=0.02 * limit.max())


@quiet
def test_a_large_psf_takes_little_more_than_its_own_memory():
    tracemalloc.start()
    psf = make_psf(
        "vectorial", shape=(128, 256, 256), spacing=(0.2, 0.09, 0.09), engine="cpu", **OIL
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * psf.data.nbytes


@quiet
def test_psfgenerator(data_dir):
    """PSFGenerator's own kernel: centre between voxels, pupil up to the critical angle."""
    kernel = tifffile.imread(data_dir / "psf/psfgenerator_gibsonlanni_kern3d1.tif").astype(float)
    optics = json.loads((data_dir / "expected.json").read_text())["kern3d1"]
    fine = make_psf(
        "gibson_lanni", shape=(17, 65, 65), spacing=(0.125, 0.05, 0.05), pixel_integration=False,
        na=min(optics["NA"], optics["ns"]), wavelength=optics["lambda_nm"] / 1000,
        n_immersion=optics["ni"], n_sample=optics["ns"], engine="cpu",
    ).data.astype(float)  # fmt: skip
    z, y = 8 + 2 * np.arange(8) - 7, 32 + 2 * np.arange(16) - 15
    exact = fine[np.ix_(z, y, y)]
    np.testing.assert_allclose(exact / exact.max(), kernel / kernel.max(), atol=0.02)
    # it samples the radial profile at half pixels and interpolates linearly
    radius = 2 * np.hypot(*(np.mgrid[:16, :16] - 7.5))
    linear = np.stack([np.interp(radius, np.arange(33), line) for line in fine[z, 32, 32:]])
    np.testing.assert_allclose(linear / linear.max(), kernel / kernel.max(), atol=4e-6)
