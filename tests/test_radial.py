"""From tables of radius and angle to voxels, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from napari_deconv.psf.synthetic import radial
from napari_deconv.psf.synthetic.bessel import bessel


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.floats(0, 1e3), st.integers(0, 99))
def test_bessel_functions_of_all_orders(orders, largest, seed):
    x = np.append(largest * np.random.default_rng(seed).random(40), [0.0, largest])
    values = np.stack(list(bessel(orders, x)))
    exact = scipy.special.jv(np.arange(orders)[:, np.newaxis], x)
    np.testing.assert_allclose(values, exact, atol=1e-13)


def shifted_bell(y, x, sigma, radii):
    """Harmonics of exp(−|(x, y) − (x₀, y₀)|²/2σ²), by the series of exp(a·cosψ)."""
    distance, angle = math.hypot(y, x), math.atan2(y, x)
    decay = np.exp(-((radii - distance) ** 2) / (2 * sigma**2))
    return {
        m: (decay * scipy.special.ive(m, radii * distance / sigma**2))[np.newaxis]
        * np.exp(-1j * m * angle)
        * (2 if m else 1)
        for m in range(30)
    }


def integrals(shape, spacing, centre, sigma):
    """Mean of that bell over each pixel."""
    lines = []
    for n, size, at in zip(shape, spacing, centre, strict=True):
        edges = (np.arange(n + 1) - n // 2 - 0.5) * size - at
        primitive = sigma * math.sqrt(math.pi / 2) * erf(edges / (sigma * math.sqrt(2)))
        lines.append(np.diff(primitive) / size)
    return np.multiply.outer(*lines)


@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.31, 0.0), (0.0, -0.2), (-0.21, 0.13)])
@pytest.mark.parametrize(("shape", "spacing"), [((21, 24), (0.1, 0.1)), ((16, 31), (0.13, 0.09))])
def test_a_bell_off_the_axis(shape, spacing, centre, engine):
    sigma, step = 0.25, 0.01
    radii = radial.table_radii(shape, spacing, step)
    harmonics = shifted_bell(*centre, sigma, radii)
    values = radial.expand_harmonics(harmonics, step, shape, spacing, 3, engine)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[0], integrals(shape, spacing, centre, sigma), atol=2e-6)


@pytest.mark.parametrize("points", [1, 3])
def test_a_bell_on_the_axis_is_the_same_either_way(points, engine):
    shape, spacing, step = (20, 23), (0.1, 0.1), 0.01
    radii = radial.table_radii(shape, spacing, step)
    table = shifted_bell(0, 0, 0.25, radii)[0]
    plain = radial.expand(table.real, step, shape, spacing, points, engine)
    turned = radial.expand_harmonics({0: table}, step, shape, spacing, points, engine)
    np.testing.assert_allclose(plain, turned, atol=3e-7)
