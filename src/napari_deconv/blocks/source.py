"""Where tiles are read from: nothing is read before a tile needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_array, check_background
from napari_deconv.deconvolution.settings import is_auto
from napari_deconv.deconvolution.words import NO_MASK
from napari_deconv.errors import DeconvError

__all__ = ["Index", "Source", "check_source"]

Index = tuple[Any, ...]


@dataclass(frozen=True)
class Source:
    """An image and what lies on its voxels; it can be pickled.

    Attributes
    ----------
    image : dask, Zarr or NumPy array
        Axes in front, then space.
    background : float, array of the image's shape, or None
        None where it is found from the image.
    mask : array of bool, or of 0 and 1, of the image's shape, or None
        Where voxels count.
    """

    image: Any
    background: Any
    mask: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image."""
        return tuple(self.image.shape)

    def read(self, index: Index) -> tuple[npt.NDArray[Any], Any, npt.NDArray[np.bool_] | None]:
        """Read one region of image, 0 where masked, of background and of mask.

        Raises
        ------
        DeconvError
            If the mask has other values than 0 and 1.
        """
        image, background, mask = _read(self.image, index), self.background, None
        if self.mask is not None:
            mask = _read(self.mask, index)
            if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
                raise DeconvError(NO_MASK)
            mask = mask.astype(bool)
            image = np.where(mask, image, image.dtype.type(0))
        if background is not None and not isinstance(background, float):
            background = _read(background, index)
        return image, background, mask


def check_source(image: Any, background: Any, mask: Any) -> Source:
    """Check shapes and dtypes of what is not read yet.

    Raises
    ------
    DeconvError
        If something is no array of numbers, or its shape is not that of the image.
    """
    if not hasattr(image, "shape") or not hasattr(image, "dtype"):
        raise DeconvError(
            f"The image is a {type(image).__name__}: expected a Dask, Zarr or NumPy array."
        )
    if isinstance(image, np.ma.MaskedArray):
        check_array(image)
    # Of the same shape and dtype, in the memory of one voxel.
    check_array(np.broadcast_to(np.zeros((), image.dtype), image.shape))
    shape = tuple(image.shape)
    if is_auto(background):
        background = None
    elif np.ndim(background) == 0:
        background = float(check_background(background, np.full((1, 1), np.inf)))
    else:
        background = _of_shape(background, shape, "background")
    return Source(image, background, None if mask is None else _of_shape(mask, shape, "mask"))


def _of_shape(array: Any, shape: tuple[int, ...], name: str) -> Any:
    """Take an array of the image's shape, or one that broadcasts to it."""
    if not hasattr(array, "chunks"):
        array = np.asarray(array)
    if array.dtype.kind not in "buif":
        raise DeconvError(f"The {name} has dtype {array.dtype}: expected numbers.")
    if tuple(array.shape) == shape:
        return array
    try:
        if isinstance(array, np.ndarray):
            return np.broadcast_to(array, shape)
        return da.broadcast_to(da.asarray(array), shape)
    except ValueError:
        raise DeconvError(
            f"The {name} has shape {tuple(array.shape)}, the image {shape}."
        ) from None


def _read(array: Any, index: Index) -> npt.NDArray[Any]:
    part = array[index]
    if isinstance(part, da.Array):
        # Chunk by chunk, in the thread that needs them: a task of its own for each chunk of each
        # tile would make a graph that grows with the image, and hold chunks for later tiles.
        part = part.compute(scheduler="synchronous")
    return np.asarray(part)
