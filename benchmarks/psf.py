"""Vectorial PSFs of ours and of psfmodels, the same light: ``python -m benchmarks.psf``.

psfmodels is under the GPL-3: it is imported here and nowhere else.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.machine import describe_machine
from benchmarks.pupil_integrals import pixel_mean
from benchmarks.report import markdown_table, size
from napari_deconv import DeconvWarning
from napari_deconv.psf import make_psf

__all__ = ["OPTICS", "PROGRAMS", "Case", "Result", "exact", "measure", "page", "places"]

_Program = Callable[["Case"], npt.NDArray[np.generic]]

_SHAPES = ((65, 129, 129), (255, 511, 511))
_STEP, _PIXEL, _WAVELENGTH = 0.2, 0.09, 0.52
_VOXELS = 60
_LONGEST = 20.0

# Below this many voxels, the memory of a process says more about libraries than about a PSF.
_LARGE = 10_000_000

# All that the integrals need; ours and psfmodels' are told only what differs from their defaults.
_CORRECTED: dict[str, Any] = {
    "na": 1.4, "wavelength": _WAVELENGTH, "n_immersion": 1.515, "n_immersion_design": 1.515,
    "n_glass": 1.515, "n_glass_design": 1.515, "glass_thickness": 170.0,
    "glass_thickness_design": 170.0, "working_distance": 150.0, "n_sample": 1.515, "depth": 0.0,
}  # fmt: skip

OPTICS = {
    "NA 1.4, oil": _CORRECTED,
    "NA 1.4, oil, 5 µm deep in water": _CORRECTED | {"n_sample": 1.33, "depth": 5.0},
}
"""What the page calls the optics → their parameters, lengths in µm."""


@dataclass(frozen=True)
class Case:
    """One PSF to make: voxels (z, y, x), all odd, and one of `OPTICS`."""

    shape: tuple[int, int, int]
    optics: str


@dataclass(frozen=True)
class Result:
    """Seconds, bytes above what the process held before, and the values at `places`."""

    seconds: float
    memory: int
    values: list[float]


def _ours(case: Case) -> npt.NDArray[np.generic]:
    warnings.simplefilter("ignore", DeconvWarning)
    return make_psf(
        "vectorial", shape=case.shape, spacing=(_STEP, _PIXEL, _PIXEL), centre="paraxial",
        engine="cpu", **OPTICS[case.optics],
    ).data  # fmt: skip


def _psfmodels(case: Case) -> npt.NDArray[np.generic]:
    import psfmodels

    optics = OPTICS[case.optics]
    planes, width, _ = case.shape
    z = optics["depth"] + (np.arange(planes) - planes // 2) * _STEP
    parameters = {
        "NA": optics["na"], "ns": optics["n_sample"], "ni": optics["n_immersion"],
        "ni0": optics["n_immersion_design"], "ng": optics["n_glass"],
        "ng0": optics["n_glass_design"], "tg": optics["glass_thickness"],
        "tg0": optics["glass_thickness_design"], "ti0": optics["working_distance"],
    }  # fmt: skip
    volume: npt.NDArray[np.generic] = psfmodels.vectorial_psf(
        z, nx=width, dxy=_PIXEL, pz=optics["depth"], wvl=_WAVELENGTH, params=parameters
    )
    return volume


PROGRAMS: dict[str, _Program] = {"napari-deconv": _ours, "psfmodels": _psfmodels}
"""Who makes PSFs; the keys are the names of the distributions."""


def places(case: Case) -> npt.NDArray[np.intp]:
    """Voxels to look at, (3, count) from the middle one: near the focus, and anywhere.

    The first is the middle of the brightest plane.
    """
    rng = np.random.default_rng(5)
    half = np.array(case.shape)[:, np.newaxis] // 2
    core = np.minimum(half, [[9], [6], [6]])
    near = rng.integers(-core, core, (3, _VOXELS // 2), endpoint=True)
    anywhere = rng.integers(-half, half, (3, _VOXELS // 2), endpoint=True)
    brightest = [[3 if "deep" in case.optics else 0], [0], [0]]
    return np.concatenate([brightest, near, anywhere], axis=1)


def exact(case: Case) -> npt.NDArray[np.float64]:
    """Integrate over pupil and pixels at `places`."""
    z, y, x = places(case) * np.array([[_STEP], [_PIXEL], [_PIXEL]])
    optics = OPTICS[case.optics]
    return pixel_mean("vectorial", optics["depth"] + z, y, x, _PIXEL, optics, 6)


def measure(name: str, case: Case) -> Result:
    """Make a small PSF to warm up, then the one that counts as often as makes sense."""
    program = PROGRAMS[name]
    program(Case((5, 9, 9), case.optics))
    before = psutil.Process().memory_info().rss
    seconds: list[float] = []
    while len(seconds) < 5 and sum(seconds) < _LONGEST:
        started = time.perf_counter()
        volume = program(case)
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 1:
            memory = _peak() - before
    middle = np.array(case.shape)[:, np.newaxis] // 2
    values = volume[tuple(middle + places(case))].astype(float)
    return Result(min(seconds), memory, values.tolist())


def _peak() -> int:
    """Most memory that this process ever had; macOS tells bytes, others kB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def error(result: Result, truth: npt.NDArray[np.float64]) -> float:
    """Largest difference of PSFs that are both 1 at the brightest voxel."""
    values = np.array(result.values)
    return float(np.abs(values / values[0] - truth / truth[0]).max())


