"""Every solver of ours on two public data sets: ``python -m benchmarks.solvers_table``.

The environment variable NAPARI_DECONV_DATA names the folder of the data: ``benchmark/`` in it holds
the hollow bars of the EPFL at 25 % (``bars25_*.tif``) and a pollen grain (``pollen_*.tif``).
"""

from __future__ import annotations

import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import tifffile

from benchmarks.machine import describe_machine
from benchmarks.report import markdown_table
from napari_deconv import DeconvWarning, deconvolve

__all__ = ["SETS", "SOLVERS", "nrmse", "solvers_table"]

Real = npt.NDArray[Any]

SOLVERS: dict[str, dict[str, Any]] = {
    "Richardson–Lucy, plain": {"acceleration": None},
    "Richardson–Lucy, heavy ball": {},
    "— coarse to fine": {"levels": "auto"},
    "— coarse to fine, stopped by consensus": {"levels": "auto", "stop": "consensus"},
    "— total variation": {"regularization": "tv"},
    "— total variation, automatic": {"regularization": "tv", "regularization_weight": "auto"},
    "— Tikhonov": {"regularization": "tikhonov"},
    "— Good's roughness": {"regularization": "roughness"},
    "Richardson–Lucy, Biggs–Andrews": {"acceleration": "biggs"},
    "Richardson–Lucy, Wiener–Butterworth": {"acceleration": "wiener_butterworth"},
    "Gradient consensus": {"method": "gradient_consensus"},
    "Blind Richardson–Lucy": {"method": "blind"},
    "Landweber": {"method": "landweber"},
    "NNLS": {"method": "nnls"},
    "ICTM": {"method": "ictm"},
    "FISTA": {"method": "fista"},
    "Tikhonov": {"method": "tikhonov"},
    "Wiener": {"method": "wiener"},
    "Wiener, automatic": {"method": "wiener", "regularization_weight": "auto"},
    "Inverse": {"method": "inverse"},
}
"""What the table calls a solver → options of `deconvolve`; all others are the defaults."""

_GIVEN: dict[str, Any] = {"background": 0, "engine": "cpu"}

SETS = {
    "bars": ("bars25_actual", "bars25_data", "bars25_kernel"),
    "pollen": ("pollen_truth", "pollen_poisson_noise_blurred", "pollen_psf"),
}
"""A set's name → names of its truth, image and PSF; neither has a background."""


@dataclass(frozen=True)
class Outcome:
    """How near an estimate is to the truth, and what it took."""

    correlation: float
    nrmse: float
    iterations: int
    seconds: float


def nrmse(estimate: Real, truth: Real) -> float:
    """Tell ‖a·x − t‖/‖t‖ with the factor a that makes it smallest: the sets' units differ."""
    x, t = estimate.ravel().astype(float), truth.ravel().astype(float)
    factor = (x @ t) / (x @ x)
    return float(np.linalg.norm(factor * x - t) / np.linalg.norm(t))


def correlation(estimate: Real, truth: Real) -> float:
    """Correlate two images."""
    return float(np.corrcoef(estimate.ravel(), truth.ravel())[0, 1])


def solve(image: Real, psf: Real, truth: Real, options: dict[str, Any]) -> Outcome:
    """Run one solver on one set."""
    begun = time.perf_counter()
    result = deconvolve(image, psf, **(_GIVEN | options))
    seconds = time.perf_counter() - begun
    return Outcome(
        correlation(result.image, truth), nrmse(result.image, truth), result.iterations, seconds
    )


def solvers_table(folder: Path) -> str:
    """Run all solvers on both sets, and write the table."""
    header = ["", *(f"{name}: {what}" for name in SETS for what in _COLUMNS)]
    outcomes: dict[str, list[str]] = {name: [] for name in ("the image itself", *SOLVERS)}
    for names in SETS.values():
        truth, image, psf = (tifffile.imread(folder / f"{name}.tif") for name in names)
        outcomes["the image itself"] += _cells(
            Outcome(correlation(image, truth), nrmse(image, truth), 0, 0.0)
        )  # fmt: skip
        for name, options in SOLVERS.items():
            outcomes[name] += _cells(solve(image, psf, truth, options))
    return markdown_table(header, [[name, *cells] for name, cells in outcomes.items()])


_COLUMNS = ("correlation", "NRMSE", "steps", "s")


def _cells(outcome: Outcome) -> list[str]:
    return [
        f"{outcome.correlation:.3f}",
        f"{outcome.nrmse:.3f}",
        f"{outcome.iterations}",
        f"{outcome.seconds:.1f}",
    ]


def page(table: str) -> str:
    """Write the page around the table."""
    return f"""# Solvers

Every solver on two public data sets with a known truth, made by
`python -m benchmarks.solvers_table --docs docs`. Everything that is not named is the default.

{table}

- **bars**: the hollow bars of the EPFL's DeconvolutionLab2 at a quarter of their size, 32 × 64 × 64
  voxels, as flowdec ships them. **pollen**: 32 × 256 × 256 voxels with a PSF as large, as sdeconv
  ships it. Neither has a background.
- 40 steps are too many for the noise of the pollen where steps are long: `stop="consensus"` ends
  there early, and is the row to compare with.
- The bars were blurred periodically and have hardly any noise. What is outside the image is wrong
  for all filters, which lose by it (with `boundary="circular"` Wiener's reaches .54, Tikhonov's
  .46); the iterative methods estimate what is outside.
- **NRMSE**: ‖a·x − t‖/‖t‖, with the factor a that makes it smallest: estimate and truth of the bars
  are not in the same unit.
- **s**: seconds on {describe_machine()["Processor"]}.
"""


@click.command()
@click.option("--docs", type=click.Path(path_type=Path), help="Folder of the documentation.")
def main(docs: Path | None) -> None:
    """Print the table of all solvers; write docs/solvers.md."""
    warnings.simplefilter("ignore", DeconvWarning)
    table = solvers_table(Path(os.environ["NAPARI_DECONV_DATA"]) / "benchmark")
    click.echo(table)
    if docs is not None:
        (docs / "solvers.md").write_text(page(table), encoding="utf-8")


if __name__ == "__main__":
    main()
