"""The point-spread function as the rest of the package takes it."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from scipy.interpolate import make_interp_spline

from napari_deconv._checks import check_image, check_spacing
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import read_image, write_image

__all__ = ["Psf", "centre_psf", "resample_psf"]

# Sums closer to 1 than this are rounding: such data stay as they are, bit by bit.
_ROUNDING = 1e-6

# What counts for the centre: values above this part of the largest one.
_CORE = 0.2

# Offsets up to this many voxels are none.
_BETWEEN = 0.6


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Psf:
    """A point-spread function with its voxel size.

    Parameters
    ----------
    data : array_like
        Real values, (z, y, x) or (y, x); the point lies at voxel n // 2 of every axis. The data
        are copied, negative values set to 0, and divided by their sum.
    spacing : float or sequence of float
        Voxel size (z, y, x) or (y, x), µm.
    metadata : dict, optional
        Where it comes from, in plain values that JSON can hold.

    Attributes
    ----------
    data : ndarray of float32
        Non-negative, sum 1, read-only.
    spacing : tuple of float
        Voxel size in µm.
    metadata : dict
        A copy of what was given; tuples have become lists.

    Raises
    ------
    DeconvError
        If the data are not a finite plane or volume with positive values, the voxel size is
        missing or impossible, or the metadata are not plain values.

    Warns
    -----
    DeconvWarning
        If there were negative values; the message says how much.
    """

    data: npt.NDArray[np.float32]
    spacing: tuple[float, ...]
    metadata: dict[str, Any]

    def __init__(
        self,
        data: npt.ArrayLike,
        spacing: float | Sequence[float] | None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._hold(_normalise(data), spacing, metadata)

    @classmethod
    def of_own(
        cls,
        data: npt.NDArray[np.float32],
        spacing: float | Sequence[float] | None,
        metadata: dict[str, Any] | None = None,
    ) -> Psf:
        """Take over an array instead of copying it, which halves the memory.

        Parameters
        ----------
        data : ndarray of float32
            Not negative and with values above 0; nobody else may use it. It is divided by its sum.
        spacing, metadata
            As of the class.

        Returns
        -------
        Psf
            Its data are the array that was given.
        """
        np.divide(data, data.sum(dtype=float), out=data)
        data.flags.writeable = False
        psf = object.__new__(cls)
        psf._hold(data, spacing, metadata)
        return psf

    def _hold(
        self,
        normalised: npt.NDArray[np.float32],
        spacing: float | Sequence[float] | None,
        metadata: dict[str, Any] | None,
    ) -> None:
        voxel = check_spacing(spacing, normalised.ndim)
        if voxel is None:
            raise DeconvError("The PSF has no voxel size: give spacing=(z, y, x) in µm.")
        try:
            plain = json.loads(json.dumps(metadata or {}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise DeconvError(f"The PSF's metadata are not plain JSON values: {error}.") from error
        for name, value in (("data", normalised), ("spacing", voxel), ("metadata", plain)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        """Say shape and voxel size instead of all voxels."""
        return f"Psf(shape={self.shape}, spacing={self.spacing} µm)"

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """Give the data to NumPy."""
        return np.array(self.data, dtype=dtype, copy=copy)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return self.data.ndim

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an OME-TIFF with voxel size and metadata.

        Parameters
        ----------
        path : path-like
            Ends in ``.tif`` or ``.tiff``; an existing file is replaced in one step.

        Raises
        ------
        DeconvError
            If it cannot be written there.
        """
        write_image(path, self.data, self.spacing, self.metadata)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], spacing: float | Sequence[float] | None = None
    ) -> Psf:
        """Read a PSF from any TIFF, OME-TIFF or ImageJ TIFF.

        Parameters
        ----------
        path : path-like
            The file.
        spacing : float or sequence of float, optional
            Voxel size (z, y, x) or (y, x) in µm, instead of the file's.

        Returns
        -------
        Psf
            Normalised to the sum 1, with the metadata `save` has stored.

        Raises
        ------
        DeconvError
            If the file cannot be read, holds no plane or volume, or has no voxel size and none was
            given.
        """
        image = read_image(path, spacing)
        if image.spacing is None:
            raise DeconvError(f"{path} states no voxel size: give spacing=(z, y, x) in µm.")
        return cls(image.data, image.spacing, image.metadata)


