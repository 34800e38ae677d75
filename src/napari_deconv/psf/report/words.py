"""A report's numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_deconv.psf.report.report import Report, Row

__all__ = ["narrow_table", "optics", "sentence", "table", "written"]

_TITLES = ("", "", "measured", "SD", "theory", "ratio", "earlier", "drift")

_OPTICS = {
    "model": ("", ""), "modality": ("", ""), "na": ("NA ", ""), "wavelength": ("λ ", " µm"),
    "n_immersion": ("immersion ", ""), "n_sample": ("specimen ", ""), "depth": ("depth ", " µm"),
    "excitation": ("excitation ", " µm"), "pinhole": ("pinhole ", " AU"),
}  # fmt: skip


def written(value: float | None, digits: int = 3) -> str:
    """Write a number with so many decimals, and nothing for none."""
    return "" if value is None else f"{round(value, digits) + 0:.{digits}f}"


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Write rows as text.

    Parameters
    ----------
    rows : sequence of Row
        The numbers.

    Returns
    -------
    list of tuple of str
        The titles, then a tuple a row: what it is (said once), axis, value, and those of SD,
        theory, ratio, earlier and drift that any row has.
    """
    lines: list[tuple[str, ...]] = [_TITLES]
    said = ""
    for row in rows:
        title = f"{row.title}, {row.unit}" if row.unit else row.title
        drift = "" if row.drift is None else f"{round(row.drift, 1) + 0:+.1f} %"
        numbers = (row.value, row.sd, row.theory, row.ratio, row.earlier)
        lines.append(("" if title == said else title, row.axis, *map(written, numbers), drift))
        said = title
    kept = [number for number, column in enumerate(zip(*lines[1:], strict=True)) if any(column)]
    return [tuple(line[number] for number in kept) for line in lines]


def narrow_table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Write rows as text with the axes beside each other.

    Parameters
    ----------
    rows : sequence of Row
        The numbers.

    Returns
    -------
    list of tuple of str
        What it is, then the numbers along z, y and x, or along y and x for a plane; numbers of the
        whole PSF are in the last column. The first line has the axes.
    """
    axes = sorted({row.axis for row in rows if row.axis}, reverse=True)
    lines = [("", *axes)]
    for _, group in groupby(rows, lambda row: row.name):
        alike = list(group)
        places = [axes.index(row.axis) if row.axis else -1 for row in alike]
        title = f"{alike[0].title}, {alike[0].unit}" if alike[0].unit else alike[0].title
        for name, numbers in (
            (title, [row.value for row in alike]),
            ("  ± SD over the beads", [row.sd for row in alike]),
            ("  in theory", [row.theory if row.ratio else None for row in alike]),
            ("  ratio to theory", [row.ratio for row in alike]),
            ("  drift, %", [row.drift for row in alike]),
        ):
            if any(number is not None for number in numbers):
                cells = [""] * len(axes)
                for place, number in zip(places, numbers, strict=True):
                    cells[place] = written(number)
                lines.append((name, *cells))
    return lines


def optics(metadata: dict[str, Any]) -> str:
    """Say which optics a PSF was computed for: "vectorial, NA 1.4, λ 0.52 µm, …"."""
    known = ((name, metadata.get(name)) for name in _OPTICS)
    return ", ".join(
        f"{_OPTICS[name][0]}{_plain(value)}{_OPTICS[name][1]}" for name, value in known if value
    )


def sentence(report: Report) -> str:
    """Say what was measured as one would in a methods section."""
    measured, statistics = report.measured, report.statistics
    axes = "zyx"[-report.psf.ndim :]
    sds = (None,) * len(axes) if statistics is None else statistics.fwhm_sd
    widths = (
        f"{written(width)}{'' if sd is None else f' ± {written(sd)}'} µm ({axis})"
        for axis, width, sd in zip(axes, measured.fwhm, sds, strict=True)
    )
    source = ""
    if statistics is not None:
        source = f", from {statistics.counts['accepted']} of {len(statistics.flux)} beads,"
    text = (
        f"The point-spread function{source} has a full width at half maximum of "
        f"{_listed(widths)}, by Gaussian fits"
        f"{'' if statistics is None else '; ± is the standard deviation over the beads'}. "
        f"The voxels are {' × '.join(f'{step:.4g}' for step in report.psf.spacing)} µm."
    )
    if report.theory is not None and report.expected is not None:
        known = optics(report.theory.metadata)
        widths = (f"{written(width)} µm" for width in report.expected.fwhm)
        text += f" In theory{f' ({known})' if known else ''} it is {_listed(widths)}."
    return f"{text} Measured with napari-deconv {version('napari-deconv')}."


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def _listed(texts: Iterable[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)} and {last}"
