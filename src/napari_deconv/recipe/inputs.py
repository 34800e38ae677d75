"""The files that a recipe is to be done to, and what each result is called."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from napari_deconv.errors import DeconvError
from napari_deconv.files import IMAGE_SUFFIXES

__all__ = ["check_targets", "find_inputs", "stem_of"]

_ENDINGS = (".ome.tif", ".ome.tiff", ".ome.zarr", *IMAGE_SUFFIXES)


def find_inputs(patterns: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find files by name, folder or pattern.

    Parameters
    ----------
    patterns : sequence of path-like
        Each a file or an OME-Zarr; a folder, which stands for the images in it; or a pattern with
        ``*``, ``?``, ``[…]``, and ``**`` for any folders, which stands for the images whose names
        fit. A name that is there is no pattern, whatever is in it.

    Returns
    -------
    list of Path
        Each once; those of one folder or pattern are sorted by name.

    Raises
    ------
    DeconvError
        If one of them stands for nothing.
    """
    found: dict[Path, Path] = {}
    for given in patterns:
        pattern = os.fspath(given)
        before = len(found)
        for path in _matches(pattern):
            found.setdefault(path.resolve(), path)
            before = -1
        if before >= 0:
            what = f"No image fits {pattern}" if glob.has_magic(pattern) else _missing(pattern)
            raise DeconvError(f"{what}: expected names that end in {', '.join(IMAGE_SUFFIXES)}.")
    return list(found.values())


def check_targets(pairs: Iterable[tuple[Path, Path]], named: Iterable[Path] = ()) -> None:
    """Check the names of results before any is made.

    Parameters
    ----------
    pairs : iterable of (Path, Path)
        A file, and what its result will be called.
    named : iterable of Path
        What else is read.

    Raises
    ------
    DeconvError
        If two results would have the same name, or one the name of a file that is read.
    """
    pairs = list(pairs)
    read = {path.resolve() for path in (*named, *(source for source, _ in pairs))}
    results: dict[str, Path] = {}
    for source, target in pairs:
        other = results.setdefault(target.name.casefold(), source)
        if other is not source:
            raise DeconvError(
                f"{other} and {source} would both become {target}: rename one, or run them with "
                "different folders for the output."
            )
        if target.resolve() in read:
            raise DeconvError(f"{target} is read: choose another folder for the output.")


def stem_of(path: Path) -> str:
    """Give the name of an image without its ending."""
    ending = next((end for end in _ENDINGS if path.name.lower().endswith(end)), path.suffix)
    return path.name[: len(path.name) - len(ending)] or path.name


def _matches(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    if path.exists() and (path.is_file() or _is_image(path)):
        yield path
    elif path.is_dir():
        yield from sorted(filter(_is_image, path.iterdir()))
    else:
        names = glob.iglob(pattern, recursive=True)  # noqa: PTH207  # Path's takes no absolute ones
        yield from sorted(filter(_is_image, map(Path, names)))


def _is_image(path: Path) -> bool:
    """Tell an image by its name; what lies in a Zarr store, or is hidden, is none by itself."""
    inside = any(parent.suffix.lower() == ".zarr" for parent in path.parents)
    ending = path.suffix.lower()
    return (
        ending in IMAGE_SUFFIXES
        and not inside
        and not path.name.startswith(".")
        and path.is_dir() == (ending == ".zarr")
    )


def _missing(name: str) -> str:
    return f"There is no image in {name}" if Path(name).exists() else f"There is no file {name}"