def _normalise(values: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Copy as read-only float32 without negative values and with the sum 1."""
    if isinstance(values, np.ma.MaskedArray):
        raise DeconvError("The PSF is a NumPy masked array: pass its filled(0).")
    array = np.asarray(values)
    if array.ndim not in (2, 3):
        raise DeconvError(
            f"The PSF has shape {array.shape}: expected (z, y, x) or (y, x). Choose one channel "
            "and one time point."
        )
    # As one line: a PSF that is three or four voxels wide is no colour picture.
    check_image(array.reshape(1, -1), "PSF")
    total = float(array.sum(where=array > 0, dtype=float))
    negative = total - float(array.sum(dtype=float))
    if total <= 0:
        raise DeconvError("The PSF has no value above 0: check that it is the right file or layer.")
    if negative > _ROUNDING * total:
        warnings.warn(
            f"The PSF had negative values, {negative / total:.2g} of the sum of the positive ones: "
            "they were set to 0. If that is much, subtract less background.",
            DeconvWarning,
            stacklevel=3,
        )
    scale = total if abs(total - 1) > _ROUNDING else 1.0
    normalised = np.empty(array.shape, np.float32)
    np.divide(array, scale, out=normalised, dtype=float, casting="same_kind")
    np.maximum(normalised, 0, out=normalised)
    normalised.flags.writeable = False
    return normalised


def centre_psf(data: npt.ArrayLike) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
    """Bring the centre to voxel n // 2 of every axis by padding with zeros.

    Nothing is rolled around or cut off. The centre is that of the values above a fifth of the
    largest one, as for beads: on a finely sampled or bent PSF the largest voxel wanders. A PSF
    whose largest voxel is in the middle stays as it is.

    Parameters
    ----------
    data : array_like
        The PSF, not negative, any number of axes.

    Returns
    -------
    data : ndarray
        The padded array, or the array itself if its centre was in the middle.
    moved : tuple of int
        How far the centre was from the middle, in voxels of each axis; ``()`` if it was not.
    """
    array = np.asarray(data)
    middle = np.array([n // 2 for n in array.shape])
    if array[tuple(middle)] >= array.max() * (1 - _ROUNDING):
        return array, ()
    core = np.maximum(array - _CORE * array.max(), 0)
    offset = np.array(scipy.ndimage.center_of_mass(core)) - middle
    # A centre between two voxels, as of an even size, belongs to both.
    moved = np.where(np.abs(offset) > _BETWEEN, np.rint(offset), 0).astype(int)
    if not moved.any():
        return array, ()
    centre = middle + moved
    before = [max(n - 2 * c - 1, 0) for c, n in zip(centre, array.shape, strict=True)]
    after = [max(2 * c - n, 0) for c, n in zip(centre, array.shape, strict=True)]
    padded = np.pad(array, list(zip(before, after, strict=True)))
    return padded, tuple(int(step) for step in moved)


def resample_psf(psf: Psf, spacing: float | Sequence[float]) -> Psf:
    """Bring a PSF to another voxel size; its centre voxel stays the centre.

    Axes that become coarser are integrated over the new voxels, which prevents aliasing: the
    running sum is interpolated by a cubic spline at the new edges. Axes that become finer are
    interpolated by a cubic spline.

    Parameters
    ----------
    psf : Psf
        The PSF.
    spacing : float or sequence of float
        The new voxel size (z, y, x) or (y, x), µm.

    Returns
    -------
    Psf
        Of odd size, covering the old field, with the old metadata; `psf` itself if it has this
        voxel size already.

    Raises
    ------
    DeconvError
        If the spacing is not a voxel size.
    """
    new = check_spacing(spacing, psf.ndim)
    if new is None or np.allclose(new, psf.spacing, rtol=1e-6, atol=0):
        return psf
    data = psf.data.astype(float)
    for axis, ratio in enumerate(np.divide(new, psf.spacing)):
        data = np.moveaxis(_resample_lines(np.moveaxis(data, axis, 0), ratio), 0, axis)
    # Splines swing a little below zero next to steep flanks.
    return Psf(np.maximum(data, 0), new, psf.metadata)


def _resample_lines(lines: npt.NDArray[np.float64], ratio: float) -> npt.NDArray[np.float64]:
    """Resample the first axis to voxels `ratio` times as large."""
    size, centre = len(lines), len(lines) // 2
    half = math.ceil((centre + 0.5) / ratio - 0.5 - _ROUNDING)
    positions = centre + np.arange(-half, half + 1) * ratio
    if ratio > 1:
        running = np.concatenate([np.zeros_like(lines[:1]), np.cumsum(lines, axis=0)])
        edges = np.append(positions - ratio / 2, positions[-1] + ratio / 2) + 0.5
        spline = make_interp_spline(np.arange(size + 1), running, k=min(3, size))
        return np.diff(spline(np.clip(edges, 0, size)), axis=0)
    spline = make_interp_spline(np.arange(size), lines, k=min(3, size - 1))
    resampled: npt.NDArray[np.float64] = spline(np.clip(positions, 0, size - 1))
    resampled[np.abs(positions - (size - 1) / 2) > size / 2] = 0
    return resampled
