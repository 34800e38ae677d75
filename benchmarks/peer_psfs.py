"""PSFs that others made of real beads, beside ours: ``python -m benchmarks.peer_psfs --docs docs``.

The environment variable NAPARI_DECONV_DATA names the folder of the data; ``beads/`` in it holds the
stacks and the PSFs of others.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import tifffile
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from napari_deconv import Psf, distill_psf, measure_psf

__all__ = ["Pair", "main", "pairs"]

_REACH = 1.6  # µm from the centre that is shown


@dataclass(frozen=True)
class Pair:
    """What others and we made of the same beads."""

    name: str
    peer: Psf
    ours: Psf


def pairs(folder: Path) -> list[Pair]:
    """Distil both stacks. The average of others keeps the beads' size; so does ours beside it."""

    def read(name: str) -> npt.NDArray[np.generic]:
        return np.asarray(tifffile.imread(folder / "beads" / name))

    widefield, confocal = (0.3, 0.108, 0.108), (0.125, 0.02249, 0.02249)
    return [
        Pair(
            "Widefield, NA 0.95",
            Psf(read("hoogenboom_peer_psf_av_zyx60x21.6x21.6.tif"), [s / 5 for s in widefield]),
            distill_psf(
                read("hoogenboom_200nm_na095_zyx300x108x108.tif"), spacing=widefield, engine="cpu"
            ),
        ),
        Pair(
            "Confocal",
            Psf(read("haase_peer_psf_45cubed.tif"), confocal),
            distill_psf(read("haase_Bead_Image1_crop.tif"), spacing=confocal, engine="cpu"),
        ),
    ]


def draw(pairs: list[Pair], path: Path) -> None:
    """Draw XY and XZ through the middle of each PSF, with its widths."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    for row, pair in zip(figure.subplots(len(pairs), 4), pairs, strict=True):
        both = (pair.peer, pair.ours)
        halves = [np.array(psf.shape) // 2 * psf.spacing for psf in both]
        reach = np.minimum(np.min(halves, axis=0), _REACH)
        for axes, whose, psf in zip((row[:2], row[2:]), ("others", "ours"), both, strict=True):
            widths = " × ".join(f"{width:.3f}" for width in measure_psf(psf).fwhm)
            _section(axes[0], psf, 0, reach, f"{pair.name}, {whose}: xy")
            _section(axes[1], psf, 1, reach, f"xz, FWHM {widths} µm")
    figure.savefig(path, dpi=100)


def _section(axes: Axes, psf: Psf, normal: int, reach: npt.NDArray[np.float64], title: str) -> None:
    plane = psf.data.take(psf.shape[normal] // 2, normal)
    kept = [axis for axis in range(3) if axis != normal]
    half = [psf.shape[axis] // 2 * psf.spacing[axis] for axis in kept]
    axes.imshow(
        plane, extent=(-half[1], half[1], half[0], -half[0]), cmap="magma",
        interpolation="nearest", norm=PowerNorm(0.5, 0, plane.max()),
    )  # fmt: skip
    rows, columns = reach[kept]
    axes.set(title=title, xlabel="µm", xlim=(-columns, columns), ylim=(rows, -rows))
    axes.title.set_fontsize(9)
    axes.locator_params(nbins=4)
    if columns < rows / 2:  # no room for more
        axes.set_xticks([0])


@click.command()
@click.option("--docs", type=click.Path(path_type=Path, exists=True), required=True,
              help="Folder of the documentation.")  # fmt: skip
def main(docs: Path) -> None:
    """Draw the PSFs into docs/images/peer_psfs.png."""
    found = pairs(Path(os.environ["NAPARI_DECONV_DATA"]))
    draw(found, docs / "images" / "peer_psfs.png")
    for pair in found:
        for whose, psf in (("others", pair.peer), ("ours", pair.ours)):
            click.echo(f"{pair.name}, {whose}: {measure_psf(psf)}")


if __name__ == "__main__":
    main()
