"""Simulated samples, truth included: what the microscope would show of a known object.

Objects are drawn with sub-voxel precision on a field larger than the image, blurred by our own
forward model, cropped, so that there is light from outside, and counted as photons.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv import _specimens
from napari_deconv._phantoms import cubic_taps, deposit, linear_taps
from napari_deconv.acquisition import camera_counts
from napari_deconv.deconvolution import convolve
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvWarning
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.synthetic.models import make_psf

__all__ = ["Sample", "bars_confocal", "beads_widefield", "cells_widefield", "simulate"]

_WIDEFIELD_SPACING = (0.2, 0.08, 0.08)
_CONFOCAL_SPACING = (0.12, 0.04, 0.04)
_WIDEFIELD = {"modality": "widefield", "na": 1.4, "wavelength": 0.52, "n_immersion": 1.515}
_PSF_SHAPE = (41, 129, 129)
_MARGIN = (16, 32, 32)
_CONFOCAL_MARGIN = (8, 16, 16)
_BITS = 12


@dataclass(frozen=True, eq=False)
class Sample:
    """A simulated image with all that is known about it.

    Attributes
    ----------
    name : str
        What it shows.
    image : ndarray of uint16
        Photons a voxel (z, y, x), up to the camera's top code 4095.
    truth : ndarray of float32
        The object in photons a voxel: the image is Poisson(truth ⊗ psf + background), and beads
        are drawn up to half a voxel wider in the truth than in the image.
    psf : Psf
        The point-spread function it was blurred with.
    spacing : tuple of float
        Voxel size (z, y, x) in µm.
    optics : dict
        Parameters of the microscope, lengths in µm.
    background : ndarray of float32
        Photons a voxel that do not come from the object; of the image's shape, or (1, 1, 1).
    """

    name: str
    image: npt.NDArray[np.uint16]
    truth: npt.NDArray[np.float32]
    psf: Psf
    spacing: tuple[float, ...]
    optics: dict[str, Any]
    background: npt.NDArray[np.float32]


def simulate(
    truth: npt.NDArray[Any],
    psf: Psf,
    *,
    background: float | npt.NDArray[Any],
    photons: float,
    margin: Sequence[int] = (0, 0, 0),
    seed: int = 0,
    engine: str | Engine = "auto",
) -> npt.NDArray[np.uint16]:
    """Simulate what a camera records of an object.

    Parameters
    ----------
    truth : ndarray
        The object (z, y, x), any unit of brightness, on a field larger than the image by `margin`.
    psf : Psf
        Of the same voxel size.
    background : float or ndarray
        Photons a voxel added to the blurred object; a number, or of the image's shape.
    photons : float
        Photons that a unit of the object's brightness gives.
    margin : sequence of int
        Voxels (z, y, x) cropped at either side after blurring. The field is periodic.
    seed : int
        Seed of the photon noise.
    engine : str or Engine
        Where to compute.

    Returns
    -------
    ndarray of uint16
        Poisson(photons·truth ⊗ psf + background), cut off at the camera's top code 4095.
    """
    blurred = _crop(convolve(truth, psf.data, boundary="circular", engine=engine), margin)
    expected = np.maximum(photons * blurred, 0) + background
    return camera_counts(expected, bits=_BITS, seed=seed)


def beads_widefield(
    shape: Sequence[int] = (32, 256, 256), *, seed: int = 0, engine: str | Engine = "auto"
) -> Sample:
    """Simulate beads of 0.1 µm on a slightly tilted cover slip, in a widefield microscope.

    NA 1.4 oil, 520 nm, voxels 0.2 × 0.08 × 0.08 µm. Most beads lie 2.4 µm or more apart; about one
    in ten is a doublet, one in ten saturates the camera, and some are cut by the image's border.
    The background is uneven.

    Parameters
    ----------
    shape : sequence of int
        Voxels (z, y, x).
    seed : int
        Seed of positions and noise.
    engine : str or Engine
        Where to compute.

    Returns
    -------
    Sample
        The beads' ``diameter`` in µm is in its optics.
    """
    field, photons = _field(shape, _MARGIN), 4e5
    points, flux = _specimens.beads(
        field, np.array(_WIDEFIELD_SPACING), 0.1, np.random.default_rng(seed)
    )
    y, x = np.ogrid[-1 : 1 : shape[1] * 1j, -1 : 1 : shape[2] * 1j]
    background = np.broadcast_to(100 + 12 * np.exp(-(x**2) - (y - 0.5) ** 2) + 4 * x, shape)
    psf = _widefield_psf(field, engine)
    # Cubic weights keep the beads' width, linear ones keep the truth from going below 0.
    image = simulate(
        deposit(field, points, flux, cubic_taps),
        psf,
        background=background,
        photons=photons,
        margin=_MARGIN,
        seed=seed,
        engine=engine,
    )
    truth = photons * _crop(deposit(field, points, flux, linear_taps), _MARGIN)
    return Sample(
        "Beads, widefield (simulated)", image, truth.astype(np.float32), psf, _WIDEFIELD_SPACING,
        _WIDEFIELD | {"diameter": 0.1}, background.astype(np.float32),
    )  # fmt: skip


def cells_widefield(
    shape: Sequence[int] = (32, 256, 256), *, seed: int = 0, engine: str | Engine = "auto"
) -> Sample:
    """Simulate cells with filaments, nuclei and spots, in a widefield microscope.

    NA 1.4 oil, 520 nm, voxels 0.2 × 0.08 × 0.08 µm, some 600 photons in the brightest voxels on a
    background of 50.

    Parameters
    ----------
    shape : sequence of int
        Voxels (z, y, x).
    seed : int
        Seed of the cells and of the noise.
    engine : str or Engine
        Where to compute.

    Returns
    -------
    Sample
        Image, truth and optics.
    """
    field, photons = _field(shape, _MARGIN), 9000.0
    cells = _specimens.cells(field, np.array(_WIDEFIELD_SPACING), np.random.default_rng(seed))
    psf = _widefield_psf(field, engine)
    image = simulate(
        cells, psf, background=50, photons=photons, margin=_MARGIN, seed=seed, engine=engine
    )
    truth = photons * _crop(cells, _MARGIN)
    return Sample(
        "Cells, widefield (simulated)", image, truth.astype(np.float32), psf, _WIDEFIELD_SPACING,
        dict(_WIDEFIELD), np.full((1, 1, 1), 50, np.float32),
    )  # fmt: skip


def bars_confocal(
    shape: Sequence[int] = (40, 256, 256), *, seed: int = 0, engine: str | Engine = "auto"
) -> Sample:
    """Simulate pairs of bars and a rosette, in a confocal microscope.

    NA 1.4 oil, excitation 488 nm, emission 520 nm, voxels 0.12 × 0.04 × 0.04 µm, some 60 photons in
    the brightest voxels on a background of 2. The pinhole is 1 Airy unit.

    Parameters
    ----------
    shape : sequence of int
        Voxels (z, y, x).
    seed : int
        Seed of the noise.
    engine : str or Engine
        Where to compute.

    Returns
    -------
    Sample
        Image, truth and optics.
    """
    field, photons = _field(shape, _CONFOCAL_MARGIN), 70.0
    bars = _specimens.bars_and_rosette(field, np.array(_CONFOCAL_SPACING))
    psf = _confocal_psf(engine)
    image = simulate(
        bars, psf, background=2, photons=photons, margin=_CONFOCAL_MARGIN, seed=seed, engine=engine
    )
    truth = photons * _crop(bars, _CONFOCAL_MARGIN)
    optics = {
        "modality": "confocal", "na": 1.4, "excitation": 0.488, "wavelength": 0.52,
        "n_immersion": 1.515, "pinhole": 1.0,
    }  # fmt: skip
    return Sample(
        "Bars and rosette, confocal (simulated)", image, truth.astype(np.float32), psf,
        _CONFOCAL_SPACING, optics, np.full((1, 1, 1), 2, np.float32),
    )  # fmt: skip


def _field(shape: Sequence[int], margin: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n + 2 * edge for n, edge in zip(shape, margin, strict=True))


def _crop(field: npt.NDArray[Any], margin: Sequence[int]) -> npt.NDArray[Any]:
    return field[tuple(slice(edge, n - edge) for edge, n in zip(margin, field.shape, strict=True))]


# -- optics --------------------------------------------------------------------------------------


def _widefield_psf(field: tuple[int, ...], engine: str | Engine) -> Psf:
    shape = [min(n, edge - 1 + edge % 2) for n, edge in zip(_PSF_SHAPE, field, strict=True)]
    with warnings.catch_warnings():
        # The image is simulated with this very window: what it cuts off is missing in both.
        warnings.simplefilter("ignore", DeconvWarning)
        return make_psf(
            "vectorial", shape=shape, spacing=_WIDEFIELD_SPACING, na=1.4, wavelength=0.52,
            n_immersion=1.515, engine=engine,
        )  # fmt: skip


def _confocal_psf(engine: str | Engine) -> Psf:
    with warnings.catch_warnings():
        # Light that the window cuts off is missing in the image as well.
        warnings.simplefilter("ignore", DeconvWarning)
        return make_psf(
            "vectorial", shape=(25, 65, 65), spacing=_CONFOCAL_SPACING, na=1.4, wavelength=0.52,
            n_immersion=1.515, modality="confocal", excitation=0.488, pinhole=1.0, engine=engine,
        )  # fmt: skip
