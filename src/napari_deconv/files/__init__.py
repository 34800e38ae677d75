"""Images in and out: TIFF, OME-TIFF, ImageJ TIFF and OME-Zarr, with the voxel size in µm.

A voxel size is taken from a file only where the file really states one; otherwise it is None,
never a guess.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_deconv._checks import check_spacing
from napari_deconv.engines.limits import threads
from napari_deconv.errors import DeconvError
from napari_deconv.files.atomic import check_target, replacing
from napari_deconv.files.image import IMAGE_SUFFIXES, Image, as_dtype, axes_to_write, checked_image
from napari_deconv.files.tiff import (
    open_tiff,
    read_tiff_header,
    spacing_of,
    tiff_positions,
    tiff_spacing,
    write_tiff,
)

__all__ = [
    "IMAGE_SUFFIXES", "Image", "as_dtype", "check_target", "open_image", "positions",
    "provenance_of", "read_image", "replacing", "save_image", "write_image",
]  # fmt: skip

_PSF_MAKERS = ("make_psf", "distill_psf")


def open_image(
    path: str | os.PathLike[str],
    spacing: float | Sequence[float] | None = None,
    channel: int | None = None,
    position: int | None = None,
) -> Image:
    """Open a TIFF, OME-TIFF, ImageJ TIFF, OME-Zarr or plain Zarr array without reading its voxels.

    Where a TIFF has no z axis and exactly one axis besides y and x, and that axis is an unnamed
    sequence (``I``, ``Q``) or time (``T``, with a `DeconvWarning`; not if its step in seconds is
    stated or `write_image` wrote it), it is taken as z: many programs write stacks so. Channels,
    time and other axes lead, axes of length 1 are dropped. Of a pyramid the full resolution is
    taken.

    Parameters
    ----------
    path : path-like
        The file, or the folder of a Zarr store.
    spacing : float or sequence of float, optional
        Voxel size (z, y, x) or (y, x) in µm, instead of the file's.
    channel : int, optional
        Take only this channel, counted from 0.
    position : int, optional
        Which image to take of a file with several, as of stage positions, counted from 0 (see
        `positions`). Default: the first.

    Returns
    -------
    Image
        What the file says about its voxels; ``data`` is a `dask.array.Array` over the file, its
        chunks whole chunks, tiles or planes of the file, one time point and channel each. What is
        damaged shows as a `DeconvError` when it is computed.

    Raises
    ------
    DeconvError
        If the file is missing, damaged, no image that is known, in colour, or has no such channel
        or position, or `spacing` is not a voxel size.

    Warns
    -----
    DeconvWarning
        If the file has several images and `position` is not given, time stands for z, or it has a
        pixel size but no z step.
    """
    path = _existing(path)
    if path.is_file():
        image, sizes = open_tiff(path, position)
        if spacing is None:
            image = replace(image, spacing=tiff_spacing(sizes, image.space, path))
    else:
        from napari_deconv.files.ngff import open_ngff

        image = open_ngff(path, position)
    image = replace(image, data=image.data.lazy(len(image.axes) - len(image.space)))
    if len(image.channels) != image.channel_count:  # what a file says of other channels than it has
        image = replace(image, channels=())
    if len(image.colours) != image.channel_count:
        image = replace(image, colours=())
    if len(image.omero.get("channels", ())) != image.channel_count:
        image = replace(image, omero={})
    given = check_spacing(spacing, len(image.space))
    image = image if given is None else replace(image, spacing=given)
    return image if channel is None else image.of_channel(channel, path)


def positions(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """List the images in a file, as of the positions of a stage.

    Parameters
    ----------
    path : path-like
        A TIFF of several series; or an OME-Zarr of several multiscales, in the layout of
        bioformats2raw, or of a plate, whose fields they are.

    Returns
    -------
    tuple of str
        What the file calls them; most files have one.

    Raises
    ------
    DeconvError
        If the file is missing, damaged, or no image that is known.
    """
    path = _existing(path)
    if path.is_file():
        return tiff_positions(path)
    from napari_deconv.files.ngff import ngff_positions

    return ngff_positions(path)


def read_image(
    path: str | os.PathLike[str],
    spacing: float | Sequence[float] | None = None,
    channel: int | None = None,
    position: int | None = None,
) -> Image:
    """Read an image into memory: what `open_image` opens, with the same parameters and errors.

    Parameters
    ----------
    path, spacing, channel, position
        As `open_image` takes them.

    Returns
    -------
    Image
        The voxels, a NumPy array, with what the file says about them.

    Raises
    ------
    DeconvError
        As `open_image`, or if the voxels are damaged.

    Warns
    -----
    DeconvWarning
        As `open_image`.
    """
    image = open_image(path, spacing, channel, position)
    data = np.empty(image.data.shape, image.data.dtype)
    with ThreadPoolExecutor(threads()) as pool:  # Dask's own would stay behind
        image.data.store(data, lock=False, scheduler="threads", pool=pool)
    return replace(image, data=data)


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise DeconvError(f"There is no file {path}.")
    if path.is_dir() and path.suffix.lower() != ".zarr":
        raise DeconvError(f"{path} is a folder.")
    return path


def write_image(
    path: str | os.PathLike[str],
    data: npt.ArrayLike,
    spacing: float | Sequence[float] | None = None,
    metadata: dict[str, Any] | None = None,
    *,
    axes: str | None = None,
    channels: Sequence[str] = (),
    time_interval: float | None = None,
    name: str = "",
    colours: Sequence[str] = (),
    origin: Sequence[float] = (),
) -> None:
    """Write an OME-TIFF or OME-Zarr; it appears under its name only when it is complete.

    Parameters
    ----------
    path : path-like
        File to write, ending in ``.tif``, ``.tiff`` or ``.zarr``; an existing one is replaced.
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
    name : str
        What to call the image. Default: the file's name.
    colours : sequence of str
        Colours of the channels, RRGGBB in hexadecimal.
    origin : sequence of float
        Where the first voxel lies, (z, y, x) or (y, x) in µm; an OME-TIFF does not keep it.

    Raises
    ------
    DeconvError
        If the name, the folder, the dtype or `spacing` does not fit, or the file cannot be written.
    """
    array = np.asarray(data)
    image = Image(
        array, None, axes_to_write(array, axes), metadata or {}, tuple(channels), time_interval,
        name=name, colours=tuple(colours), origin=tuple(origin),
    )  # fmt: skip
    save_image(path, replace(image, spacing=check_spacing(spacing, len(image.space))))


def save_image(
    path: str | os.PathLike[str], image: Image, ngff: Literal["0.4", "0.5"] = "0.5"
) -> None:
    """Write an image with all that is said about it; see `write_image`.

    Parameters
    ----------
    path : path-like
        File to write, ending in ``.tif``, ``.tiff`` or ``.zarr``; an existing one is replaced.
    image : Image
        What to write. An OME-TIFF does not keep its origin, nor what only an OME-Zarr says.
    ngff : {"0.5", "0.4"}
        Version of an OME-Zarr.

    Raises
    ------
    DeconvError
        As `write_image`.
    """
    path = Path(path)
    check_target(path, IMAGE_SUFFIXES)
    image = checked_image(image)
    if path.suffix.lower() == ".zarr":
        from napari_deconv.files.blockwise import write_in_blocks

        write_in_blocks(path, image, ngff)
    else:
        write_tiff(path, image)


def provenance_of(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what a file says about how its image was made, without the voxels.

    Parameters
    ----------
    path : path-like
        A TIFF or OME-Zarr.

    Returns
    -------
    dict
        What `write_image` stored as metadata (see `napari_deconv.provenance`), with the
        ``"role"``; ``"axes"``, letters in the order of the file; and the voxel size (z, y, x) or
        (y, x) in µm as ``"spacing"`` where the file states one. ``{}`` for what cannot be read.
    """
    path = Path(path)
    try:
        if path.is_file():
            header, axes = read_tiff_header(path)
            metadata = header.metadata
            spacing = spacing_of(header.sizes, "ZYX" if "Z" in axes else "YX")
        else:
            from napari_deconv.files.ngff import read_ngff_header

            image = read_ngff_header(path)
            metadata, spacing, axes = image.metadata, image.spacing, image.axes
    except DeconvError:
        return {}
    role = {}
    if "operation" in metadata:
        role = {"role": "psf" if metadata["operation"] in _PSF_MAKERS else "result"}
    stated = {} if spacing is None else {"spacing": list(spacing)}
    return {**role, **metadata, "axes": axes, **stated}
