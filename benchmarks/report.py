"""From numbers to a page: Markdown, JSON and a plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.contenders import CONTENDERS, REFERENCE
from benchmarks.gpu import BYTES, GpuStep
from benchmarks.iteration import Ratio, Shape, Step
from benchmarks.measure import ITERATIONS, Measurement
from benchmarks.plot import draw

__all__ = ["Results", "markdown_table", "page", "write"]

# Reported by deconwolf's users of the same kind of specimen, PSF and number of iterations.
_DECONWOLF = {"half": (5.0, "0.331 / 0.546 / 0.863"), "full": (18.8, "")}
_LOOP_BESIDE_DECONWOLF = 6.6


@dataclass
class Results:
    """All that one run of the benchmark found."""

    machine: dict[str, str]
    versions: dict[str, str]
    shape: Shape
    psf_shape: Shape
    budget: float
    measurements: list[Measurement] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    growth: list[Step] = field(default_factory=list)
    gpu: list[GpuStep] = field(default_factory=list)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table; numbers, in all columns but the first, to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def size(shape: Shape) -> str:
    """Write a shape: 64 × 256 × 256."""
    return " × ".join(str(n) for n in shape)


def contenders_table(results: Results) -> str:
    """Everyone with the specimen, and deconwolf as quoted."""
    header = [
        "", "iterations", "seconds", "correlation with the truth, σ = 0 / ½ / 1",
        "seconds to quality", "point moves, even / odd", "its flux", "memory",
    ]  # fmt: skip
    rows = [_row(measurement, results) for measurement in results.measurements]
    for padding, (seconds, correlation) in _DECONWOLF.items():
        name = f"*deconwolf, {padding} padding: quoted*"
        rows.append([name, str(ITERATIONS), f"{seconds:.1f}", correlation, "", "", "", ""])
    return markdown_table(header, rows)


def _row(measured: Measurement, results: Results) -> list[str]:
    contender = next(c for c in CONTENDERS if c.name == measured.name)
    name = measured.name if contender.background else f"{measured.name} ¹"
    if measured.error:
        return [name, "", "not available", "", "", "", "", ""]
    return [
        name,
        str(measured.iterations),
        f"{measured.seconds:.1f}",
        " / ".join(f"{value:.3f}" for value in measured.correlations),
        _to_quality(measured, results.budget),
        *(
            f"{even:.2f} / {odd:.2f}"
            for even, odd in zip(measured.point_even, measured.point_odd, strict=True)
        ),
        f"{measured.memory / 1e6:.0f} MB",
    ]


def _to_quality(measured: Measurement, budget: float) -> str:
    if measured.enough is not None:
        seconds = measured.runs[measured.enough][0]
        return f"{seconds:.1f} ({measured.enough} it.)"
    return f"not with {max(measured.runs)} it."


def _reference(results: Results) -> Measurement:
    return next(m for m in results.measurements if m.name == REFERENCE.name)


def _best(results: Results) -> str:
    """Tell who is the fastest to the quality, and how ours compares with the reference."""

    def seconds(measured: Measurement) -> float:
        return measured.runs[measured.enough or 0][0]

    reached = [m for m in results.measurements if m.enough]
    ours = [m for m in reached if m.name.startswith("napari-deconv")]
    if not ours:
        return "None of ours reached the quality."
    first, best = min(reached, key=seconds), min(ours, key=seconds)
    part = seconds(best) / _reference(results).seconds
    deconwolf, loop = _DECONWOLF["half"][0], _LOOP_BESIDE_DECONWOLF
    return (
        f"The first of all to reach that quality is *{first.name}*, in {seconds(first):.1f} s.\n"
        f"The first of ours is *{best.name}*, in {part:.2f} of the reference's time.\n"
        f"deconwolf took {deconwolf / loop:.2f} of a SciPy loop's time where both were timed on "
        f"one machine\n({deconwolf} s and {loop} s)."
    )


def ratio_table(ratios: list[Ratio]) -> str:
    """Our iteration beside four plain transforms."""
    header = ["image", "PSF", "grid", "iteration, ms", "four transforms, ms", "ratio"]
    return markdown_table(
        header,
        [
            [
                size(r.shape), size(r.psf_shape), size(r.grid), f"{1e3 * r.iteration:.0f}",
                f"{1e3 * r.transforms:.0f}", f"{r.iteration / r.transforms:.2f}",
            ]
            for r in ratios
        ],
    )  # fmt: skip


def growth_table(steps: list[Step]) -> str:
    """Seconds per iteration as the image grows."""
    header = ["image", "million voxels", "napari-deconv, s", "SciPy loop, s"]
    return markdown_table(
        header,
        [[size(s.shape), f"{_mega(s.shape):.0f}", f"{s.ours:.3f}", f"{s.loop:.3f}"] for s in steps],
    )


def _mega(shape: Shape) -> float:
    z, y, x = shape
    return z * y * x / 1e6


def gpu_table(steps: list[GpuStep]) -> str:
    """Compare iterations on GPUs, or say that there was none."""
    if not steps:
        return "Not measured on a GPU."
    header = ["device", "image", "iteration, ms", "bound, ms", "CPU engine, ms"]
    table = markdown_table(
        header,
        [
            [
                s.device, size(s.shape), f"{1e3 * s.gpu:.1f}", f"{1e3 * s.bound:.1f}",
                f"{1e3 * s.cpu:.0f}",
            ]
            for s in steps
        ],
    )  # fmt: skip
    counts = ", ".join(f"{count} for the {what}" for what, count in BYTES.items())
    return (
        f"{table}\n\nThe bound is what an iteration has to move, {sum(BYTES.values())} bytes a "
        f"voxel ({counts}), at the bandwidth of a kernel that reads two arrays and writes one."
    )


def page(results: Results, plot: str) -> str:
    """Write the whole page; `plot` is where its picture lies."""
    machine = "\n".join(f"- {what}: {value}" for what, value in results.machine.items())
    present = ", ".join(
        f"{name} {version}" for name, version in results.versions.items() if version
    )
    missing = "\n".join(f"- {m.name}: {m.error}" for m in results.measurements if m.error)
    goal = " / ".join(f"{value:.3f}" for value in _reference(results).correlations)
    return f"""# Benchmarks

