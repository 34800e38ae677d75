"""How exact a distilled PSF is: ``python -m benchmarks.beads_accuracy --docs docs``.

Fields of beads are simulated with a known PSF, shifted exactly by Fourier phases; the error of the
PSF distilled from them is drawn over the beads' brightness and number. Some five minutes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.special import spherical_jn

from benchmarks.report import markdown_table
from napari_deconv import DeconvError, DeconvWarning, Psf, distill_psf, make_psf, measure_psf

__all__ = ["Result", "bead_field", "beads_accuracy", "true_psf"]

Floats = npt.NDArray[np.float64]

SPACING = (0.2, 0.08, 0.08)
SHAPE = (32, 256, 256)
NUMBERS = (5, 20, 60, 200)
PEAKS = (100, 300, 1000, 3000, 10_000)
DIAMETERS = (0.0, 0.1, 0.2)
BACKGROUND = 100.0

_MARKS = ("<!-- accuracy -->", "<!-- end of accuracy -->")


@dataclass(frozen=True)
class Result:
    """Errors of one distilled PSF; those of the FWHM are relative, the centre's in voxels.

    The centre is off by the shift that makes the true PSF most like the distilled one.
    """

    number: int
    peak: float
    diameter: float
    used: int
    axial: float
    lateral: float
    centre: float


def true_psf() -> Psf:
    """Make the PSF of an oil objective of NA 1.4 at 520 nm, with its halo."""
    return make_psf(
        "vectorial", shape=(41, 129, 129), spacing=SPACING, na=1.4, wavelength=0.52,
        n_immersion=1.515, n_sample=1.515, engine="cpu",
    )  # fmt: skip


def bead_field(psf: Psf, number: int, peak: float, diameter: float, seed: int) -> Floats:
    """Simulate beads on a cover slip in uneven background, with photon noise.

    Some lie at the border. They are at least 1 µm apart while there is room for that.
    """
    rng = np.random.default_rng(seed)
    room = np.pad(psf.data.astype(float), 8)
    frequencies = np.meshgrid(
        *(np.fft.fftfreq(n) for n in room.shape[:2]), np.fft.rfftfreq(room.shape[2]), indexing="ij"
    )
    spectrum = np.fft.rfftn(np.fft.ifftshift(room)) * _ball(frequencies, diameter)
    unit = np.fft.irfftn(spectrum, room.shape, (0, 1, 2)).max()
    image = np.zeros([n + m for n, m in zip(SHAPE, room.shape, strict=True)])
    for place in _places(number, rng):
        whole = np.floor(place).astype(int)
        shift = sum(nu * part for nu, part in zip(frequencies, place - whole, strict=True))
        bead = np.fft.irfftn(spectrum * np.exp(-2j * np.pi * shift), room.shape, (0, 1, 2))
        inside = tuple(slice(n, n + m) for n, m in zip(whole, room.shape, strict=True))
        image[inside] += peak * rng.uniform(0.7, 1.3) / unit * np.fft.fftshift(bead)
    middle = tuple(slice(m // 2, m // 2 + n) for n, m in zip(SHAPE, room.shape, strict=True))
    y, x = np.ogrid[-1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    background = BACKGROUND * (1 + 0.2 * np.exp(-(x**2) - (y - 0.5) ** 2) + 0.05 * x)
    return rng.poisson(np.maximum(image[middle], 0) + background).astype(float)


def _ball(frequencies: Sequence[Floats], diameter: float) -> Floats:
    """Fourier transform of a ball of unit sum, 3·j₁(q)/q, q = π·d·|ν|."""
    squares = ((nu / step) ** 2 for nu, step in zip(frequencies, SPACING, strict=True))
    q = np.pi * diameter * np.sqrt(sum(squares))
    ball: Floats = np.where(q > 0, 3 * spherical_jn(1, q) / np.where(q > 0, q, 1), 1)
    return ball


def _places(number: int, rng: np.random.Generator) -> list[Floats]:
    places: list[Floats] = []
    while len(places) < number:
        z = rng.normal(SHAPE[0] / 2, 0.3 / SPACING[0])
        place = np.array([z, *rng.uniform(0, np.array(SHAPE[1:]) - 1)])
        if all(np.hypot(*((place - other) * SPACING)[1:]) > 1 for other in places):
            places.append(place)
    return places


def measure(psf: Psf, number: int, peak: float, diameter: float) -> Result | None:
    """Distil a PSF from a simulated field and compare; None where no bead is accepted."""
    image = bead_field(psf, number, peak, diameter, seed=number)
    try:
        found = distill_psf(image, spacing=SPACING, bead_diameter=diameter, engine="cpu")
    except DeconvError:
        return None
    report = measure_psf(found)
    error = np.divide(report.fwhm, measure_psf(psf).fwhm) - 1
    off = _shift(found, psf)
    return Result(
        number, peak, diameter, found.metadata["beads"]["used"],
        float(error[0]), float(error[1:].mean()), float(np.abs(off).max()),
    )  # fmt: skip


def _shift(found: Psf, truth: Psf) -> Floats:
    """Least squares: found = a·(h − s·∇h) + b·1, where h is the true PSF; s in voxels."""
    window = tuple(
        slice(n // 2 - m // 2, n // 2 - m // 2 + m)
        for n, m in zip(truth.shape, found.shape, strict=True)
    )
    h = truth.data[window].astype(float)
    parts = [*np.gradient(h), h, np.ones_like(h)]
    terms = np.stack([part.ravel() for part in parts], axis=1)
    *slopes, a, _ = np.linalg.lstsq(terms, found.data.ravel().astype(float))[0]
    shift: Floats = -np.array(slopes) / a
    return shift


def beads_accuracy() -> list[Result]:
    """Measure all numbers and brightnesses with beads of 0.1 µm, and 20 beads of other sizes."""
    psf = true_psf()
    cases = [(n, float(p), 0.1) for n in NUMBERS for p in PEAKS]
    cases += [(20, 3000.0, d) for d in DIAMETERS if d != 0.1]
    results = []
    for case in cases:
        result = measure(psf, *case)
        click.echo(f"{case}: {result}")
        if result is not None:
            results.append(result)
    return results


def table(results: list[Result]) -> str:
    """Write the results as a table in Markdown."""
    head = ["beads", "photons at the peak", "diameter µm", "used", "FWHM z", "FWHM x, y",
            "centre, voxels"]  # fmt: skip
    rows = [
        [str(r.number), f"{r.peak:g}", f"{r.diameter:g}", str(r.used), f"{r.axial:+.1%}",
         f"{r.lateral:+.1%}", f"{r.centre:.3f}"]
        for r in results
    ]  # fmt: skip
    return markdown_table(head, rows)


def draw(results: list[Result], path: Path) -> None:
    """Draw the errors over brightness, a line for each number of beads."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = {"axial": "Error of FWHM z, %", "lateral": "Error of FWHM x, y, %",
              "centre": "Error of the centre, voxels"}  # fmt: skip
    for axes, (name, label) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        scale = 1 if name == "centre" else 100
        for number in NUMBERS:
            chosen = [r for r in results if r.number == number and r.diameter == 0.1]
            axes.semilogx(
                [r.peak for r in chosen], [scale * getattr(r, name) for r in chosen], "o-",
                label=f"{number} beads",
            )  # fmt: skip
        limit = 0.05 if name == "centre" else 5
        axes.axhspan(-limit if scale > 1 else 0, limit, color="0.9", zorder=0)
        axes.set(xlabel="Photons at a bead's peak (background 100)", ylabel=label)
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=100)


@click.command()
@click.option("--docs", type=click.Path(path_type=Path, exists=True), required=True,
              help="Folder of the documentation.")  # fmt: skip
def main(docs: Path) -> None:
    """Draw the errors into docs/images, and put the table into docs/beads.md."""
    warnings.simplefilter("ignore", DeconvWarning)
    results = beads_accuracy()
    draw(results, docs / "images" / "beads_accuracy.png")
    page = docs / "beads.md"
    before, _, rest = page.read_text().partition(_MARKS[0])
    after = rest.partition(_MARKS[1])[2]
    page.write_text(f"{before}{_MARKS[0]}\n\n{table(results)}\n\n{_MARKS[1]}{after}")
    click.echo(json.dumps([asdict(r) for r in results]))


if __name__ == "__main__":
    main()
