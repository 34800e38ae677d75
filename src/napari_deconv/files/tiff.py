"""TIFF, OME-TIFF and ImageJ TIFF in, OME-TIFF out."""

from __future__ import annotations

import json
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import tifffile

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files.atomic import replacing
from napari_deconv.files.header import METADATA_KEY, Header, ome_colour, read_header
from napari_deconv.files.image import DEFAULT_AXES, Image, chosen_position
from napari_deconv.files.voxels import Voxels

__all__ = [
    "ome_metadata", "open_tiff", "read_tiff_header", "spacing_of", "suitable", "tiff_positions",
    "tiff_spacing", "write_tiff",
]  # fmt: skip


def open_tiff(path: Path, position: int | None) -> tuple[Image, dict[str, float | None]]:
    """Open an image; see `napari_deconv.files.open_image`.

    Parameters
    ----------
    path : Path
        The file.
    position : int or None
        Which of its images, counted from 0; None is the first, with a warning if there are others.

    Returns
    -------
    Image
        Without a voxel size; the data are `Voxels`.
    dict
        Size of a voxel in µm by axis letter, as `Header.sizes`.
    """
    with _reading(path) as tif:
        header = read_header(tif, position or 0)
        series = _checked_series(tif, path, position)
        named, order = _order(series.axes, _means_time(header))
    if sorted(named) != sorted(order):
        raise DeconvError(
            f"{path} has axes {series.axes}, shape {series.shape}: expected times (T), channels "
            "(C) and planes (Z) at most in front of y and x. Split it, or save it with these axes."
        )
    if "T" in series.axes and "T" not in order:
        _warn(f"{path.name} has a time axis and no z: it was taken as a z stack.")
    if len(order) > 3 and not set(order) <= set(series.axes):
        _warn(
            f"{path.name} does not say what its axes are (shape {series.shape}): they were taken "
            f"as {', '.join(order.lower())}. OME-TIFF names them."
        )
    image = Image(
        data=Voxels(
            path,
            partial(_open_series, path.absolute(), position or 0),
            [named.index(axis) for axis in order],
        ),
        spacing=None,
        axes=order,
        metadata=header.metadata,
        channels=header.channels,
        time_interval=header.time_interval,
        acquired=header.acquired,
        name=header.name,
        colours=header.colours,
    )
    return image, header.sizes


def tiff_spacing(
    sizes: dict[str, float | None], space: str, path: Path
) -> tuple[float, ...] | None:
    """Give the voxel size where all of it is known, and warn where half of it is."""
    known = [sizes.get(axis) for axis in space]
    if known[0] is None and space == "ZYX" and known[1] and known[2]:
        _warn(
            f"{path.name} has pixels of {known[1]:.4g} × {known[2]:.4g} µm but no distance between "
            "planes: its voxel size is unknown until you give it."
        )
    return spacing_of(sizes, space)


def tiff_positions(path: Path) -> tuple[str, ...]:
    """Give the names of the images in a file; see `napari_deconv.files.positions`."""
    with _reading(path) as tif:
        return tuple(series.name or str(number) for number, series in enumerate(tif.series))


def read_tiff_header(path: Path) -> tuple[Header, str]:
    """Read what a file says about its first image, and its axes as they lie, without the voxels.

    Raises
    ------
    DeconvError
        If the file cannot be read.
    """
    with _reading(path) as tif:
        header = read_header(tif)
        return header, _order(tif.series[0].axes, _means_time(header))[0]


def write_tiff(path: Path, image: Image) -> None:
    """Write an OME-TIFF; see `napari_deconv.files.write_image`."""
    named = replace(image, name=image.name or path.name.split(".")[0])
    with replacing(path) as temporary, suitable(str(image.data.dtype), image.axes):
        tifffile.imwrite(
            temporary, image.data, ome=True, photometric="minisblack", metadata=ome_metadata(named)
        )


def ome_metadata(image: Image) -> dict[str, Any]:
    """Give what tifffile is to write about an image as OME-XML."""
    ome: dict[str, Any] = {"axes": image.axes, "Name": image.name}
    for axis, size in zip(image.space, image.spacing or (), strict=False):
        ome |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if image.metadata:
        ome["Description"] = json.dumps({METADATA_KEY: image.metadata})
    channels: dict[str, Any] = {}
    if image.channels:
        channels["Name"] = list(image.channels)
    if image.colours:
        channels["Color"] = [ome_colour(colour) for colour in image.colours]
    if channels:
        ome["Channel"] = channels
    if image.time_interval:
        ome |= {"TimeIncrement": image.time_interval, "TimeIncrementUnit": "s"}
    return ome


@contextmanager
def suitable(dtype: str, axes: str) -> Iterator[None]:
    """Say what to do where OME-TIFF has no such voxels or axes."""
    try:
        yield
    except (ValueError, tifffile.OmeXmlError) as error:
        raise DeconvError(
            f"{dtype} voxels with axes {axes} cannot be written as OME-TIFF ({error}): convert "
            "them to float32, or choose another axis order."
        ) from error


def _means_time(header: Header) -> bool:
    """Tell whether a T is time: where we have written it, or where its step is stated."""
    return bool(header.metadata) or header.time_interval is not None


@contextmanager
def _reading(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a file that has an image, and say of any failure that it cannot be read."""
    try:
        with tifffile.TiffFile(path) as tif:
            if not tif.series:
                raise DeconvError(f"{path} has no image in it.")
            yield tif
    except DeconvError:
        raise
    except Exception as error:  # a damaged file can fail in any way inside the reader
        raise DeconvError(
            f"{path} cannot be read as a TIFF image: {error or type(error).__name__}."
        ) from error


def _checked_series(
    tif: tifffile.TiffFile, path: Path, position: int | None
) -> tifffile.TiffPageSeries:
    """Give one of a file's images, if it is complete, and an image that we can take."""
    series = tif.series[chosen_position(position, len(tif.series), path)]
    axes = series.axes
    if "S" in axes:
        raise DeconvError(
            f"{path} is in colour (axes {axes}, shape {series.shape}): "
            "choose one channel, or convert it to grey values."
        )
    if "Y" not in axes or "X" not in axes or 0 in series.shape:
        raise DeconvError(f"{path} has axes {axes}, shape {series.shape}: expected an image.")
    _check_complete(series, path)
    return series


def _open_series(path: Path, position: int) -> Any:
    """Open one of a file's images as an array; the file is closed when the array is forgotten."""
    import zarr  # not before it is needed: it takes a while

    tif = tifffile.TiffFile(path)
    series = tif.series[position]
    # strips can be single rows: whole planes are fewer and larger
    mode = None if series.keyframe.is_tiled else "page"
    array = zarr.open_array(series.aszarr(level=0, chunkmode=mode), mode="r")
    weakref.finalize(array, tif.close)
    return array


def _order(axes: str, timed: bool) -> tuple[str, str]:
    """Name a file's axes, z instead of a lone unnamed one or time, and give our order of them."""
    extra = axes.replace("Y", "").replace("X", "")
    if extra in ("I", "Q") or (extra == "T" and not timed):
        axes = axes.replace(extra, "Z")
    elif axes.endswith("YX") and set(extra) <= set("IQ"):
        axes = DEFAULT_AXES.get(len(axes), axes)
    return axes, "".join(axis for axis in "TCZYX" if axis in axes)


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


def spacing_of(sizes: dict[str, float | None], space: str) -> tuple[float, ...] | None:
    """Give the voxel size where all of it is known."""
    spacing = tuple(size for size in map(sizes.get, space) if size)
    return spacing if len(spacing) == len(space) else None


def _warn(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=6)
