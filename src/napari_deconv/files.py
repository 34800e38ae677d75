"""Images in and out: TIFF, OME-TIFF and ImageJ TIFF, with the voxel size in µm.

A voxel size is taken from a file only where the file really states one; otherwise it is None,
never a guess.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_deconv._checks import check_spacing
from napari_deconv._tiff_header import METADATA_KEY, read_header
from napari_deconv.errors import DeconvError, DeconvWarning

__all__ = ["IMAGE_SUFFIXES", "Image", "check_target", "read_image", "replacing", "write_image"]

IMAGE_SUFFIXES = (".tif", ".tiff")
"""Endings of the files that `write_image` writes."""

_DEFAULT_AXES = {2: "YX", 3: "ZYX", 4: "CZYX", 5: "TCZYX"}


@dataclass(frozen=True, eq=False)
class Image:
    """An image as it was read from a file.

    Attributes
    ----------
    data : ndarray
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
    """

    data: npt.NDArray[Any]
    spacing: tuple[float, ...] | None
    axes: str
    metadata: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    time_interval: float | None = None
    acquired: str | None = None


def read_image(
    path: str | os.PathLike[str],
    spacing: float | Sequence[float] | None = None,
    channel: int | None = None,
) -> Image:
    """Read a TIFF, OME-TIFF or ImageJ TIFF.

    Where a file has no z axis and exactly one axis besides y and x, and that axis is an unnamed
    sequence (``I``, ``Q``) or time (``T``, with a `DeconvWarning`), it is taken as z: many programs
    write stacks so. Channels, time and other axes lead, axes of length 1 are dropped. Of several
    images the first is read.

    Parameters
    ----------
    path : path-like
        The file.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm, instead of the file's.
    channel : int, optional
        Take only this channel, counted from 0.

    Returns
    -------
    Image
        The voxels with what the file says about them.

    Raises
    ------
    DeconvError
        If the file is missing, damaged, not a TIFF, in colour, or has no such channel, or `spacing`
        is not a voxel size.

    Warns
    -----
    DeconvWarning
        If the file has several images, time stands for z, or it has a pixel size but no z step.
    """
    path = Path(path)
    if not path.is_file():
        raise DeconvError(
            f"There is no file {path}." if not path.exists() else f"{path} is a folder."
        )
    try:
        with tifffile.TiffFile(path) as tif:
            data, axes = _read_series(tif, path)
            header = read_header(tif)
    except DeconvError:
        raise
    except Exception as error:  # a damaged file can fail in any way inside the reader
        raise DeconvError(
            f"{path} cannot be read as a TIFF image: {error or type(error).__name__}."
        ) from error
    space = axes[-3:] if "Z" in axes else axes[-2:]
    given = check_spacing(spacing, len(space))
    image = Image(
        data=data,
        spacing=given or _file_spacing(header.sizes, space, path),
        axes=axes,
        metadata=header.metadata,
        channels=header.channels,
        time_interval=header.time_interval,
        acquired=header.acquired,
    )
    return image if channel is None else _take(image, path, channel)


def write_image(
    path: str | os.PathLike[str],
    data: npt.ArrayLike,
    spacing: float | Sequence[float] | None = None,
    metadata: dict[str, Any] | None = None,
    *,
    axes: str | None = None,
    channels: Sequence[str] = (),
    time_interval: float | None = None,
) -> None:
    """Write an OME-TIFF; the file appears under its name only when it is complete.

    Parameters
    ----------
    path : path-like
        File to write, ending in ``.tif`` or ``.tiff``; an existing one is replaced.
    data : array_like
        (y, x), (z, y, x), or with channels and time in front. The dtype is kept.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm.
    metadata : dict, optional
        Plain values, stored as JSON; `read_image` gives them back.
    axes : str, optional
        One letter an axis, ``"YX"``, ``"ZYX"``, ``"CZYX"`` or ``"TCZYX"`` unless given.
    channels : sequence of str, optional
        Names of the channels.
    time_interval : float, optional
        Seconds between time points.

    Raises
    ------
    DeconvError
        If the name, the folder, the dtype or `spacing` does not fit, or the file cannot be written.
    """
    path, array = Path(path), np.asarray(data)
    check_target(path, IMAGE_SUFFIXES)
    axes = axes or _DEFAULT_AXES.get(array.ndim)
    if axes is None or len(axes) != array.ndim or array.size == 0:
        raise DeconvError(
            f"An array of shape {array.shape} cannot be written with axes {axes}: "
            "expected (y, x), (z, y, x), or channels and time in front."
        )
    space = axes[-3:] if "Z" in axes else axes[-2:]
    ome: dict[str, Any] = {"axes": axes, "Name": path.name.split(".")[0]}
    for axis, size in zip(space, check_spacing(spacing, len(space)) or (), strict=False):
        ome |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if metadata:
        ome["Description"] = json.dumps({METADATA_KEY: metadata})
    if channels:
        ome["Channel"] = {"Name": list(channels)}
    if time_interval:
        ome |= {"TimeIncrement": time_interval, "TimeIncrementUnit": "s"}
    with replacing(path) as temporary:
        try:
            tifffile.imwrite(temporary, array, ome=True, photometric="minisblack", metadata=ome)
        except (ValueError, tifffile.OmeXmlError) as error:
            raise DeconvError(
                f"{array.dtype} voxels with axes {axes} cannot be written as OME-TIFF ({error}): "
                "convert them to float32, or choose another axis order."
            ) from error


def check_target(path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> None:
    """Check where a file is to be written, before the work is done.

    Parameters
    ----------
    path : path-like
        The file to write.
    suffixes : sequence of str
        Endings it may have, lower case; none stand for any.

    Raises
    ------
    DeconvError
        If the ending is another, the folder is missing or cannot be written to, or `path` is a
        folder.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise DeconvError(f"{path.name} does not end in {' or '.join(suffixes)}: rename it.")
    if not path.parent.is_dir():
        raise DeconvError(f"There is no folder {path.parent} to write {path.name} in.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DeconvError(
            f"{path} cannot be written: you may not write in the folder {path.parent.resolve()}. "
            "Choose another."
        )
    if path.is_dir():
        raise DeconvError(f"{path} is a folder: give the name of a file.")


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name in the same folder, renamed to `path` only if the block succeeds.

    Parameters
    ----------
    path : path-like
        The final name; an existing file is replaced in one step.

    Yields
    ------
    Path
        Where to write. On any failure, Ctrl-C included, it is removed and `path` is untouched.

    Raises
    ------
    DeconvError
        If the folder is missing or cannot be written to, the disk is full, or `path` is a folder.
    """
    path = Path(path)
    check_target(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DeconvError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _take(image: Image, path: Path, channel: int) -> Image:
    """Take one channel of the image that was read from `path`."""
    axis = image.axes.find("C")
    if axis < 0 or not 0 <= channel < image.data.shape[axis]:
        count = 1 if axis < 0 else image.data.shape[axis]
        raise DeconvError(f"{path} has no channel {channel}: it has {count}, counted from 0.")
    return replace(
        image,
        data=image.data.take(channel, axis),
        axes=image.axes.replace("C", ""),
        channels=image.channels[channel : channel + 1],
    )


# -- voxels ------------------------------------------------------------------------------------


def _read_series(tif: tifffile.TiffFile, path: Path) -> tuple[npt.NDArray[Any], str]:
    """Read the first image with its axes in the project's order."""
    if not tif.series:
        raise DeconvError(f"{path} has no image in it.")
    series = tif.series[0]
    if len(tif.series) > 1:
        _warn(f"{path.name} has {len(tif.series)} images: the first, {series.shape}, was read.")
    axes = series.axes
    if "S" in axes:
        raise DeconvError(
            f"{path} is in colour (axes {axes}, shape {series.shape}): "
            "choose one channel, or convert it to grey values."
        )
    if "Y" not in axes or "X" not in axes or 0 in series.shape:
        raise DeconvError(f"{path} has axes {axes}, shape {series.shape}: expected an image.")
    _check_complete(series, path)
    extra = axes.replace("Y", "").replace("X", "")
    if extra in ("I", "Q", "T"):
        if extra == "T":
            _warn(f"{path.name} has a time axis and no z: it was taken as a z stack.")
        axes, extra = axes.replace(extra, "Z"), "Z"
    order = extra.replace("Z", "") + ("ZYX" if "Z" in extra else "YX")
    return series.asarray().transpose([axes.index(axis) for axis in order]), order