`make bench` makes this page's numbers in about ten minutes. It installs the other
software first; `python -m benchmarks --docs docs` in that environment rewrites the page.

{machine}
- Versions: {present}

## One specimen

Filaments, beads and blobs in a widefield microscope (NA 1.4 oil, 520 nm, voxels
0.2 × 0.08 × 0.08 µm): {size(results.shape)} voxels, a PSF of {size(results.psf_shape)},
background 100, photon noise, and light from outside the field. All run Richardson–Lucy.

{contenders_table(results)}

¹ has no background in its model: it is subtracted before.
{f"{chr(10)}Not available:{chr(10)}{chr(10)}{missing}{chr(10)}" if missing else ""}
- **Iterations**: {ITERATIONS}, or as many as fit into {results.budget:.0f} s.
- **Seconds**: for these, everything included but imports; the fastest of up to three runs.
- **Correlation**: with the truth as it is, and smoothed with σ = 0.5 and 1 voxel.
- **Seconds to quality**: for the fewest iterations that reach {goal},
  found by doubling and halving to a tenth. {ITERATIONS} iterations of the reference reach that,
  *{REFERENCE.name}*: a plain SciPy program of deconwolf's method and
  padding. Coarse to fine counts the fine iterations only, and needs at least one.
- **Point moves**: by so many voxels along an axis, when a blurred point in the dark is deconvolved,
  for images and PSFs of even (32, 16) and odd (33, 17) size. **Its flux**: the sum of the
  estimate over that of the point.
- **Memory**: the most that the process held above what it held before, imports included. A volume
  with full padding is {_padded_megabytes(results):.0f} MB. Memory of a GPU is not counted.
- **deconwolf** is not on the package index. Its rows are quoted from a run with another specimen of
  this kind, on another machine with two cores, and its correlations are those of that specimen.

{_best(results)}

![Correlation over seconds, for every contender; seconds per iteration over size]({plot})

## One iteration

Our iteration (heavy ball, the divergence every fifth) beside two `scipy.fft.rfftn` and two
`irfftn` in single precision on the same grid and all cores, in turn; medians.

{ratio_table(results.ratios)}

## Growth

Seconds per iteration, heavy ball, full padding, a PSF of 31 × 31 × 31.

{growth_table(results.growth)}

## GPU

{gpu_table(results.gpu)}
"""


def _padded_megabytes(results: Results) -> float:
    z, y, x = (n + m - 1 for n, m in zip(results.shape, results.psf_shape, strict=True))
    return 4 * z * y * x / 1e6


def write(results: Results, page_path: Path, plot_path: Path) -> None:
    """Write the page and its plot."""
    for path in (page_path, plot_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    draw(results.measurements, _reference(results).correlations, results.growth, plot_path)
    link = plot_path.relative_to(page_path.parent)
    page_path.write_text(page(results, link.as_posix()), encoding="utf-8")


def save(results: Results, path: Path) -> None:
    """Write everything as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False), encoding="utf-8")