def page(rows: list[list[str]]) -> str:
    """Write the page of the documentation."""
    header = ["voxels, optics", "program", "seconds", "largest error", "memory"]
    described = "; ".join(f"{name}: {value}" for name, value in describe_machine().items())
    return "\n".join(
        [
            "# Speed and accuracy of the vectorial PSF",
            "",
            "The same vectorial PSF, integrated over the camera's pixels, by this package and by "
            "[psfmodels](https://github.com/tlambert03/psfmodels), made by "
            "`python -m benchmarks.psf --docs docs`.",
            "",
            markdown_table(header, rows),
            "",
            f"- Voxels of {_STEP} × {_PIXEL} × {_PIXEL} µm, wavelength {_WAVELENGTH} µm.",
            "- **seconds**: the fastest run, on the CPU, through the function that users call.",
            f"- **largest error** at {_VOXELS + 1} voxels, half of them close to the focus, "
            "against adaptive quadrature of the integrals at 6 × 6 points a pixel; 1 is the "
            "brightest voxel. psfmodels integrates over pixels by 3 × 3 samples, its default.",
            "- **memory** that the process took at most, as a multiple of the PSF in single "
            "precision.",
            f"- {described}.",
            "",
        ]
    )


def _row(case: Case, name: str, truth: npt.NDArray[np.float64]) -> list[str]:
    try:
        label = f"{name} {version(name)}"
    except PackageNotFoundError:
        return [_label(case), name, "not installed", "", ""]
    # A fresh process, so that its memory can be told.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result = pool.apply(measure, (name, case))
    voxels = int(np.prod(case.shape))
    memory = f"{result.memory / (4 * voxels):.1f}" if voxels > _LARGE else ""
    return [
        _label(case), label, f"{result.seconds:.3g}", f"{error(result, truth):.0e}", memory
    ]  # fmt: skip


def _label(case: Case) -> str:
    return f"{size(case.shape)}, {case.optics}"


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
def main(docs: Path | None) -> None:
    """Make vectorial PSFs with all programs: a table of seconds and errors."""
    rows = []
    for case in (Case(shape, optics) for shape in _SHAPES for optics in OPTICS):
        truth = exact(case)
        for name in PROGRAMS:
            rows.append(_row(case, name, truth))
            click.echo(" | ".join(rows[-1]))
    if docs is not None:
        (docs / "psf-speed.md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
