"""Confocal, spinning disk, two-photon, light sheet and STED against closed forms and plain sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.integrate import quad
from scipy.interpolate import CubicSpline

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.psf import make_psf, nyquist_step
from napari_deconv.psf.synthetic.modalities import MODALITIES, make_modality
from napari_deconv.psf.synthetic.modalities.disc import disc_mean
from napari_deconv.psf.synthetic.optics import BornWolf, GibsonLanni, Vectorial
from optics_cases import NEEDED, OIL

quiet = pytest.mark.filterwarnings("ignore::napari_deconv.errors.DeconvWarning")

FRAME = {"shape": (15, 31, 30), "spacing": (0.1, 0.03, 0.04), "engine": "cpu"}


def vectorial(wavelength, z, r, na=1.4, n=1.515):
    """Intensity of a matched vectorial system by one plain sum over θ, (z, r)."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    alpha = math.asin(na / n)
    theta = alpha * (nodes + 1) / 2
    sine, cosine = np.sin(theta), np.cos(theta)
    k = 2 * math.pi * n / wavelength
    waves = np.exp(1j * k * np.outer(z, cosine)) * (np.sqrt(cosine) * sine * weights)
    argument = k * np.outer(sine, r)
    parts = [
        (waves * factor) @ scipy.special.jv(order, argument)
        for order, factor in ((0, 1 + cosine), (1, math.sqrt(2) * sine), (2, 1 - cosine))
    ]
    return sum(np.abs(part) ** 2 for part in parts)


