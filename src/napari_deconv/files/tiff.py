"""TIFF, OME-TIFF and ImageJ TIFF in, OME-TIFF out."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tifffile

from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files.atomic import replacing
from napari_deconv.files.header import METADATA_KEY, Header, read_header
from napari_deconv.files.image import Image

__all__ = ["read_tiff", "read_tiff_header", "spacing_of", "write_tiff"]


def read_tiff(path: Path, with_spacing: bool) -> Image:
    """Read an image; see `napari_deconv.files.read_image`.

    Parameters
    ----------
    path : Path
        The file.
    with_spacing : bool
        Whether the file's voxel size is wanted, and a warning where half of it is missing.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            header = read_header(tif)
            data, axes = _read_series(tif, path, _means_time(header))
    except DeconvError:
        raise
    except Exception as error:  # a damaged file can fail in any way inside the reader
        raise DeconvError(
            f"{path} cannot be read as a TIFF image: {error or type(error).__name__}."
        ) from error
    image = Image(
        data=data,
        spacing=None,
        axes=axes,
        metadata=header.metadata,
        channels=header.channels,
        time_interval=header.time_interval,
        acquired=header.acquired,
        name=header.name,
    )
    if not with_spacing:
        return image
    return replace(image, spacing=_file_spacing(header.sizes, image.space, path))


def read_tiff_header(path: Path) -> tuple[Header, str]:
    """Read what a file says about its first image, and its axes as they lie, without the voxels.

    Raises
    ------
    DeconvError
        If the file cannot be read.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            header = read_header(tif)
            return header, _order(tif.series[0].axes, _means_time(header))[0]
    except Exception as error:  # as in read_tiff
        raise DeconvError(f"{path} cannot be read as a TIFF image: {error}.") from error


def write_tiff(path: Path, image: Image) -> None:
    """Write an OME-TIFF; see `napari_deconv.files.write_image`."""
    ome: dict[str, Any] = {"axes": image.axes, "Name": image.name or path.name.split(".")[0]}
    for axis, size in zip(image.space, image.spacing or (), strict=False):
        ome |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    if image.metadata:
        ome["Description"] = json.dumps({METADATA_KEY: image.metadata})
    if image.channels:
        ome["Channel"] = {"Name": list(image.channels)}
    if image.time_interval:
        ome |= {"TimeIncrement": image.time_interval, "TimeIncrementUnit": "s"}
    with replacing(path) as temporary:
        try:
            tifffile.imwrite(
                temporary, image.data, ome=True, photometric="minisblack", metadata=ome
            )
        except (ValueError, tifffile.OmeXmlError) as error:
            raise DeconvError(
                f"{image.data.dtype} voxels with axes {image.axes} cannot be written as OME-TIFF "
                f"({error}): convert them to float32, or choose another axis order."
            ) from error


def _means_time(header: Header) -> bool:
    """Tell whether a T is time: where we have written it, or where its step is stated."""
    return bool(header.metadata) or header.time_interval is not None


def _read_series(tif: tifffile.TiffFile, path: Path, timed: bool) -> tuple[npt.NDArray[Any], str]:
    """Read the first image with its axes in the project's order; `timed` if T is time."""
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
    named, order = _order(axes, timed)
    if "T" in axes and "T" not in order:
        _warn(f"{path.name} has a time axis and no z: it was taken as a z stack.")
    return series.asarray().transpose([named.index(axis) for axis in order]), order


def _order(axes: str, timed: bool) -> tuple[str, str]:
    """Name a file's axes, z instead of a lone unnamed one or time, and give our order of them."""
    extra = axes.replace("Y", "").replace("X", "")
    if extra in ("I", "Q") or (extra == "T" and not timed):
        axes, extra = axes.replace(extra, "Z"), "Z"
    return axes, extra.replace("Z", "") + ("ZYX" if "Z" in extra else "YX")


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


def _file_spacing(
    sizes: dict[str, float | None], space: str, path: Path
) -> tuple[float, ...] | None:
    known = [sizes.get(axis) for axis in space]
    if known[0] is None and space == "ZYX" and known[1] and known[2]:
        _warn(
            f"{path.name} has pixels of {known[1]:.4g} × {known[2]:.4g} µm but no distance between "
            "planes: its voxel size is unknown until you give it."
        )
    return spacing_of(sizes, space)


def _warn(message: str) -> None:
    warnings.warn(message, DeconvWarning, stacklevel=6)
