"""Optics to try, and fixed dipoles as plain sums over plane waves."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import roots_legendre

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

NEEDED = {
    "widefield": {},
    "confocal": {"excitation": 0.488},
    "spinning_disk": {"excitation": 0.488},
    "two_photon": {"excitation": 0.8},
    "light_sheet": {"excitation": 0.488, "illumination_na": 0.1},
    "sted": {"excitation": 0.488, "depletion": 0.592},
}
"""What each modality has to be told besides."""


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