def through_pinhole(wavelength, z, r, radius):
    """Mean of `vectorial` over a disc around each radius: polar quadrature, (z, r)."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    rho = radius * np.sqrt((nodes + 1) / 2)
    phi = (np.arange(80) + 0.5) * math.pi / 80
    offset = np.outer(rho, np.cos(phi))
    means = []
    for radial in np.atleast_1d(r):
        distance = np.sqrt(radial**2 + rho[:, None] ** 2 + 2 * radial * offset)
        values = vectorial(wavelength, z, distance.ravel()).reshape(len(z), *distance.shape)
        means.append(values.mean(axis=2) @ weights / 2)
    return np.stack(means, axis=1)


def width(x, line):
    roots = CubicSpline(x, line / line.max()).solve(0.5, extrapolate=False)
    return roots[roots > 0].min() - roots[roots < 0].max()


def widths(**parameters):
    """FWHM in the plane and along the axis, nm, of a vectorial PSF."""
    line = {"pixel_integration": False, "engine": "cpu", **parameters}
    x = (np.arange(81) - 40) * 0.005
    lateral = make_psf("vectorial", shape=(1, 81), spacing=0.005, **line).data[0]
    z = (np.arange(121) - 60) * 0.01
    axial = make_psf("vectorial", shape=(121, 1, 1), spacing=0.01, **line).data[:, 0, 0]
    return 1000 * width(x, lateral), 1000 * width(z, axial)


# -- what theory says ----------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize(
    ("parameters", "lateral", "axial"),
    [
        ({"modality": "confocal", "excitation": 0.488, "pinhole": 0}, 144.9, 352.8),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": 0.5}, 156.1, 357.9),
        ({"modality": "confocal", "excitation": 0.488}, 187.1, 388.6),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": 2}, 196.3, 448.1),
        ({"modality": "confocal", "excitation": 0.488, "pinhole": math.inf}, 196.7, 476.2),
        ({"modality": "two_photon", "excitation": 0.8}, 230.5, 560.6),
        ({}, 209.6, 507.2),
    ],
)
def test_widths(parameters, lateral, axial):
    assert widths(**OIL, **parameters) == pytest.approx((lateral, axial), rel=1e-3)


@quiet
@pytest.mark.parametrize("pinhole", [0.0, 0.3, 1.5])
def test_confocal_against_plain_sums(pinhole):
    psf = make_psf("vectorial", shape=(9, 21, 21), spacing=(0.12, 0.04, 0.04), modality="confocal",
                   excitation=0.488, pinhole=pinhole, engine="cpu", **OIL)  # fmt: skip
    z, x = (np.arange(9) - 4) * 0.12, np.arange(0, 11, 5) * 0.04
    radius = pinhole * 0.61 * 0.52 / 1.4
    detected = through_pinhole(0.52, z, x, radius) if pinhole else vectorial(0.52, z, x)
    exact = vectorial(0.488, z, x) * detected
    np.testing.assert_allclose(
        psf.data[:, 10, 10::5] / psf.data[4, 10, 10], exact / exact[4, 0], atol=2e-5
    )
    assert psf.metadata["pinhole_radius"] == pytest.approx(radius)


@quiet
def test_a_closed_pinhole_and_none():
    frame = {**FRAME, "pixel_integration": False}
    excited, detected = (
        make_psf("gibson_lanni", na=1.4, wavelength=wavelength, **frame).data
        for wavelength in (0.488, 0.52)
    )
    confocal = {"modality": "confocal", "excitation": 0.488, **frame, **OIL}
    for pinhole, expected in ((0.0, excited * detected), (1e-4, excited * detected),
                              (math.inf, excited)):  # fmt: skip
        psf = make_psf("gibson_lanni", pinhole=pinhole, **confocal).data
        np.testing.assert_allclose(
            psf / psf.max(), expected / expected.max(), atol=5e-6, err_msg=str(pinhole)
        )
    wide = make_psf("gibson_lanni", pinhole=100, **confocal).data
    np.testing.assert_allclose(wide / wide.max(), excited / excited.max(), atol=0.01)


@quiet
def test_a_pinhole_in_micrometres():
    frame = {"modality": "confocal", "excitation": 0.488, **FRAME, **OIL}
    airy = make_psf("gibson_lanni", pinhole=1.5, **frame)
    radius = make_psf("gibson_lanni", pinhole_radius=1.5 * 0.61 * 0.52 / 1.4, **frame)
    np.testing.assert_allclose(airy.data, radius.data, rtol=1e-5)
    assert radius.metadata["pinhole"] == pytest.approx(1.5)


@pytest.mark.parametrize("radius", [1e-9, 0.01, 0.3, 1.0, 4.0])
def test_disc_means_of_a_gaussian(radius):
    """Light of a Gaussian inside a disc beside it is a non-central χ² distribution."""
    sigma, step, count = 0.25, 0.02, 150
    r = step * np.arange(count + math.ceil(radius / step) + 8)
    table = np.exp(-((r / sigma) ** 2) / 2)[np.newaxis]
    means = disc_mean(table, step, radius, count, 6 / (2 * math.pi * sigma))[0]
    inside = scipy.stats.ncx2.cdf((radius / sigma) ** 2, 2, (r[:count] / sigma) ** 2)
    expected = table[0, :count] if radius < 1e-6 else 2 * (sigma / radius) ** 2 * inside
    np.testing.assert_allclose(means, expected, atol=5e-6 * expected[0])


@quiet
def test_two_photons_square_the_excitation():
    frame = {**FRAME, "pixel_integration": False}
    one = make_psf("vectorial", na=1.4, wavelength=0.8, **frame).data
    two = make_psf("vectorial", na=1.4, modality="two_photon", excitation=0.8, **frame).data
    np.testing.assert_allclose(two / two.max(), (one / one.max()) ** 2, atol=5e-6)


@quiet
@pytest.mark.parametrize("sheet", ["gaussian", "scanned"])
def test_the_light_sheet_weighs_the_planes(sheet):
    optics = {"na": 0.8, "n_immersion": 1.33, "glass_thickness": 0, "n_glass": 1.33,
              "wavelength": 0.52}  # fmt: skip
    frame = {"shape": (15, 31, 31), "spacing": (0.4, 0.15, 0.15), "engine": "cpu", **optics}
    wide = make_psf("gibson_lanni", **frame).data
    lit = make_psf("gibson_lanni", modality="light_sheet", excitation=0.488,
                   illumination_na=0.15, sheet=sheet, **frame).data  # fmt: skip
    z = (np.arange(15) - 7) * 0.4
    if sheet == "gaussian":
        waist = 0.488 / (math.pi * 0.15)
        expected = np.exp(-2 * z**2 / waist**2)
    else:
        k = 2 * math.pi / 0.488 * 0.15

        def airy(y, z):
            v = k * math.hypot(y, z)
            return (2 * scipy.special.j1(v) / v) ** 2 if v else 1.0

        line = [quad(airy, 0, 60, args=(plane,), limit=500)[0] for plane in z]
        expected = np.array(line) / line[7]
    ratio = lit[:, 15, 15] / wide[:, 15, 15]
    np.testing.assert_allclose(ratio / ratio[7], expected, atol=3e-4)


@quiet
def test_a_spinning_disk_lets_light_of_its_neighbours_through():
    optics = {**OIL, "excitation": 0.488, "pinhole": 0.8}
    modality = make_modality("spinning_disk", "vectorial", Vectorial, optics)
    step, count = 0.01, 30
    z = np.array([0.0, 0.5, 1.5, 4.0])
    table = modality.table(z, step, count)
    emission = modality.optics.pupil((0.0, 4.0), 1.0)
    detected = emission.intensity(z, step * np.arange(count)) / emission.plane_integral()
    light = table / detected

    # The same by summing over a hexagonal pattern in 24 orientations.
    exciting = modality.exciting.pupil((0.0, 4.0), 30.0)
    radii = step * np.arange(3000)
    beam = exciting.intensity(z, radii) / exciting.plane_integral()
    cut_off, radius = 2 * 1.4 / 0.488, modality.pinhole_radius
    for length in (2900, 2800):
        beam = disc_mean(beam, step, radius, length, cut_off)
    i, j = np.meshgrid(np.arange(-16, 17), np.arange(-16, 17))
    lattice = 2.5 * ((i + j / 2) + 1j * math.sqrt(3) / 2 * j).ravel()
    for place in (0, 15, 29):
        turned = np.multiply.outer(np.exp(2j * math.pi * np.arange(24) / 144), lattice)
        distance = np.abs(place * step + turned)
        inside = distance < 27
        sums = [
            np.interp(distance, step * np.arange(2800), plane)[inside].sum() / 24 for plane in beam
        ]
        np.testing.assert_allclose(light[:3, place], sums[:3], rtol=0.02, atol=0.006 * light[0, 0])
    # Far from the focus the crosstalk is all there is.
    area = math.sqrt(3) / 2 * 2.5**2
    assert light[3, 0] * area == pytest.approx(1, rel=0.2)


@quiet
def test_distant_pinholes_see_nothing_of_each_other():
    optics = {**OIL, "excitation": 0.488, "pinhole": 0.0}
    frame = {**FRAME, "pixel_integration": False}
    disk = make_psf("gibson_lanni", modality="spinning_disk", pinhole_distance=20, **frame,
                    **optics).data  # fmt: skip
    confocal = make_psf("gibson_lanni", modality="confocal", **frame, **optics).data
    np.testing.assert_allclose(disk / disk.max(), confocal / confocal.max(), atol=2e-4)


@quiet
@pytest.mark.parametrize("model", ["born_wolf", "gibson_lanni", "vectorial"])
def test_sted_leaves_the_axis_and_narrows_the_spot(model):
    optics = {"na": 1.4, "wavelength": 0.67, "excitation": 0.64, "pixel_integration": False,
              "engine": "cpu"}  # fmt: skip
    frame = {"shape": (9, 1, 161), "spacing": (0.1, 0.004, 0.004), **optics}
    confocal = make_psf(model, modality="confocal", **frame).data[:, 0]
    x = (np.arange(161) - 80) * 0.004
    for saturation in (0.0, 5.0, 30.0):
        sted = make_psf(model, modality="sted", depletion=0.775, saturation=saturation,
                        **frame).data[:, 0]  # fmt: skip
        np.testing.assert_allclose(
            sted[:, 80] / sted[4, 80], confocal[:, 80] / confocal[4, 80], rtol=1e-4
        )
        if saturation:
            narrower = width(x, confocal[4]) / width(x, sted[4])
            assert narrower == pytest.approx(math.sqrt(1 + saturation), rel=0.07)
        else:
            np.testing.assert_allclose(sted, confocal, rtol=1e-4, atol=1e-9)


@quiet
def test_the_doughnut_of_sted():
    """Scalar and paraxial it is |∫₀¹ J₁(k·NA·r·ρ)·ρ dρ|² in focus."""
    optics = {"na": 1.0, "wavelength": 0.67, "excitation": 0.64, "pixel_integration": False,
              "engine": "cpu", "shape": (1, 101), "spacing": 0.02}  # fmt: skip
    confocal = make_psf("born_wolf", modality="confocal", **optics).data[0]
    sted = make_psf("born_wolf", modality="sted", depletion=0.775, saturation=3, **optics).data[0]
    k = 2 * math.pi / 0.775
    radii = np.arange(51) * 0.02
    doughnut = np.array(
        [quad(lambda p, r=r: scipy.special.j1(k * r * p) * p, 0, 1)[0] ** 2 for r in radii]
    )
    fine = [quad(lambda p, r=r: scipy.special.j1(k * r * p) * p, 0, 1)[0] ** 2
            for r in np.linspace(0.2, 0.5, 301)]  # fmt: skip
    ratio = (sted / confocal)[50:] / (sted / confocal)[50]
    bright = confocal[50:] > 1e-4 * confocal.max()
    expected = np.exp(-3 * doughnut / max(fine))
    np.testing.assert_allclose(ratio[bright], expected[bright], atol=2e-3)


# -- what all have in common ---------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("modality", MODALITIES)
def test_engines_agree(modality, engine):
    optics = {**OIL, **NEEDED[modality]}
    there = make_psf("vectorial", modality=modality, **(FRAME | {"engine": engine}), **optics)
    here = make_psf("vectorial", modality=modality, **FRAME, **optics)
    np.testing.assert_allclose(there.data, here.data, atol=1e-5 * here.data.max())


@quiet
@pytest.mark.parametrize("modality", MODALITIES)
def test_the_brightest_plane_is_in_the_middle(modality):
    optics = {**OIL, **NEEDED[modality], "n_sample": 1.33, "depth": 4}
    frame = {"shape": (41, 5, 5), "spacing": (0.05, 0.04, 0.04), "engine": "cpu"}
    best = make_psf("gibson_lanni", modality=modality, **frame, **optics)
    assert np.argmax(best.data[:, 2, 2]) == 20
    shift = best.metadata["focal_shift"]
    assert 0.2 < shift < 0.8
    paraxial = make_psf("gibson_lanni", modality=modality, centre="paraxial", **frame, **optics)
    assert np.argmax(paraxial.data[:, 2, 2]) - 20 == pytest.approx(shift / 0.05, abs=0.6)
    flipped = make_psf("gibson_lanni", modality=modality, flip_z=True, **frame, **optics)
    np.testing.assert_array_equal(flipped.data, best.data[::-1])
    assert flipped.metadata["flip_z"] is True


@quiet
def test_pixels_integrate_where_a_camera_sees():
    frame = {"shape": (9, 9), "spacing": 0.05, "engine": "cpu", **OIL}
    seen = {
        modality: make_psf("gibson_lanni", modality=modality, **frame, **NEEDED[modality]).metadata[
            "pixel_integration"
        ]
        for modality in MODALITIES
    }
    cameras = {"widefield", "spinning_disk", "light_sheet"}
    assert seen == {modality: modality in cameras for modality in MODALITIES}
    psf = make_psf("gibson_lanni", modality="confocal", excitation=0.488, pixel_integration=True,
                   **frame)  # fmt: skip
    assert psf.metadata["pixel_integration"] is True


# -- sampling ------------------------------------------------------------------------------------


def test_nyquist_steps():
    axial, lateral = 1.515 - math.sqrt(1.515**2 - 1.4**2), 2 * 1.4
    both = 1 / 0.488 + 1 / 0.52

    def step(z, x):
        return pytest.approx((1 / (2 * z), 1 / (2 * x), 1 / (2 * x)), rel=1e-12)

    assert nyquist_step(**OIL) == step(axial / 0.52, lateral / 0.52)
    confocal = {"modality": "confocal", "excitation": 0.488, **OIL}
    assert nyquist_step(pinhole=0, **confocal) == step(axial * both, lateral * both)
    assert nyquist_step(pinhole=math.inf, **confocal) == step(axial / 0.488, lateral / 0.488)
    # An Airy unit passes half of what the objective resolves.
    half = 1 / 0.488 + 1 / 2 / 0.52
    assert nyquist_step(**confocal) == step(axial * half, lateral * half)
    two = nyquist_step(na=1.4, modality="two_photon", excitation=0.8)
    assert two == step(2 * axial / 0.8, 2 * lateral / 0.8)
    sheet = nyquist_step(modality="light_sheet", excitation=0.488, illumination_na=0.2, **OIL)
    assert sheet == step(axial / 0.52 + 0.4 / 0.488, lateral / 0.52)
    sted = nyquist_step(modality="sted", excitation=0.488, depletion=0.592, saturation=15,
                        pinhole=0, **OIL)  # fmt: skip
    assert sted == step(axial * both, 4 * lateral * both)
    with pytest.raises(DeconvError, match="has no depletion"):
        nyquist_step(depletion=0.592, **OIL)


@pytest.mark.parametrize("modality", MODALITIES)
def test_undersampling_is_said_of_each_modality(modality):
    optics = {**OIL, **NEEDED[modality]}
    _, step, _ = nyquist_step(modality=modality, **optics)
    frame = {"shape": (129, 129), "engine": "cpu", "modality": modality, **optics}
    make_psf("gibson_lanni", spacing=step, **frame)
    with pytest.warns(DeconvWarning, match="undersampled") as caught:
        make_psf("gibson_lanni", spacing=1.02 * step, **frame)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("modality", ["confocal", "two_photon", "spinning_disk", "sted"])
def test_a_narrow_window_is_said(modality):
    optics = {**OIL, **NEEDED[modality], "modality": modality}
    z, step, _ = nyquist_step(**optics)
    optics["engine"] = "cpu"
    with pytest.warns(DeconvWarning, match="window cuts off the cone") as caught:
        make_psf("gibson_lanni", shape=(9, 13, 13), spacing=(z, step, step), **optics)
    assert [warning.filename for warning in caught] == [__file__]
    # The dim planes of a sectioning microscope may lose what they have.
    make_psf("gibson_lanni", shape=(9, 129, 129), spacing=(z, step, step), **optics)


# -- models ---------------------------------------------------------------------------------------


def test_zernike_terms_are_those_of_the_model():
    frame = {"shape": (11, 41, 41), "spacing": (0.15, 0.08, 0.08), "engine": "cpu", **OIL}
    plain = make_psf("vectorial", **frame)
    for zernike in ({}, {12: 0.0}):
        same = make_psf("vectorial", zernike=zernike, **frame)
        np.testing.assert_allclose(same.data, plain.data, atol=2e-6 * plain.data.max())
    with pytest.warns(DeconvWarning, match="window"):
        spherical = make_psf("vectorial", zernike={12: 0.06}, **frame)
    assert spherical.metadata["zernike"] == {"12": 0.06}
    assert spherical.data.max() < 0.9 * plain.data.max()
    with pytest.warns(DeconvWarning, match="window"):
        flipped = make_psf("vectorial", zernike={12: 0.06}, flip_z=True, **frame)
    np.testing.assert_allclose(flipped.data, spherical.data[::-1], atol=1e-6 * plain.data.max())


def test_born_wolf_takes_modalities_too():
    assert make_modality("two_photon", "born_wolf", BornWolf, {"na": 0.5, "excitation": 0.8})
    with pytest.raises(DeconvError, match="'born_wolf' with modality='confocal' has no depth"):
        make_modality("confocal", "born_wolf", BornWolf, {"depth": 1, **OIL, "excitation": 0.488})
    assert make_modality("widefield", "gibson_lanni", GibsonLanni, OIL)
