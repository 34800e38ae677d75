"""Whether a result is that of this recipe and this file: one number for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from napari_deconv.errors import DeconvError
from napari_deconv.recipe.recipe import Recipe, paths_in

__all__ = ["checksum", "checksum_of_file"]

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def checksum(recipe: Recipe, source: Path, position: str = "") -> str:
    """Make a number of a recipe, the files that it names, and the file it is done to.

    Parameters
    ----------
    recipe : Recipe
        All that it says counts, but for where its result is written.
    source : Path
        The file that it is done to. Of a file the content counts, of a Zarr store its metadata and
        the names, sizes and times of its chunks: to read a terabyte takes an hour.
    position : str
        Which of the images in it.

    Returns
    -------
    str
        128 bits of BLAKE2b, hexadecimal.

    Raises
    ------
    DeconvError
        If a file is missing or cannot be read.
    """
    others = recipe.on("")
    data = others.to_dict()
    written = data.pop("output", {})
    written.pop("path", None)
    for holder, key in paths_in(data):
        del holder[key]
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([data, written, position], sort_keys=True).encode())
    for path in (source, *others.files):
        digest.update(checksum_of_file(path))
    return digest.hexdigest()


def checksum_of_file(path: Path) -> bytes:
    """Make a number of the content of a file, of a Zarr store as `checksum` says.

    Raises
    ------
    DeconvError
        If it is missing or cannot be read.
    """
    try:
        if path.is_dir():
            digest = hashlib.blake2b()
            for part in _of_store(path):
                digest.update(part)
            return digest.digest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, hashlib.blake2b).digest()
    except FileNotFoundError as error:
        raise DeconvError(f"There is no file {path}.") from error
    except OSError as error:
        raise DeconvError(f"{path} cannot be read: {error.strerror or error}.") from error


def _of_store(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.name in _METADATA:
            yield path.read_bytes()
        elif path.is_file():
            about = path.stat()
            name = path.relative_to(folder).as_posix()
            yield f"{name} {about.st_size} {about.st_mtime_ns}\n".encode()
