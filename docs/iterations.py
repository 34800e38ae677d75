"""Draw too few, right and too many iterations, artefacts, and wrong PSFs.

``python docs/iterations.py FOLDER`` writes ``iterations.png``, ``artefacts.png`` and
``mismatch.png`` there, all from simulated cells whose truth is known.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_deconv import Deconvolution, DeconvWarning, convolve, deconvolve, make_psf, sample_data
from napari_deconv.psf.prepare import crop_to_support

Image = npt.NDArray[np.float32]

SHAPE, SPACING = (24, 128, 128), (0.2, 0.08, 0.08)
OPTICS = {"na": 1.4, "wavelength": 0.52, "n_immersion": 1.515}
FEW, MANY, EVERY = 20, 200, 5
XY = np.s_[12, 30:110, 24:104]
XZ = np.s_[:, 46, 24:104]


def error(estimate: Image, truth: Image) -> float:
    """NRMSE: |x − t|/|t|."""
    return float(np.linalg.norm(estimate - truth) / np.linalg.norm(truth))


class Specimen:
    """Cells of which everything is known, recorded with so many photons at the peak."""

    def __init__(self, photons: float) -> None:
        sample = sample_data.cells_widefield(SHAPE, engine="cpu")
        self.psf = crop_to_support(sample.psf.data)
        blurred = convolve(sample.truth, self.psf, boundary="zero", engine="cpu").clip(0)
        scale, self.background = photons / blurred.max(), 0.1 * photons
        self.truth = scale * sample.truth
        counts = scale * blurred + self.background
        self.image = np.random.default_rng(1).poisson(counts).astype(np.float32)

    def deconvolve(self, **options: Any) -> Deconvolution:
        """Deconvolve with all that is known, but for what the options say."""
        known = {"image": self.image, "psf": self.psf, "background": self.background, "gain": 1.0}
        return deconvolve(**(known | {"engine": "cpu"} | options))


def show(axis: Axes, plane: Image, title: str = "", **look: Any) -> None:
    """Show a plane from 0 to its 99.5th percentile, voxels as large as they are."""
    look = {"cmap": "gray", "vmin": 0, "vmax": np.percentile(plane, 99.5)} | look
    axis.imshow(plane, **look)
    axis.set_title(title, fontsize=9)
    axis.set(xticks=[], yticks=[])


def draw_iterations() -> Figure:
    """Draw the error over the iterations, and what the estimates look like."""
    figure = plt.figure(figsize=(11, 4.4), layout="constrained")
    grid = figure.add_gridspec(2, 6, width_ratios=[1.5, 1, 1, 1, 1, 1])
    for row, (light, photons) in enumerate({"bright": 800, "dim": 80}.items()):
        specimen = Specimen(photons)
        kept = specimen.deconvolve(iterations=MANY, keep_every=EVERY).intermediate
        errors = {step: error(image, specimen.truth) for step, image in kept.items()}
        best = min(errors, key=lambda step: errors[step])
        stopped = specimen.deconvolve(iterations=MANY, stop="consensus")
        title = f"only noise left: {stopped.iterations}"
        curve = figure.add_subplot(grid[row, 0])
        curve.plot(list(errors), list(errors.values()), "0.5")
        curve.plot(best, errors[best], "o", label=f"best: {best}")
        curve.plot(stopped.iterations, error(stopped.image, specimen.truth), "o", label=title)
        curve.set(ylim=(0, 1.6), ylabel="error", title=f"{light}: {photons} photons")
        curve.set_xlabel("iterations" if row else "")
        curve.legend(frameon=False, fontsize=8)
        pictures = {
            "recorded": specimen.image - specimen.background,
            f"too few: {FEW}": kept[FEW],
            title: stopped.image,
            f"too many: {MANY}": kept[MANY],
            "truth": specimen.truth,
        }
        for column, (title, image) in enumerate(pictures.items(), 1):
            show(figure.add_subplot(grid[row, column]), image[XY], title)
    return figure


def draw_artefacts() -> Figure:
    """Draw what goes wrong, and below what the remedy makes of it."""
    dim, bright = Specimen(80), Specimen(800)
    inner, good = bright.image[:, 30:110, 24:104], {"iterations": 80}
    pairs: dict[str, tuple[Specimen, dict[str, Any], str, dict[str, Any]]] = {
        "grains: too many iterations": (
            dim, {"iterations": 150}, "only noise left", {"iterations": 150, "stop": "consensus"},
        ),
        "ringing: Wiener": (
            bright, {"method": "wiener", "regularization_weight": 3e-4}, "Richardson–Lucy", good,
        ),
        "holes: background too high": (
            bright, good | {"background": 3.5 * bright.background}, "right background", good,
        ),
        "hot edges: nothing outside": (
            bright, good | {"image": inner, "boundary": "zero"},
            "unknown light outside", good | {"image": inner},
        ),
    }  # fmt: skip
    figure, axes = plt.subplots(2, len(pairs), figsize=(9, 4.9), layout="constrained")
    for column, (fault, (specimen, options, remedy, better)) in enumerate(pairs.items()):
        wrong, right = (specimen.deconvolve(**each).image for each in (options, better))
        part = XY if wrong.shape == SHAPE else XY[:1]
        grey = {
            "vmin": min(0, np.percentile(wrong[part], 1)),
            "vmax": np.percentile(right[part], 99),
        }
        for axis, image, title in zip(
            axes[:, column], (wrong, right), (fault, remedy), strict=True
        ):
            show(axis, image[part], title, **grey)
    return figure


def draw_mismatch() -> Figure:
    """Draw the estimates with wrong PSFs, and what they leave unexplained."""
    specimen = Specimen(800)
    psfs = {
        "right PSF": specimen.psf,
        "20 % too narrow": make_psf_of(wavelength=0.42),
        "20 % too wide": make_psf_of(wavelength=0.62),
        "10 µm deep in water": make_psf_of(n_sample=1.33, depth=10.0),
        "z step 0.3, not 0.2 µm": make_psf_of(spacing=(0.3, 0.08, 0.08)),
    }
    columns = len(psfs) + 1
    rows = {"height_ratios": [80, 60, 60]}
    figure, axes = plt.subplots(
        3, columns, figsize=(11, 4.8), layout="constrained", gridspec_kw=rows
    )
    deep = {"aspect": SPACING[0] / SPACING[2]}
    for column, (title, psf) in enumerate(psfs.items()):
        estimate, residual = fit(specimen, psf)
        show(axes[0, column], estimate[XY], title)
        show(axes[1, column], estimate[XZ], **deep)
        show(axes[2, column], residual[XZ], cmap="RdBu_r", vmin=-5, vmax=5, **deep)
        print(f"{title}: error {error(estimate, specimen.truth):.2f}, σ {residual.std():.2f}")
    show(axes[0, -1], specimen.truth[XY], "truth")
    show(axes[1, -1], specimen.truth[XZ], **deep)
    axes[2, -1].axis("off")
    for axis, label in zip(axes[:, 0], ("XY", "XZ", "residual, XZ"), strict=True):
        axis.set_ylabel(label)
    return figure


def fit(specimen: Specimen, psf: Image) -> tuple[Image, Image]:
    """Deconvolve; give the estimate, and the image minus its model in standard deviations.

    Light from outside belongs to the model: the image gets a margin that is left out by the mask.
    """
    margin = [(n // 2, n // 2) for n in psf.shape]
    inside = tuple(slice(before, -after) for before, after in margin)
    mask = np.pad(np.ones(SHAPE, bool), margin)
    wide = specimen.deconvolve(
        image=np.pad(specimen.image, margin), psf=psf, mask=mask, boundary="circular", iterations=80
    ).image
    model = convolve(wide, psf, boundary="circular", engine="cpu")[inside] + specimen.background
    return wide[inside], (specimen.image - model) / np.sqrt(model)


def make_psf_of(**different: Any) -> Image:
    """Compute the PSF of the sample's microscope, but for what is different."""
    known = OPTICS | {"shape": (23, 129, 129), "spacing": SPACING, "engine": "cpu"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeconvWarning)  # the window is as large as the sample's
        return crop_to_support(make_psf("vectorial", **(known | different)).data)


def save(figure: Figure, path: Path) -> None:
    """Save with few colours, which is small."""
    figure.canvas.draw()
    picture = PIL.Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    picture.quantize(128, PIL.Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def main(folder: str) -> None:
    """Draw all."""
    for draw in (draw_iterations, draw_artefacts, draw_mismatch):
        save(draw(), Path(folder) / f"{draw.__name__.removeprefix('draw_')}.png")


if __name__ == "__main__":
    main(sys.argv[1])
