"""The vectorial model: its exact widths, its limits, and the mean over real dipoles."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from benchmarks.pupil_integrals import intensity
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.special import roots_legendre

from napari_deconv.psf.synthetic.optics import GibsonLanni, Vectorial
from optics_cases import dipole

# Without a cover slip: glass as the immersion medium.
OBJECTIVES = {
    "oil": {"na": 1.4},
    "water": {"na": 1.2, "n_immersion": 1.33, "n_glass": 1.33},
    "air": {"na": 0.8, "n_immersion": 1.0, "n_glass": 1.0},
}


def vectorial(**parameters):
    return Vectorial.from_parameters({"wavelength": 0.52} | parameters)


def table(optics, z, r):
    z, r = np.atleast_1d(z), np.atleast_1d(r)
    return optics.pupil((z.min(), z.max()), r.max()).intensity(z, r)


def full_width(x, line):
    """Twice the distance from 0 at which a line falls to half of its value there."""
    return 2 * CubicSpline(x, line / line[0]).solve(0.5, extrapolate=False)[0]


@pytest.mark.parametrize(
    ("name", "lateral", "axial"),
    [("oil", 209.6, 507.2), ("water", 242.8, 623.8), ("air", 355.0, 1163.2)],
)
def test_full_widths_at_half_maximum(name, lateral, axial):
    optics = vectorial(**OBJECTIVES[name])
    r, z = np.linspace(0, 0.4, 401), np.linspace(0, 1.2, 401)
    assert 1000 * full_width(r, table(optics, 0.0, r)[0]) == pytest.approx(lateral, abs=0.06)
    assert 1000 * full_width(z, table(optics, z, 0.0)[:, 0]) == pytest.approx(axial, abs=0.06)


def test_first_minimum_is_no_zero():
    r = np.linspace(0, 0.4, 401)
    line = CubicSpline(r, table(vectorial(**OBJECTIVES["oil"]), 0.0, r)[0])
    minimum = next(x for x in line.derivative().roots(extrapolate=False) if x > 0.1)
    assert minimum * 1.4 / 0.52 == pytest.approx(0.71, abs=0.005)
    assert line(minimum) / line(0) == pytest.approx(0.019, abs=0.0005)


def test_a_low_aperture_makes_it_scalar():
    parameters = {"na": 0.1, "wavelength": 0.52, "n_immersion": 1.0, "n_glass": 1.0}
    z, r = np.linspace(-60, 60, 9), np.linspace(0, 8, 50)
    scalar, vector = (
        table(model.from_parameters(parameters), z, r) for model in (GibsonLanni, Vectorial)
    )
    np.testing.assert_allclose(vector / vector.max(), scalar / scalar.max(), atol=1e-3)


def test_every_plane_has_the_light_of_the_pupil():
    """Of the exact rings, not of pixels: what is missing lies outside of 60 µm."""
    optics = vectorial(na=0.8, n_immersion=1.0, n_sample=1.33, depth=5.0)
    nodes, weights = roots_legendre(2000)
    r = 30 * (nodes + 1)
    rings = table(optics, np.linspace(2, 8, 4), r) @ (30 * weights * 2 * math.pi * r)
    np.testing.assert_allclose(rings / optics.pupil((2, 8), 60).plane_integral(), 1, atol=3e-3)


def test_corrected_optics_are_symmetric_in_z():
    optics = vectorial(na=1.4, depth=3.0)
    assert optics.best_focus() == 3.0
    z, r = 3 + np.linspace(-2, 2, 9), np.linspace(0, 2, 20)
    values = table(optics, z, r)
    np.testing.assert_array_equal(values, values[::-1])
    shifted = table(vectorial(na=1.4), z - 3, r)
    np.testing.assert_allclose(values, shifted, atol=1e-12 * values.max())


@pytest.mark.parametrize("n_sample", [1.515, 1.45])
def test_it_is_the_mean_over_three_dipoles(n_sample):
    optics = vectorial(na=1.4, n_sample=n_sample)
    points = [(0.0, 0.0, 0.0), (0.15, 0.0, 0.0), (0.1, 0.2, 0.4), (-0.3, 0.4, -0.7)]
    mean = np.array(
        [sum(dipole(axis, x, y, z, optics) for axis in np.eye(3)) for x, y, z in points]
    )
    values = np.array([table(optics, z, math.hypot(x, y)).item() for x, y, z in points])
    np.testing.assert_allclose(values / values[0], mean / mean[0], atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    model=st.sampled_from([GibsonLanni, Vectorial]),
    n_immersion=st.floats(1.0, 1.6),
    part=st.floats(0.05, 0.99),
    n_sample=st.floats(1.0, 1.6),
    n_glass=st.floats(1.001, 1.2),
    depth=st.floats(0.0, 30.0),
    thicker=st.floats(-20.0, 20.0),
    seed=st.integers(0, 99),
)
def test_any_optics_against_adaptive_quadrature(
    model, n_immersion, part, n_sample, n_glass, depth, thicker, seed
):
    """The nodes of the pupil, wherever critical angles lie: here without any table or pixel."""
    na = part * n_immersion
    optics = model.from_parameters(
        {
            "na": na, "wavelength": 0.52, "n_immersion": n_immersion, "n_sample": n_sample,
            "n_glass": max(n_glass * na, 1.0), "depth": depth, "glass_thickness": 170 + thicker,
            "glass_thickness_design": 170,
        }
    )  # fmt: skip
    focus, rng = optics.best_focus(), np.random.default_rng(seed)
    z = focus + np.append(0, rng.uniform(-5, 5, 4))
    r = np.append(0, rng.uniform(0, 5, 4))
    name = "vectorial" if model is Vectorial else "gibson_lanni"
    exact = intensity(name, z, r, asdict(optics))
    values = np.diag(table(optics, z, r))
    np.testing.assert_allclose(values / values[0], exact / exact[0], atol=1e-8)