def _check_complete(series: tifffile.TiffPageSeries, path: Path) -> None:
    """Raise if the file ends before its voxels do: the reader would pad with zeros."""
    missing = sum(page is None for page in series.pages)
    if missing:
        raise DeconvError(
            f"{path} misses {missing} of its {len(series.pages)} planes: "
            "it is damaged, or belongs to a set of files of which some are not here."
        )
    if series.dataoffset is not None:
        complete = series.dataoffset + series.nbytes <= series.parent.filehandle.size
    else:
        complete = all(
            offset + count <= page.parent.filehandle.size
            for page in series.pages
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        )
    if not complete or _lost_pages(series.parent):
        raise DeconvError(
            f"{path} is truncated: the file ends before its voxels do. Copy it again."
        )


def _lost_pages(tif: tifffile.TiffFile) -> bool:
    """Tell whether the last page that could be read points to another."""
    if len(tif.pages) == 0:
        return True
    tif.filehandle.seek(tif.pages.next_page_offset)
    return any(tif.filehandle.read(tif.tiff.offsetsize))


def _file_spacing(
    sizes: dict[str, float | None], space: str, path: Path
) -> tuple[float, ...] | None:
    known = [sizes.get(axis) for axis in space]
    if known[0] is None and space == "ZYX" and known[1] and known[2]:
        _warn(
            f"{path.name} has pixels of {known[1]:.4g} × {known[2]:.4g} µm but no distance between "
            "planes: its voxel size is unknown until you give it."
        )
    spacing = tuple(size for size in known if size)
    return spacing if len(spacing) == len(space) else None


def _warn(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=4)
