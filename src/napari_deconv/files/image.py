"""An image with what a file says about it."""

from __future__ import annotations

import os
import warnings
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
    "axes_to_write",
    "checked_image",
    "chosen_position",
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
        Letters, of ``"TCZ"``, of axes of length 1 that an OME-Zarr has, and that `axes` and `data`
        leave out; an OME-Zarr is written with them.
    plane : tuple of float or None
        Thickness and place along z, in µm, of the only plane of an OME-Zarr that says so and has
        a z axis of length 1.
    omero : dict
        What an OME-Zarr says of showing it: ``"channels"``, a dict for each, and ``"rdefs"``; an
        OME-Zarr is written with it, but for names, colours and range of values.
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
    plane: tuple[float, float] | None = None
    omero: dict[str, Any] = field(default_factory=dict)

    @property
    def space(self) -> str:
        """The axes that are space: ``"ZYX"`` or ``"YX"``."""
        return self.axes[-3:] if "Z" in self.axes else self.axes[-2:]

    @property
    def channel_count(self) -> int:
        """How many channels there are."""
        return int(self.data.shape[self.axes.index("C")]) if "C" in self.axes else 1

    def remade(self, data: Any, metadata: dict[str, Any]) -> Image:
        """Give what was made from this image: it says the same, but for its name and its age.

        Parameters
        ----------
        data : array_like
            The same axes as this image's.
        metadata : dict
            How it was made.
        """
        return replace(self, data=data, metadata=metadata, name="", acquired=None)

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
        shown = self.omero.get("channels", ())[channel : channel + 1]
        return replace(
            self,
            data=np.take(self.data, channel, self.axes.index("C")),
            axes=self.axes.replace("C", ""),
            channels=self.channels[channel : channel + 1],
            colours=self.colours[channel : channel + 1],
            omero={**self.omero, "channels": shown} if shown else {},
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


def axes_to_write(data: npt.NDArray[Any], axes: str | None) -> str:
    """Check that an array can be written with such axes, or take the usual ones of its number.

    Raises
    ------
    DeconvError
        If it cannot.
    """
    axes = axes or DEFAULT_AXES.get(data.ndim)
    if axes is None or len(axes) != data.ndim or data.size == 0:
        raise DeconvError(
            f"An array of shape {data.shape} cannot be written with axes {axes}: "
            "expected (y, x), (z, y, x), or channels and time in front."
        )
    return axes


def checked_image(image: Image) -> Image:
    """Check an image that is to be written, and give it all its axes and voxel sizes.

    Raises
    ------
    DeconvError
        If data, axes, voxel size, names, colours and origin do not fit.
    """
    axes = axes_to_write(image.data, image.axes)
    image = replace(image, axes=axes)
    for what, given in (("names", image.channels), ("colours", image.colours)):
        if given and len(given) != image.channel_count:
            raise DeconvError(
                f"There are {len(given)} {what}, {', '.join(given)}, for {image.channel_count} "
                f"channels (shape {image.data.shape}, axes {axes}): give one for each, or none."
            )
    if image.origin and len(image.origin) != len(image.space):
        raise DeconvError(
            f"origin={image.origin} does not fit axes {axes}: expected {len(image.space)} numbers, "
            "in µm."
        )
    if not set(image.single) <= set("TCZ") - set(axes):
        raise DeconvError(
            f"single={image.single!r} does not fit axes {axes}: expected some of T, C and Z that "
            "the axes have not."
        )
    wrong = [colour for colour in image.colours if len(colour) != 6 or not hexadecimal(colour)]
    if wrong:
        raise DeconvError(f"{wrong[0]!r} is no colour: expected RRGGBB in hexadecimal.")
    return replace(image, spacing=check_spacing(image.spacing, len(image.space)))


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
