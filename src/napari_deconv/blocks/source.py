"""Where tiles are read from: nothing is read before a tile needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask import delayed

from napari_deconv._checks import check_array
from napari_deconv.errors import DeconvError

__all__ = ["Source", "check_source"]

Slices = tuple[Any, ...]


@dataclass(frozen=True)
class Source:
    """An image and what lies on its voxels.

    Attributes
    ----------
    shape : tuple of int
        Of the image: axes in front, then space.
    dtype : dtype
        Of the image.
    image : dask array, or Delayed of another one
        The image.
    background : float, as `image`, or None
        None where it is found from the image.
    mask : as `image`, or None
        Where voxels count.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    image: Any
    background: Any
    mask: Any

    def read(self, index: Slices) -> list[Any]:
        """Make the tasks that read one region of image, background and mask."""
        return [_region(part, index) for part in (self.image, self.background, self.mask)]


def check_source(image: Any, background: Any, mask: Any) -> Source:
    """Check shapes and dtypes of what is not read yet.

    Raises
    ------
    DeconvError
        If something is no array of numbers, or its shape is not that of the image.
    """
    _check_array(image, "image")
    shape = tuple(image.shape)
    if isinstance(background, str):
        background = None
    elif np.ndim(background) == 0:
        background = float(background)
    else:
        background = _shared(_of_shape(background, shape, "background"))
    allowed = None if mask is None else _shared(_of_shape(mask, shape, "mask"))
    return Source(shape, image.dtype, _shared(image), background, allowed)


def _check_array(array: Any, name: str) -> None:
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        raise DeconvError(
            f"The {name} is a {type(array).__name__}: expected a Dask, Zarr or NumPy array."
        )
    if isinstance(array, np.ma.MaskedArray):
        check_array(array, name)
    # Of the same shape and dtype, in the memory of one voxel.
    check_array(np.broadcast_to(np.zeros((), array.dtype), array.shape), name)


def _of_shape(array: Any, shape: tuple[int, ...], name: str) -> Any:
    """Take an array of the image's shape, or a NumPy array that broadcasts to it."""
    if not hasattr(array, "chunks"):
        array = np.asarray(array)
    if array.dtype.kind not in "buif":
        raise DeconvError(f"The {name} has dtype {array.dtype}: expected numbers.")
    if tuple(array.shape) == shape:
        return array
    if isinstance(array, np.ndarray):
        try:
            return np.broadcast_to(array, shape)
        except ValueError:
            pass
    raise DeconvError(f"The {name} has shape {tuple(array.shape)}, the image {shape}.")


def _shared(array: Any) -> Any:
    """Make one task of an array that is no Dask array: workers get it once."""
    return array if isinstance(array, da.Array) else delayed(array, traverse=False)


def _region(part: Any, index: Slices) -> Any:
    if part is None or isinstance(part, float):
        return part
    return part[index] if isinstance(part, da.Array) else _read(part, index)


@delayed(pure=True)  # type: ignore[untyped-decorator]
def _read(array: Any, index: Slices) -> npt.NDArray[Any]:
    return np.asarray(array[index])
