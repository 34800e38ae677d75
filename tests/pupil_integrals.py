"""The models' integrals over θ as they are printed, by adaptive quadrature, and plain dipoles."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.integrate import quad_vec
from scipy.special import j0, jv, roots_legendre

OIL = {"na": 1.4, "wavelength": 0.52}
OPTICS = {
    "oil": OIL,
    "air": {"na": 0.8, "wavelength": 0.52, "n_immersion": 1.0},
    "oil into water, above the critical angle": OIL | {"n_sample": 1.33, "depth": 10.0},
    "total internal reflection": {
        "na": 1.49, "wavelength": 0.52, "n_immersion": 1.518, "n_sample": 1.33, "depth": 0.3,
    },
    "denser specimen": {
        "na": 1.2, "wavelength": 0.52, "n_immersion": 1.33, "n_sample": 1.38, "depth": 10.0,
    },
    "deep": {
        "na": 1.2, "wavelength": 0.52, "n_immersion": 1.33, "n_sample": 1.36, "depth": 80.0,
    },
    "thick cover slip": OIL | {
        "glass_thickness": 180.0, "glass_thickness_design": 170.0,
        "n_glass": 1.52, "n_glass_design": 1.515,
    },
    "wrong oil": OIL | {"n_immersion": 1.512, "n_immersion_design": 1.518},
}  # fmt: skip


def path_difference(s, z, optics):
    """W of Gibson and Lanni, less its value on the axis, and the cosines times n of each medium."""
    n_i, n_s, n_g = optics["n_immersion"], optics["n_sample"], optics["n_glass"]
    n_i0, n_g0 = optics["n_immersion_design"], optics["n_glass_design"]
    t_g, t_g0 = optics["glass_thickness"], optics["glass_thickness_design"]
    t_i0, z_p = optics["working_distance"], optics["depth"]
    c = z_p * (1 - n_i / n_s) + n_i * (t_g0 / n_g0 + t_i0 / n_i0 - t_g / n_g)
    layers = [(c - z, n_i), (z_p, n_s), (t_g, n_g), (-t_g0, n_g0), (-t_i0, n_i0)]
    return sum(t * (np.emath.sqrt(n**2 - s**2) - n) for t, n in layers)


def _born_wolf(rho, z, r, optics):
    k, na, n = 2 * math.pi / optics["wavelength"], optics["na"], optics["n_immersion"]
    phase = k * na**2 * z * rho**2 / (2 * n)
    return [j0(k * na * r * rho) * np.exp(-1j * phase) * rho]


def _gibson_lanni(theta, z, r, optics):
    k, s = 2 * math.pi / optics["wavelength"], optics["n_immersion"] * math.sin(theta)
    wave = np.exp(1j * k * path_difference(s, z, optics))
    return [j0(k * s * r) * wave * math.sin(theta) * math.cos(theta)]


def _vectorial(theta, z, r, optics):
    """Aguet's three integrands, with the Fresnel coefficients as functions of the angles."""
    k, n_i = 2 * math.pi / optics["wavelength"], optics["n_immersion"]
    n_g, n_s = optics["n_glass"], optics["n_sample"]
    s = n_i * math.sin(theta)
    wave = np.exp(1j * k * path_difference(s, z, optics)) * math.sqrt(math.cos(theta))
    cosines = [np.emath.sqrt(1 - (s / n) ** 2) for n in (n_i, n_g, n_s)]
    t_s = t_p = 1.0
    for (n1, c1), (n2, c2) in pairwise(zip((n_i, n_g, n_s), cosines, strict=True)):
        t_s = t_s * 2 * n1 * c1 / (n1 * c1 + n2 * c2)
        t_p = t_p * 2 * n1 * c1 / (n2 * c1 + n1 * c2)
    cos_s = cosines[2]
    amplitudes = [
        t_s + t_p * cos_s, math.sqrt(2) * t_p * n_i / n_s * math.sin(theta), t_s - t_p * cos_s,
    ]  # fmt: skip
    return [
        amplitude * jv(order, k * s * r) * wave * math.sin(theta)
        for order, amplitude in enumerate(amplitudes)
    ]


def intensity(model, z, r, optics):
    """I at the points (z, r), arrays of the same shape, µm; `optics` as in a PSF's metadata."""
    z, r = np.broadcast_arrays(np.asarray(z, float), np.asarray(r, float))
    if model == "born_wolf":
        integrand, edges = _born_wolf, [0.0, 1.0]
    else:
        integrand = {"gibson_lanni": _gibson_lanni, "vectorial": _vectorial}[model]
        edges = [0.0, math.asin(optics["na"] / optics["n_immersion"])]
        if optics["n_sample"] < optics["na"]:
            edges.insert(1, math.asin(optics["n_sample"] / optics["n_immersion"]))
    total = 0
    for low, high in pairwise(edges):

        def part(t, low=low, high=high):
            # the critical angle is a square-root singularity, which this substitution removes
            at = low + (high - low) * (3 - 2 * t) * t**2
            values = np.stack(integrand(at, z, r, optics)) * 6 * t * (1 - t) * (high - low)
            return np.stack([values.real, values.imag])

        total = total + quad_vec(part, 0, 1, epsabs=1e-10, epsrel=1e-10, norm="max", limit=5000)[0]
    return (total**2).sum(axis=(0, 1))


def dipole(direction, x, y, z, optics, wavefront=lambda rho, phi: 0.0):
    """|E|² of a fixed dipole by the plain sum over plane waves, polarisation by polarisation.

    Without a cover slip, at the interface of immersion medium and specimen.
    """
    k, n_i, n_s = 2 * math.pi / optics.wavelength, optics.n_immersion, optics.n_sample
    u, weight = roots_legendre(200)
    lowest = math.sqrt(1 - (optics.na / n_i) ** 2)
    cos = lowest + (1 - lowest) * (u + 1) / 2
    phi = 2 * np.pi * (np.arange(192) + 0.5) / 192
    cos, phi = np.meshgrid(cos, phi, indexing="ij")
    sin = np.sqrt(1 - cos**2)
    sin_s = n_i / n_s * sin
    cos_s = np.sqrt(1 - sin_s**2)
    t_s = 2 * n_i * cos / (n_i * cos + n_s * cos_s)
    t_p = 2 * n_i * cos / (n_s * cos + n_i * cos_s)
    # In the specimen the field of p light points along e_p; behind the objective both lie in the
    # plane, e_s around the axis and e_ρ away from it.
    radial = np.stack([np.cos(phi), np.sin(phi), 0 * phi])
    e_s = np.stack([-np.sin(phi), np.cos(phi), 0 * phi])
    e_p = cos_s * radial - sin_s * np.stack([0 * phi, 0 * phi, 1 + 0 * phi])
    seen_s, seen_p = (np.tensordot(direction, e, 1) for e in (e_s, e_p))
    field = t_s * seen_s * e_s + t_p * seen_p * radial
    path = wavefront(n_i * sin / optics.na, phi)
    path = path - n_i * (sin * (np.cos(phi) * x + np.sin(phi) * y) + cos * z)
    wave = field * np.sqrt(cos) * np.exp(1j * k * path) * weight[:, np.newaxis]
    return float((np.abs(wave.sum(axis=(1, 2))) ** 2).sum())
