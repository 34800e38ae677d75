"""A report as one page of HTML with everything in it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from napari_deconv.psf.report.figure import draw_report
from napari_deconv.psf.report.words import optics, sentence, table, written

if TYPE_CHECKING:
    from napari_deconv.beads.statistics import BeadStatistics
    from napari_deconv.psf.report.report import Report

__all__ = ["make_page"]

_STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dt { color: #555; }
dd { margin: 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 1px solid #555; font-weight: 600; }
.findings li { color: #a33a00; font-weight: 600; }
img { width: 100%; height: auto; }
pre { white-space: pre-wrap; font-size: .8rem; color: #444; }
footer { margin-top: 2rem; color: #555; }
@media print {
  body { font-size: 9pt; margin: 0; max-width: none; }
  h2, tr, img { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


def make_page(report: Report) -> str:
    """Write a report as a page of HTML 5 that needs nothing besides itself.

    Parameters
    ----------
    report : Report
        What `make_report` gave; all text in it is escaped.
    """
    titles, *rows = table(report.rows)
    parts = [
        f"<h1>Point-spread function</h1>\n<p>Report of {escape(report.written)}</p>",
        _definitions(report.notes.items()),
        _findings(report),
        f"<p>{escape(sentence(report))}</p>",
        _figure(report),
        "<h2>Numbers</h2>",
        _table(titles, rows),
        _comparisons(report),
    ]
    if report.statistics is not None:
        parts += _beads(report.statistics)
    if report.psf.metadata:
        known = json.dumps(report.psf.metadata, indent=2, ensure_ascii=False)
        parts.append(f"<h2>How the PSF was made</h2>\n<pre>{escape(known)}</pre>")
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width"/>\n'
        f"<title>Point-spread function, {escape(report.written)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in pairs)
    return f"<dl>\n{items}</dl>" if items else ""


def _findings(report: Report) -> str:
    if not report.findings:
        return f"<p>Nothing is more than {report.tolerance:.0%} off.</p>"
    items = "".join(f"<li>{escape(finding)}</li>\n" for finding in report.findings)
    return f'<ul class="findings">\n{items}</ul>'


def _figure(report: Report) -> str:
    file = io.BytesIO()
    draw_report(report).savefig(file, format="png", dpi=150)
    code = base64.b64encode(file.getvalue()).decode()
    return (
        f'<p><img src="data:image/png;base64,{code}" alt="Maximum projections, axis profiles with '
        'their fits, radial power spectrum, and FWHM over the field where beads are known"/></p>'
    )


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; the first cell of each row is its head."""
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>\n" for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _comparisons(report: Report) -> str:
    """Say what the PSF was compared with."""
    pairs = []
    if report.theory is not None:
        pairs.append(("theory", optics(report.theory.metadata) or "another PSF"))
    if report.earlier is not None:
        pairs.append(("earlier report", str(report.earlier["written"])))
    return _definitions(pairs)


def _beads(statistics: BeadStatistics) -> list[str]:
    """Count the beads by reason, and list them."""
    axes = "zyx"[-len(statistics.spacing) :]
    titles = (
        "bead", "status", *(f"{axis}, µm" for axis in axes), "flux", "SNR",
        *(f"FWHM {axis}, µm" for axis in axes), *(f"R² {axis}" for axis in axes), "residual, σ",
    )  # fmt: skip
    places = statistics.positions * statistics.spacing
    rows = (
        (
            str(number), str(statistics.status[number]),
            *(written(place, 2) for place in places[number]),
            written(statistics.flux[number], 0), written(statistics.snr[number], 1),
            *(written(width) for width in statistics.fwhm[number]),
            *(written(quality) for quality in statistics.r_squared[number]),
            written(statistics.residual[number], 2),
        )
        for number in range(len(statistics.flux))
    )  # fmt: skip
    counts = ((name, str(count)) for name, count in statistics.counts.items())
    return ["<h2>Beads</h2>", _definitions(counts), _table(titles, rows)]
