"""An image with what a file says about it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_spacing
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files.header import hexadecimal

__all__ = [
    "DEFAULT_AXES",
    "IMAGE_SUFFIXES",
    "Image",
    "as_dtype",
    "chosen_position",
    "image_to_write",
]

IMAGE_SUFFIXES = (".tif", ".tiff", ".zarr")
"""Endings of the files that `write_image` writes."""

DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "CZYX", 5: "TCZYX"}
"""Axes of an array of which nothing else is known, by their number."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image as it was read from a file.

    Attributes
    ----------
    data : ndarray or dask.array.Array
        The voxels in the file's dtype; the last axes are (z, y, x) or (y, x), others lead.
    spacing : tuple of float or None
        Voxel size (z, y, x) or (y, x) in µm; None if the file does not state all of it.
    axes : str
        One letter an axis of `data`, for example ``"CZYX"``.
    metadata : dict
        What `write_image` stored with the image; empty for files of other programs.
    channels : tuple of str
        Names of the channels, where the file has them.
    time_interval : float or None
        Seconds between time points, where the file has it.
    acquired : str or None
        When it was recorded, ISO 8601, where the file is an OME-TIFF that has it.
    name : str
        What the file calls the image.
    colours : tuple of str
        Colours of the channels, RRGGBB in hexadecimal, where the file has them.
    origin : tuple of float
        Where the first voxel lies, (z, y, x) or (y, x) in µm, where an OME-Zarr says so.
    single : str
        ``"T"``, ``"C"`` or ``"TC"``: axes of length 1 that an OME-Zarr has, and that `axes` and
        `data` leave out; an OME-Zarr is written with them.
    """

    data: Any
    spacing: tuple[float, ...] | None
    axes: str
    metadata: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    time_interval: float | None = None
    acquired: str | None = None
    name: str = ""
    colours: tuple[str, ...] = ()
    origin: tuple[float, ...] = ()
    single: str = ""

    @property
    def space(self) -> str:
        """The axes that are space: ``"ZYX"`` or ``"YX"``."""
        return self.axes[-3:] if "Z" in self.axes else self.axes[-2:]

    @property
    def channel_count(self) -> int:
        """How many channels there are."""
        return int(self.data.shape[self.axes.index("C")]) if "C" in self.axes else 1

    def of_channel(self, channel: int, path: str | os.PathLike[str]) -> Image:
        """Take one channel, counted from 0, of an image that was read from `path`.

        Raises
        ------
        DeconvError
            If there is none.
        """
        if not 0 <= channel < self.channel_count:
            raise DeconvError(
                f"{path} has no channel {channel}: it has {self.channel_count}, counted from 0."
            )
        if "C" not in self.axes:
            return self
        return replace(
            self,
            data=np.take(self.data, channel, self.axes.index("C")),
            axes=self.axes.replace("C", ""),
            channels=self.channels[channel : channel + 1],
            colours=self.colours[channel : channel + 1],
        )


def chosen_position(position: int | None, count: int, path: Path) -> int:
    """Give the image to take of a file that has `count`: the first, unless one is given.

    Raises
    ------
    DeconvError
        If there is no such image.

    Warns
    -----
    DeconvWarning
        If there are others than the first.
    """
    if position is None and count > 1:
        warnings.warn(
            f"{path.name} has {count} images: the first was taken.", DeconvWarning, stacklevel=5
        )
    if position is not None and not 0 <= position < count:
        raise DeconvError(f"{path} has no position {position}: it has {count}, counted from 0.")
    return position or 0


def image_to_write(
    data: npt.ArrayLike,
    spacing: float | Sequence[float] | None,
    metadata: dict[str, Any] | None,
    **about: Any,
) -> Image:
    """Check what is to be written, and give it its axes.

    Parameters
    ----------
    data, spacing, metadata
        As `napari_deconv.files.write_image` takes them.
    **about
        The other attributes of `Image`; those that are None count as missing.

    Raises
    ------
    DeconvError
        If data, axes, names, colours and origin do not fit, or `spacing` is no voxel size.
    """
    array, axes = np.asarray(data), about.pop("axes", None)
    axes = axes or DEFAULT_AXES.get(array.ndim)
    if axes is None or len(axes) != array.ndim or array.size == 0:
        raise DeconvError(
            f"An array of shape {array.shape} cannot be written with axes {axes}: "
            "expected (y, x), (z, y, x), or channels and time in front."
        )
    image = Image(array, None, axes, metadata or {}, **about)
    for what, given in (("names", image.channels), ("colours", image.colours)):
        if given and len(given) != image.channel_count:
            raise DeconvError(
                f"There are {len(given)} {what}, {', '.join(given)}, for {image.channel_count} "
                f"channels (shape {array.shape}, axes {axes}): give one for each, or none."
            )
    if image.origin and len(image.origin) != len(image.space):
        raise DeconvError(
            f"origin={image.origin} does not fit axes {axes}: expected {len(image.space)} numbers, "
            "in µm."
        )
    if not set(image.single) <= set("TC") - set(axes):
        raise DeconvError(
            f"single={image.single!r} does not fit axes {axes}: expected T, C or both, where the "
            "axes have none."
        )
    wrong = [colour for colour in image.colours if len(colour) != 6 or not hexadecimal(colour)]
    if wrong:
        raise DeconvError(f"{wrong[0]!r} is no colour: expected RRGGBB in hexadecimal.")
    return replace(image, spacing=check_spacing(spacing, len(image.space)))


def as_dtype(data: npt.NDArray[Any], dtype: str | None) -> npt.NDArray[Any]:
    """Convert an image, rounding to whole numbers where the type has no others.

    Parameters
    ----------
    data : ndarray
        Any real dtype.
    dtype : str or None
        The type to convert to; None leaves it as it is.

    Warns
    -----
    DeconvWarning
        If values are beyond what the type can hold: they are cut off.
    """
    if dtype is None:
        return data
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return data.astype(kind)
    limits = np.iinfo(kind)
    rounded = np.rint(data)
    beyond = int(np.count_nonzero((rounded < limits.min) | (rounded > limits.max)))
    if beyond:
        warnings.warn(
            f"{beyond} of {data.size} voxels are beyond what {dtype} can hold, {limits.min} to "
            f"{limits.max}: they were cut off.",
            DeconvWarning,
            stacklevel=2,
        )
    whole: npt.NDArray[Any] = rounded.clip(limits.min, limits.max).astype(kind)
    return whole
