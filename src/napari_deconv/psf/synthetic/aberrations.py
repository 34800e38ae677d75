"""Zernike aberrations of any optical model.

The pupil A_m(s)·exp(i·k·W(ρ, φ)) is taken apart into its angular harmonics exp(ilφ). Each becomes
one Bessel integral over the same nodes as without aberration, and the squared sum of these fields
is taken apart again, into angular harmonics of the intensity. So the result is as exact as that of
the rotationally symmetric models: nothing is sampled on a grid of the pupil.

Of a vectorial model, the order m belongs to the field components that turn m times around the axis
with the pupil's angle. An isotropic emitter is the sum over three orthogonal dipoles, which are
best taken as two circular ones and one along the axis, each seen in two circular polarisations.
Then every component is one exp(±imφ)·A_m(s), and

    I = Σ_m ½·(|F{A_m·exp(imφ + ikW)}|² + |F{A_m·exp(−imφ + ikW)}|²).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.special

from napari_deconv.errors import DeconvError
from napari_deconv.psf.synthetic.bessel import bessel
from napari_deconv.psf.synthetic.optics import Optics, Pupil

__all__ = ["check_zernike", "harmonics", "wavefront", "zernike_polynomial"]

_Floats = npt.NDArray[np.float64]
_Complex = npt.NDArray[np.complex128]

# The last term of degree 20, finer than any deformable mirror.
_LAST_INDEX = 230

# Harmonics weaker than this part of the strongest one are left out.
_NEGLIGIBLE = 1e-9

# The coefficients of a phase exp(i·x·sinφ) vanish as fast as Bessel functions of orders above x.
_BEYOND = 24

# More rms error than this many wavelengths leaves no peak, and needs thousands of harmonics.
_LARGEST_ERROR = 3.0

# Angles × radii × planes of one block, which bounds the memory.
_SAMPLES = 1_000_000


def zernike_polynomial(index: int, rho: npt.ArrayLike, phi: npt.ArrayLike) -> _Floats:
    """Compute the Zernike polynomial Z_n^m(ρ, φ) with the mean square 1 over the unit disk.

    Parameters
    ----------
    index : int
        j = (n(n + 2) + m)/2 as of the OSA and ANSI: 0 piston, 1 and 2 tilt along y and x,
        3 and 5 astigmatism, 4 defocus, 7 and 8 coma along y and x, 12 spherical aberration.
    rho, phi : array_like
        Radius, 0 … 1, and angle from x to y.

    References
    ----------
    Thibos et al., J. Refract. Surg. 18, S652, 2002.
    """
    n, m = _degree_and_order(index)
    order = abs(m)
    square = np.asarray(rho, dtype=float) ** 2
    # R_n^m(ρ) = (−1)^((n−m)/2)·ρ^m·P(1 − 2ρ²), with a Jacobi polynomial P.
    half = (n - order) // 2
    radial = (-1) ** half * scipy.special.eval_jacobi(half, order, 0, 1 - 2 * square)
    angle = np.asarray(phi, dtype=float) * order
    norm = math.sqrt((2 if m else 1) * (n + 1))
    polynomial: _Floats = (
        norm * square ** (order / 2) * radial * (np.sin(angle) if m < 0 else np.cos(angle))
    )
    return polynomial


def wavefront(zernike: Mapping[int, float], rho: npt.ArrayLike, phi: npt.ArrayLike) -> _Floats:
    """Add up W(ρ, φ) = Σ_j c_j·Z_j(ρ, φ), in the unit of the coefficients."""
    shape = np.broadcast_shapes(np.shape(rho), np.shape(phi))
    total = np.zeros(shape)
    for index, coefficient in zernike.items():
        total += coefficient * zernike_polynomial(index, rho, phi)
    return total


def check_zernike(zernike: Mapping[Any, Any], wavelength: float) -> dict[int, float]:
    """Take Zernike coefficients as a dictionary of finite numbers.

    Parameters
    ----------
    zernike : mapping of int to float
        Coefficients in µm (rms) by OSA/ANSI index; JSON makes the index a text.
    wavelength : float
        In µm.

    Raises
    ------
    DeconvError
        If an index is no whole number from 0 to 230, a coefficient is no finite number, or the
        aberration is above 3 wavelengths rms.
    """
    checked: dict[int, float] = {}
    for index, coefficient in zernike.items():
        try:
            whole = int(index) if isinstance(index, str) else operator.index(index)
            checked[whole] = float(coefficient)
        except (TypeError, ValueError, OverflowError):
            checked[-1] = math.nan
    known = all(0 <= index <= _LAST_INDEX for index in checked)
    if not known or not all(map(math.isfinite, checked.values())):
        raise DeconvError(
            f"zernike={dict(zernike)!r} is not possible: expected OSA/ANSI indices from 0 to "
            f"{_LAST_INDEX} with coefficients in µm rms, for example {{12: 0.05}} for spherical "
            "aberration."
        )
    error = math.hypot(*checked.values())
    if error > _LARGEST_ERROR * wavelength:
        raise DeconvError(
            f"The Zernike coefficients are {error:.3g} µm rms in all, "
            f"{error / wavelength:.3g} wavelengths: expected {_LARGEST_ERROR:g} or less. They are "
            "in µm, not in waves or nm."
        )
    return checked


def harmonics(
    optics: Optics, zernike: Mapping[int, float], z: npt.ArrayLike, r: npt.ArrayLike
) -> dict[int, npt.NDArray[np.complex64]]:
    """Compute the intensity of an aberrated microscope, I(z, r, ψ) = Re Σ_m I_m(z, r)·exp(imψ).

    The wavefront error W is added to the path difference of the model, over the pupil ρ = s/NA, its
    angle running from x to y. Tilt by c µm so moves the image by +2c/NA along its axis; a positive
    defocus term moves the focus to smaller z, by −4√3·n·c/NA² at low aperture.

    Parameters
    ----------
    optics : Optics
        Any of the models.
    zernike : mapping of int to float
        Coefficients in µm (rms) by OSA/ANSI index, from `check_zernike`.
    z, r : array_like
        Defocus in any order, and radii ascending, µm.

    Returns
    -------
    dict of int to ndarray of complex64
        I_m, (z, r), on the scale of `Pupil.intensity`, for the orders m ≥ 0 that are not
        negligible.
    """
    planes, radii = np.asarray(z, dtype=float), np.asarray(r, dtype=float)
    rho, phi = np.linspace(0, 1, 65), 2 * np.pi * np.arange(256) / 256
    error = wavefront(zernike, rho[:, np.newaxis], phi)
    # A sloping wavefront sends its rays as much farther from the axis.
    slope = float(np.abs(np.gradient(error, rho, axis=0)).max()) / optics.na
    pupil = optics.pupil((planes.min(), planes.max()), radii[-1] + slope)
    turns = pupil.wavenumber * float(np.abs(np.gradient(error, phi, axis=1)).max())
    waves = _angular(zernike, pupil.wavenumber, pupil.s / optics.na, math.ceil(turns) + _BEYOND)
    highest = max(abs(order) for order in waves) + len(pupil.amplitude) - 1
    block = max(1, _SAMPLES // (_angles(highest) * planes.size))
    tables = np.empty((2 * highest + 1, planes.size, radii.size), np.complex64)
    for start in range(0, radii.size, block):
        part = slice(start, start + block)
        tables[:, :, part] = _block(pupil, waves, highest, planes, radii[part])
    largest = np.abs(tables).max(axis=(1, 2))
    kept = np.flatnonzero(largest > _NEGLIGIBLE * largest.max())
    return {int(m): tables[m] for m in kept}


def _angular(
    zernike: Mapping[int, float], wavenumber: float, rho: _Floats, highest: int
) -> dict[int, _Complex]:
    """Angular harmonics of exp(i·k·W) at each ρ, by order."""
    phi = 2 * np.pi * np.arange(2 * highest) / (2 * highest)
    phase = wavenumber * wavefront(zernike, rho[:, np.newaxis], phi)
    spectrum = scipy.fft.fft(np.exp(1j * phase), axis=1, norm="forward")
    strong = np.flatnonzero(np.abs(spectrum).max(axis=0) > _NEGLIGIBLE)
    return {int((i + highest) % (2 * highest) - highest): spectrum[:, i] for i in strong}


def _angles(highest: int) -> int:
    """How many angles resolve the squares of harmonics up to `highest`."""
    return int(scipy.fft.next_fast_len(4 * highest + 2, real=True))


def _block(
    pupil: Pupil, waves: dict[int, _Complex], highest: int, z: _Floats, r: _Floats
) -> _Complex:
    """Harmonics of the intensity at some radii, (orders, z, r)."""
    components = [
        (amplitude * (math.sqrt(0.5) if m else 1.0), turn)
        for m, amplitude in enumerate(pupil.amplitude)
        for turn in sorted({m, -m})
    ]
    defocused = pupil.defocused(z)
    fields = np.zeros((len(components), _angles(highest), z.size, r.size), dtype=complex)
    functions = bessel(highest + 1, pupil.wavenumber * np.multiply.outer(pupil.s, r))
    for n, function in enumerate(functions):
        places = [
            (place, order)
            for place, (_, turn) in enumerate(components)
            for order in sorted({n, -n})
            if order - turn in waves
        ]
        if not places:
            continue
        amplitudes = [components[p][0] * waves[order - components[p][1]] for p, order in places]
        weighted = np.stack([defocused * amplitude for amplitude in amplitudes])
        # ∫ exp(inφ − i·x·cos(φ − ψ)) dφ = 2π·(−i)ⁿ·Jₙ(x)·exp(inψ), the same for −n.
        parts = np.concatenate([weighted.real, weighted.imag]).reshape(-1, pupil.s.size)
        real, imaginary = (parts @ function).reshape(2, len(places), z.size, r.size)
        for index, (place, order) in enumerate(places):
            fields[place, order] = (-1j) ** n * (real[index] + 1j * imaginary[index])
    intensity = np.zeros(fields.shape[1:])
    for field in fields:
        wave = scipy.fft.ifft(field, axis=0, norm="forward")
        intensity += wave.real**2 + wave.imag**2
    tables: _Complex = scipy.fft.rfft(intensity, axis=0, norm="forward")[: 2 * highest + 1]
    tables[1:] *= 2
    return tables


def _degree_and_order(index: int) -> tuple[int, int]:
    """Radial degree n and angular order m of an OSA/ANSI index."""
    n = (math.isqrt(8 * index + 1) - 1) // 2
    return n, 2 * index - n * (n + 2)
