"""The voxels of a file that are read when they are needed, and only those."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_deconv.errors import DeconvError

if TYPE_CHECKING:
    import dask.array

__all__ = ["Voxels"]

# Chunks of a file are brought together to about so many bytes: a task for each costs Dask more
# than small chunks are worth.
_TOGETHER = 2**24


class Voxels:
    """An array in a file, its axes in another order than they lie, and single ones left out.

    It can be pickled: another process opens the file for itself, when it first reads.

    Parameters
    ----------
    path : Path
        The file.
    open_array : callable
        Gives the array, of any library, with ``shape``, ``dtype`` and ``chunks``; it is kept as
        long as this object lives.
    order : sequence of int
        For each axis of this object the array's axis; of other axes the first element is taken.
    """

    def __init__(self, path: Path, open_array: Callable[[], Any], order: Sequence[int]) -> None:
        self._path, self._open_array, self._order = path, open_array, tuple(order)
        self._place = path.absolute()  # for workers in other folders
        self._array = open_array()
        self._axes = len(self._array.shape)
        self.shape = tuple(int(self._array.shape[axis]) for axis in order)
        self.chunks = tuple(int(self._array.chunks[axis]) for axis in order)
        self.dtype = np.dtype(self._array.dtype)
        self.ndim = len(order)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out."""
        return {**self.__dict__, "_array": None}

    def __getitem__(self, index: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        """Read a box; one integer or slice with a step above 0 for each axis.

        Raises
        ------
        DeconvError
            If the file is damaged, or was taken away.
        """
        where: list[int | slice] = [0] * self._axes
        for axis, part in zip(self._order, index, strict=True):
            where[axis] = part
        try:
            if self._array is None:
                self._array = self._open_array()
            box = np.asarray(self._array[tuple(where)])
        except Exception as error:  # a damaged file can fail in any way inside the reader
            reason = str(error) or type(error).__name__
            raise DeconvError(f"{self._path} cannot be read as an image: {reason}.") from error
        if not self._place.exists():  # a Zarr store that is gone reads as zeros
            raise DeconvError(f"{self._path} is gone: it was there when it was opened.")
        kept = [n for n, part in zip(self._order, index, strict=True) if isinstance(part, slice)]
        return box.transpose([sorted(kept).index(axis) for axis in kept])

    def lazy(self, leading: int) -> dask.array.Array:
        """Give a Dask array over the file.

        Parameters
        ----------
        leading : int
            How many axes in front are not space: they are cut into single elements.
        """
        import dask.array  # not before it is needed: it takes a while

        file_chunks = map(min, self.chunks[leading:], self.shape[leading:])
        chunks = [1] * leading + list(file_chunks)
        most = _TOGETHER // self.dtype.itemsize
        # The shortest axis first: a tile then lies in few of them, and the file's library reads
        # many of its own chunks at once.
        while 2 * math.prod(chunks) <= most and chunks[leading:] != [*self.shape[leading:]]:
            short = (axis for axis in range(leading, self.ndim) if chunks[axis] < self.shape[axis])
            axis = min(short, key=chunks.__getitem__)
            chunks[axis] = min(2 * chunks[axis], self.shape[axis])
        # named at random: a file that was changed is not the array that it was
        return dask.array.from_array(self, tuple(chunks), name=False, asarray=False)
