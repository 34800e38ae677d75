"""The optical models as they are printed, by adaptive quadrature: what their PSFs are held to.

Nothing is shared with the package, not even the variable of integration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad_vec
from scipy.special import j0, j1, roots_legendre

__all__ = ["intensity", "pixel_mean"]

_Floats = npt.NDArray[np.float64]
_Complex = npt.NDArray[np.complex128]
_Optics = Mapping[str, Any]
_Integrand = Callable[[float, _Floats, _Floats, _Optics], list[_Complex]]


def intensity(model: str, z: npt.ArrayLike, r: npt.ArrayLike, optics: _Optics) -> _Floats:
    """Integrate over the pupil at points.

    Parameters
    ----------
    model : {"born_wolf", "gibson_lanni", "vectorial"}
        The integrand.
    z, r : array_like
        Defocus and radius of the points, µm.
    optics : mapping
        Parameters by name, as in the metadata of a PSF.
    """
    z, r = np.broadcast_arrays(np.asarray(z, float), np.asarray(r, float))
    integrand, edges = _INTEGRANDS[model], [0.0, 1.0]
    if model != "born_wolf":
        edges = [0.0, math.asin(optics["na"] / optics["n_immersion"])]
        if optics["n_sample"] < optics["na"]:
            edges.insert(1, math.asin(optics["n_sample"] / optics["n_immersion"]))
    fields = sum(_integral(integrand, *part, z, r, optics) for part in pairwise(edges))
    total: _Floats = np.sum(np.square(fields), axis=(0, 1))
    return total


def pixel_mean(
    model: str, z: _Floats, y: _Floats, x: _Floats, pixel: float, optics: _Optics, points: int
) -> _Floats:
    """Average over square pixels centred at (z, y, x), µm, by Gauss–Legendre points."""
    nodes, weights = roots_legendre(points)
    at_y = y[:, np.newaxis, np.newaxis] + nodes[:, np.newaxis] * pixel / 2
    at_x = x[:, np.newaxis, np.newaxis] + nodes * pixel / 2
    values = intensity(model, z[:, np.newaxis, np.newaxis], np.hypot(at_y, at_x), optics)
    mean: _Floats = np.einsum("vij,i,j", values, weights / 2, weights / 2)
    return mean


def _integral(
    integrand: _Integrand, low: float, high: float, z: _Floats, r: _Floats, optics: _Optics
) -> _Floats:
    """Real and imaginary parts, (2, orders, …)."""

    def part(t: float) -> _Floats:
        # The critical angle is a square-root singularity, which this substitution removes.
        at = low + (high - low) * (3 - 2 * t) * t**2
        values = np.stack(integrand(at, z, r, optics)) * (6 * t * (1 - t) * (high - low))
        return np.stack([values.real, values.imag])

    integral: _Floats = quad_vec(
        part, 0, 1, epsabs=1e-10, epsrel=1e-10, norm="max", limit=5000
    )[0]  # fmt: skip
    return integral


def _path_difference(s: float, z: _Floats, optics: _Optics) -> _Complex:
    """W of Gibson and Lanni, less its value on the axis."""
    n_i, n_s, n_g = optics["n_immersion"], optics["n_sample"], optics["n_glass"]
    n_i0, n_g0 = optics["n_immersion_design"], optics["n_glass_design"]
    t_g, t_g0 = optics["glass_thickness"], optics["glass_thickness_design"]
    t_i0, z_p = optics["working_distance"], optics["depth"]
    c = z_p * (1 - n_i / n_s) + n_i * (t_g0 / n_g0 + t_i0 / n_i0 - t_g / n_g)
    path: _Complex = (c - z) * (np.emath.sqrt(n_i**2 - s**2) - n_i)
    for thickness, n in ((z_p, n_s), (t_g, n_g), (-t_g0, n_g0), (-t_i0, n_i0)):
        path = path + thickness * (np.emath.sqrt(n**2 - s**2) - n)
    return path


def _born_wolf(rho: float, z: _Floats, r: _Floats, optics: _Optics) -> list[_Complex]:
    k, na, n = 2 * math.pi / optics["wavelength"], optics["na"], optics["n_immersion"]
    return [j0(k * na * r * rho) * np.exp(-1j * k * na**2 * z * rho**2 / (2 * n)) * rho]


def _gibson_lanni(theta: float, z: _Floats, r: _Floats, optics: _Optics) -> list[_Complex]:
    k, s = 2 * math.pi / optics["wavelength"], optics["n_immersion"] * math.sin(theta)
    wave = np.exp(1j * k * _path_difference(s, z, optics))
    return [j0(k * s * r) * wave * math.sin(theta) * math.cos(theta)]


def _vectorial(theta: float, z: _Floats, r: _Floats, optics: _Optics) -> list[_Complex]:
    """Aguet's integrands, with the Fresnel coefficients as functions of the angles."""
    k, n_i = 2 * math.pi / optics["wavelength"], optics["n_immersion"]
    indices = (n_i, optics["n_glass"], optics["n_sample"])
    s = n_i * math.sin(theta)
    wave = np.exp(1j * k * _path_difference(s, z, optics))
    wave *= math.sqrt(math.cos(theta)) * math.sin(theta)
    cosines = [np.emath.sqrt(1 - (s / n) ** 2) for n in indices]
    t_s = t_p = 1.0
    for (n1, c1), (n2, c2) in pairwise(zip(indices, cosines, strict=True)):
        t_s = t_s * 2 * n1 * c1 / (n1 * c1 + n2 * c2)
        t_p = t_p * 2 * n1 * c1 / (n2 * c1 + n1 * c2)
    x = k * s * r
    bessel0, bessel1 = j0(x), j1(x)
    bessel2 = np.where(x > 0, 2 * bessel1 / np.where(x > 0, x, 1) - bessel0, 0)
    return [
        (t_s + t_p * cosines[2]) * bessel0 * wave,
        math.sqrt(2) * t_p * s / indices[2] * bessel1 * wave,
        (t_s - t_p * cosines[2]) * bessel2 * wave,
    ]


_INTEGRANDS: dict[str, _Integrand] = {
    "born_wolf": _born_wolf,
    "gibson_lanni": _gibson_lanni,
    "vectorial": _vectorial,
}
