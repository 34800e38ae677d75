"""Position, flux and width of single beads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label
from scipy.spatial import KDTree

from napari_deconv._gaussian_fit import fit_gaussian
from napari_deconv._noise import noise_level

__all__ = ["BOX", "Measurement", "box_around", "measure_bead", "without_duplicates"]

BOX = 1.5
"""Half width of the box around a bead, in FWHM."""

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]

_DRIFT = 0.5  # FWHM; a centre of mass that goes further follows a neighbour
_STEPS = 50
_STRIDE = (
    1.5  # the window halves the shift of a bead of its width; 2 would not converge for a point
)
_STILL = 1e-4  # voxels
_PLATEAU = 3  # touching voxels at the top value
_SAME = 0.5  # FWHM; beads closer than this are one


@dataclass(frozen=True)
class Measurement:
    """One bead; lengths in voxels.

    `noise` is the standard deviation around the bead, `profile_snr` the norm of each axis profile,
    less its mean, over that.
    """

    position: Doubles
    height: float
    flux: float
    background: float
    saturated: bool
    fwhm: Doubles
    r_squared: Doubles
    noise: float
    profile_snr: Doubles


def measure_bead(
    image: Floats, start: Doubles, fwhm: Doubles, background: Floats | None, top: float
) -> Measurement:
    """Measure the bead near a position.

    Parameters
    ----------
    image : ndarray of float32 (z, y, x) or (y, x)
        The image.
    start : ndarray (3,) or (2,)
        Position to start from.
    fwhm : ndarray (3,) or (2,)
        Expected full width at half maximum in voxels.
    background : ndarray of float32, optional
        Background in the image's shape; None takes the median around the bead.
    top : float
        Highest grey value of the image.
    """
    level, noise = _surroundings(image, start, fwhm)
    if background is not None:
        level = float(background[_voxel(start)])
    position = _centre_of_mass(image, start, fwhm, level)
    voxels = image[box_around(position, BOX * fwhm, image.shape)]
    widths, r_squared, spread = _fit_profiles(image, position, fwhm)
    return Measurement(
        position=position,
        height=float(image[_voxel(position)]) - level,
        flux=float(voxels.sum(dtype=np.float64)) - level * voxels.size,
        background=level,
        saturated=_has_plateau(voxels, top),
        fwhm=widths,
        r_squared=r_squared,
        noise=noise,
        profile_snr=spread / max(noise, float(np.finfo(np.float32).tiny)),
    )


def without_duplicates(beads: list[Measurement], fwhm: Doubles) -> list[Measurement]:
    """Keep the higher of two beads at the same place, and sort by flux, brightest first."""
    beads = sorted(beads, key=lambda bead: -bead.height)
    near = KDTree([bead.position / fwhm for bead in beads]).query_pairs(_SAME)
    doubled = {max(pair) for pair in near}
    kept = [bead for i, bead in enumerate(beads) if i not in doubled]
    return sorted(kept, key=lambda bead: -bead.flux)


def _centre_of_mass(image: Floats, start: Doubles, fwhm: Doubles, level: float) -> Doubles:
    """Iterate the centre of mass of (image − level)·w, w a Gaussian as wide as a bead around it.

    The window moves along with its centre, so that the end does not depend on where it began, and
    far voxels, with their noise and neighbours, have little say.
    """
    position = start
    for _ in range(_STEPS):
        box = box_around(position, BOX * fwhm, image.shape)
        axes = (np.arange(extent.start, extent.stop) for extent in box)
        offsets = np.ix_(*(axis - centre for axis, centre in zip(axes, position, strict=True)))
        weighted = image[box] - level
        for offset, width in zip(offsets, fwhm, strict=True):
            weighted = weighted * np.exp2(-4.0 * (offset / width) ** 2)
        total = weighted.sum()
        if total <= 0:
            return start
        shift = np.array([_STRIDE * np.sum(weighted * offset) / total for offset in offsets])
        position = np.clip(position + shift, 0, np.array(image.shape) - 1)
        if np.any(np.abs(position - start) > _DRIFT * fwhm + 1.0):
            return start
        if np.abs(shift).max() < _STILL:
            break
    return position


def _fit_profiles(
    image: Floats, position: Doubles, fwhm: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Fit a Gaussian to the line of voxels through the centre along each axis.

    Returns FWHM, R², and the norm of the profile less its mean. A hot pixel is no Gaussian: FWHM
    and R² are 0.
    """
    widths, r_squared, spread = np.zeros((3, image.ndim))
    box = box_around(position, BOX * fwhm, image.shape)
    for axis, extent in enumerate(box):
        line: list[int | slice] = list(_voxel(position))
        line[axis] = extent
        profile = image[tuple(line)]
        spread[axis] = np.std(profile, dtype=np.float64) * np.sqrt(profile.size)
        fit = fit_gaussian(profile)
        if fit is not None:
            widths[axis], r_squared[axis] = fit.fwhm, fit.r_squared
    if is_hot_pixel(widths):
        widths, r_squared = np.zeros((2, image.ndim))
    return widths, r_squared, spread


def is_hot_pixel(fwhm: Doubles) -> bool:
    """Tell whether something is narrower than a voxel along all axes: its width cannot be told."""
    return bool(np.all(fwhm < 1.0))


def _surroundings(image: Floats, position: Doubles, fwhm: Doubles) -> tuple[float, float]:
    """Median and noise of the outermost voxels of a box one voxel larger than the bead's."""
    voxels = image[box_around(position, BOX * fwhm + 1.0, image.shape)]
    outermost = np.ones(voxels.shape, dtype=bool)
    outermost[(slice(1, -1),) * image.ndim] = False
    return float(np.median(voxels[outermost])), noise_level(voxels[outermost])


def _has_plateau(voxels: Floats, top: float) -> bool:
    """Whether enough touching voxels have the image's highest value."""
    regions, _ = label(voxels >= top, np.ones((3,) * voxels.ndim))
    return bool(np.bincount(regions.ravel())[1:].max(initial=0) >= _PLATEAU)


def _voxel(position: Doubles) -> tuple[int, ...]:
    return tuple(np.rint(position).astype(int).tolist())


def box_around(position: Doubles, reach: Doubles, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Voxels within `reach` of the position's voxel, as far as the image goes."""
    return tuple(
        slice(max(0, voxel - half), min(size, voxel + half + 1))
        for voxel, half, size in zip(
            _voxel(position), np.ceil(reach).astype(int).tolist(), shape, strict=True
        )
    )
