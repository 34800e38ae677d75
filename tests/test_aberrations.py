"""Zernike aberrations against plain sums over plane waves, and what each is known to do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import roots_legendre

from napari_deconv import DeconvError
from napari_deconv.engines import get_engine
from napari_deconv.psf.synthetic import aberrations, radial
from napari_deconv.psf.synthetic.optics import BornWolf, GibsonLanni, Vectorial
from optics_cases import dipole

MODELS = [GibsonLanni, Vectorial]
PIXEL = 0.08


def optics_of(model, **parameters):
    return model.from_parameters({"na": 1.4, "wavelength": 0.52} | parameters)


def volume(optics, zernike, shape=(9, 33, 33), spacing=(0.2, PIXEL, PIXEL), engine="cpu"):
    z = (np.arange(shape[0]) - shape[0] // 2) * spacing[0]
    step = optics.wavelength / (32 * optics.na)
    radii = radial.table_radii(shape[1:], spacing[1:], step)
    harmonics = aberrations.harmonics(optics, zernike, z, radii)
    return radial.expand_harmonics(
        harmonics, step, shape[1:], spacing[1:], 3, get_engine(engine)
    ).astype(float)


def at_point(harmonics, psi):
    return float(sum((table[0, 0] * np.exp(1j * m * psi)).real for m, table in harmonics.items()))


# -- polynomials ---------------------------------------------------------------------------------


def test_polynomials_are_orthonormal_over_the_disk():
    nodes, weights = roots_legendre(20)
    rho, weight = (nodes[:, np.newaxis] + 1) / 2, weights[:, np.newaxis] / 2
    phi = 2 * np.pi * np.arange(40) / 40
    z = np.stack([aberrations.zernike_polynomial(j, rho, phi) for j in range(36)])
    # The mean over the disk: (1/π)·∫∫ ρ dρ dφ.
    gram = np.einsum("aij,bij,i->ab", z, z, (2 * rho * weight)[:, 0]) / phi.size
    np.testing.assert_allclose(gram, np.eye(36), atol=1e-12)


def test_polynomials_are_in_the_order_of_the_osa():
    rho, phi = np.linspace(0, 1, 7)[:, np.newaxis], np.linspace(0, 6, 9)
    expected = {
        0: 1 + 0 * rho * phi,
        1: 2 * rho * np.sin(phi),
        2: 2 * rho * np.cos(phi),
        3: math.sqrt(6) * rho**2 * np.sin(2 * phi),
        4: math.sqrt(3) * (2 * rho**2 - 1) + 0 * phi,
        5: math.sqrt(6) * rho**2 * np.cos(2 * phi),
        7: math.sqrt(8) * (3 * rho**3 - 2 * rho) * np.sin(phi),
        8: math.sqrt(8) * (3 * rho**3 - 2 * rho) * np.cos(phi),
        9: math.sqrt(8) * rho**3 * np.cos(3 * phi),
        12: math.sqrt(5) * (6 * rho**4 - 6 * rho**2 + 1) + 0 * phi,
    }
    for index, values in expected.items():
        computed = aberrations.zernike_polynomial(index, rho, phi)
        np.testing.assert_allclose(computed, values, atol=1e-12)


# -- plain sums over plane waves -----------------------------------------------------------------

POINTS = [(0.0, 0.0, 0.0), (0.15, 0.0, 0.0), (0.1, 0.2, 0.4), (-0.3, 0.4, -0.7), (0.2, -0.5, 0.2)]
STRONG = {2: 0.03, 3: -0.04, 4: 0.02, 7: 0.05, 9: 0.03, 12: -0.04}


@pytest.mark.parametrize("zernike", [{}, {8: 0.05}, STRONG])
@pytest.mark.parametrize("n_sample", [1.515, 1.45])
def test_vectorial_against_three_dipoles(zernike, n_sample):
    optics = optics_of(Vectorial, n_sample=n_sample)

    def error(rho, phi):
        return aberrations.wavefront(zernike, rho, phi)

    mean = np.array(
        [sum(dipole(axis, x, y, z, optics, error) for axis in np.eye(3)) for x, y, z in POINTS]
    )
    values = np.array(
        [
            at_point(
                aberrations.harmonics(optics, zernike, [z], [math.hypot(x, y)]), math.atan2(y, x)
            )
            for x, y, z in POINTS
        ]
    )
    np.testing.assert_allclose(values / values.max(), mean / mean.max(), atol=1e-6)


def test_scalar_against_plane_waves_beyond_the_critical_angle():
    """Evanescent waves of a source just below the cover slip, summed on Cartesian angles."""
    optics = optics_of(GibsonLanni, n_sample=1.33, depth=0.3)
    zernike = {5: 0.03, 7: 0.04, 12: 0.02}
    k = 2 * math.pi / 0.52
    nodes, weights = roots_legendre(400)
    t = (nodes + 1) / 2
    rows = []
    # s from 0 to the critical angle and on to the rim, each without its square-root singularity
    for low, high in ((0.0, 1.33), (1.33, 1.4)):
        s = low + (high - low) * (3 - 2 * t) * t**2
        rows.append((s, weights / 2 * (high - low) * 6 * t * (1 - t) * s))
    s, weight = (np.concatenate(parts)[:, np.newaxis] for parts in zip(*rows, strict=True))
    phi = 2 * np.pi * np.arange(256) / 256
    q, q_s = np.sqrt(1.515**2 - s**2), np.emath.sqrt(1.33**2 - s**2)
    layers = 0.3 * (q_s - 1.515 / 1.33 * q)
    error = aberrations.wavefront(zernike, s / 1.4, phi)

    def plain(x, y, z):
        path = layers + error - (z - 0.3) * q - s * (x * np.cos(phi) + y * np.sin(phi))
        return abs(np.sum(weight * np.exp(1j * k * path)) / phi.size) ** 2

    exact = np.array([plain(*point) for point in POINTS])
    values = np.array(
        [
            at_point(
                aberrations.harmonics(optics, zernike, [z], [math.hypot(x, y)]), math.atan2(y, x)
            )
            for x, y, z in POINTS
        ]
    )
    np.testing.assert_allclose(values, exact, atol=1e-6 * exact.max())


@pytest.mark.parametrize("model", [BornWolf, *MODELS])
def test_without_aberrations_it_is_the_symmetric_path(model, engine):
    parameters = {} if model is BornWolf else {"n_sample": 1.38, "depth": 4.0}
    optics = optics_of(model, **parameters)
    plane, pixels, step = (30, 33), (PIXEL, PIXEL), 0.52 / (32 * 1.4)
    z, radii = np.linspace(-1, 1, 5), radial.table_radii(plane, pixels, step)
    pupil = optics.pupil((-1, 1), radii[-1])
    plain = radial.expand(pupil.intensity(z, radii), step, plane, pixels, 3, engine)
    for zernike in ({}, {0: 0.3}, {12: 0.0}):
        harmonics = aberrations.harmonics(optics, zernike, z, radii)
        values = radial.expand_harmonics(harmonics, step, plane, pixels, 3, engine)
        np.testing.assert_allclose(values, plain, atol=1e-6 * plain.max())


# -- what each is known to do --------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("index", "axis"), [(1, 1), (2, 2)])
def test_tilt_moves_every_plane_as_much(model, index, axis):
    """W = 2c·s/NA is a shift by 2c/NA; here that is three pixels."""
    optics = optics_of(model, n_sample=1.4, depth=2.0)
    still = volume(optics, {})
    moved = volume(optics, {index: 3 * PIXEL * 1.4 / 2})
    expected = np.roll(still, 3, axis)
    inside = (slice(None), slice(3, None), slice(3, None))
    np.testing.assert_allclose(moved[inside], expected[inside], atol=2e-6 * still.max())


@pytest.mark.parametrize("model", MODELS)
def test_defocus_moves_the_focus_of_a_low_aperture(model):
    na, c = 0.2, 0.05
    optics = optics_of(model, na=na, n_immersion=1.0, n_glass=1.0)
    z = np.linspace(-20, 20, 401)
    line = aberrations.harmonics(optics, {4: c}, z, [0.0])[0].real[:, 0]
    half = z[line > line.max() / 2]
    assert (half[0] + half[-1]) / 2 == pytest.approx(-4 * math.sqrt(3) * c / na**2, rel=0.02)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("index", [3, 5])
def test_astigmatism_turned_by_90_degrees_is_flipped_in_z(model, index):
    values = volume(optics_of(model), {index: 0.06})
    turned = np.rot90(values, axes=(1, 2))[::-1]
    np.testing.assert_allclose(values, turned, atol=2e-6 * values.max())
    assert np.abs(values - values[::-1]).max() > 0.1 * values.max()


@pytest.mark.parametrize("model", MODELS)
def test_coma_is_symmetric_across_its_axis(model):
    along_x, along_y = (volume(optics_of(model), {index: 0.06}) for index in (8, 7))
    np.testing.assert_allclose(along_x, along_x[:, ::-1], atol=1e-6 * along_x.max())
    np.testing.assert_allclose(along_x, along_x[::-1], atol=2e-6 * along_x.max())
    np.testing.assert_allclose(along_x, along_y.transpose(0, 2, 1), atol=2e-6 * along_x.max())
    assert np.abs(along_x - along_x[:, :, ::-1]).max() > 0.1 * along_x.max()


@pytest.mark.parametrize("model", MODELS)
def test_spherical_aberration_is_round_and_not_symmetric_in_z(model):
    optics = optics_of(model)
    assert list(aberrations.harmonics(optics, {12: 0.06}, [-0.4, 0.4], [0.0, 0.3])) == [0]
    values = volume(optics, {12: 0.06})
    assert np.abs(values - values[::-1]).max() > 0.1 * values.max()


@pytest.mark.parametrize("index", [3, 4, 7, 9, 12, 24])
@pytest.mark.parametrize("waves", [0.02, 0.05])
def test_strehl_ratio(index, waves):
    """exp(−(2πσ)²) for a pupil as bright everywhere, to the third order of the variance."""
    optics = BornWolf.from_parameters({"na": 0.5, "wavelength": 0.52, "n_immersion": 1.0})
    ideal, aberrated = (
        aberrations.harmonics(optics, zernike, [0.0], [0.0])[0][0, 0].real
        for zernike in ({}, {index: waves * 0.52})
    )
    variance = (2 * math.pi * waves) ** 2
    assert aberrated / ideal == pytest.approx(math.exp(-variance), abs=variance**2 / 2)


def test_planes_keep_their_light():
    optics = optics_of(Vectorial, na=0.8, n_immersion=1.0)
    values = volume(optics, {7: 0.05, 5: 0.04}, (3, 201, 201), (0.5, 0.12, 0.12))
    light = values.sum(axis=(1, 2)) * 0.12**2
    np.testing.assert_allclose(light / optics.pupil((-1, 1), 1).plane_integral(), 1, atol=0.01)


def test_engines_agree():
    optics = optics_of(Vectorial, n_sample=1.33, depth=2.0)
    cpu, opencl = (volume(optics, STRONG, engine=engine) for engine in ("cpu", "opencl"))
    np.testing.assert_allclose(cpu, opencl, atol=1e-6 * cpu.max())


# -- what users give -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zernike",
    [{-1: 0.1}, {231: 0.1}, {1.5: 0.1}, {"coma": 0.1}, {4: math.nan}, {4: "much"}, {4: None}],
)
def test_impossible_terms_are_refused(zernike):
    with pytest.raises(DeconvError, match="expected OSA/ANSI indices"):
        aberrations.check_zernike(zernike, 0.52)


def test_coefficients_in_nanometres_are_refused():
    with pytest.raises(DeconvError, match=r"50 µm rms .* expected 3 or less"):
        aberrations.check_zernike({12: 50}, 0.52)


def test_terms_become_plain_numbers():
    assert aberrations.check_zernike({np.int64(4): np.float32(0.5)}, 0.52) == {4: 0.5}
    assert aberrations.check_zernike({}, 0.52) == {}
