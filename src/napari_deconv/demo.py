"""The whole job on simulated data of known truth: beads → PSF → deconvolved specimen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.background import subtract_background
from napari_deconv.beads import Beads, detect_beads
from napari_deconv.deconvolution import Deconvolution, deconvolve
from napari_deconv.engines import get_engine
from napari_deconv.engines.protocol import Engine
from napari_deconv.errors import DeconvError
from napari_deconv.figures import draw_demo
from napari_deconv.files import replacing, write_image
from napari_deconv.psf.distill import distill_psf
from napari_deconv.psf.measure import measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.sample_data import Sample, beads_widefield, cells_widefield

__all__ = ["Demo", "run_demo"]

# µm, of the top hat that takes the uneven background away: several times a bead's FWHM.
_RADIUS = 1.0

Say = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo has made.

    Attributes
    ----------
    beads, specimen : Sample
        The simulated images with their truths.
    found : Beads
        The beads that were detected.
    psf : Psf
        The PSF distilled from them.
    deconvolved : ndarray of float32
        The specimen deconvolved with that PSF.
    correlation_before, correlation_after : float
        Pearson correlation with the truth, of the image and of the result.
    """

    beads: Sample
    specimen: Sample
    found: Beads
    psf: Psf
    deconvolved: npt.NDArray[np.float32]
    correlation_before: float
    correlation_after: float


def run_demo(
    folder: Path,
    *,
    shape: tuple[int, int, int] = (32, 256, 256),
    psf_shape: tuple[int, int, int] = (31, 49, 49),
    iterations: int = 40,
    engine: str | Engine = "auto",
    say: Say = print,
) -> Demo:
    """Simulate, subtract, detect, distil, deconvolve, and write everything.

    Parameters
    ----------
    folder : Path
        Where the files go; made if missing.
    shape : tuple of int
        Voxels of both images (z, y, x).
    psf_shape : tuple of int
        Voxels of the PSF.
    iterations : int
        Richardson–Lucy steps.
    engine : str or Engine
        Where to compute.
    say : callable
        Called with each line about what was done.

    Returns
    -------
    Demo
        What was made; files in `folder`: ``demo.png``, ``beads.csv`` and OME-TIFFs.

    Raises
    ------
    DeconvError
        If the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeconvError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    device = get_engine(engine)
    say(f"Computing on {device.device.name} ({device.device.key}).")
    beads = beads_widefield(shape, engine=device)
    specimen = cells_widefield(shape, engine=device)
    found, psf = _distil(beads, psf_shape, folder, device, say)
    result = deconvolve(
        specimen.image, psf, iterations=iterations, spacing=specimen.spacing, engine=device
    )
    demo = Demo(
        beads, specimen, found, psf, result.image,
        _correlation(specimen.image, specimen.truth), _correlation(result.image, specimen.truth),
    )  # fmt: skip
    say(
        f"Specimen: {iterations} iterations of Richardson–Lucy raise the correlation with the "
        f"truth from {demo.correlation_before:.2f} to {demo.correlation_after:.2f}."
    )
    _write_specimen(folder, specimen, result)
    with replacing(folder / "demo.png") as temporary:
        draw_demo(demo).savefig(temporary, format="png", dpi=110)
    return demo


def _distil(
    sample: Sample, shape: tuple[int, int, int], folder: Path, engine: Engine, say: Say
) -> tuple[Beads, Psf]:
    """From the bead image to the PSF, everything written on the way."""
    diameter = sample.optics["diameter"]
    subtracted = subtract_background(
        sample.image, "top_hat", radius=_RADIUS, spacing=sample.spacing, engine=engine
    )
    found = detect_beads(subtracted, spacing=sample.spacing, bead_diameter=diameter, engine=engine)
    counts = ", ".join(f"{count} {status}" for status, count in found.counts.items())
    say(f"Beads: uneven background subtracted, {len(found)} found: {counts}.")
    psf = distill_psf(
        subtracted, found, spacing=sample.spacing, shape=shape, bead_diameter=diameter,
        engine=engine,
    )  # fmt: skip
    measured, true = (
        " / ".join(f"{width:.3f}" for width in measure_psf(each).fwhm) for each in (psf, sample.psf)
    )
    say(f"PSF: FWHM z / y / x {measured} µm; the true one has {true} µm.")
    optics = {"optics": sample.optics}
    write_image(folder / "beads.ome.tif", sample.image, sample.spacing, optics)
    write_image(folder / "beads_subtracted.ome.tif", subtracted, sample.spacing, optics)
    found.to_csv(folder / "beads.csv")
    psf.save(folder / "psf.ome.tif")
    sample.psf.save(folder / "psf_truth.ome.tif")
    return found, psf


def _write_specimen(folder: Path, sample: Sample, result: Deconvolution) -> None:
    optics = {"optics": sample.optics}
    for name, image, metadata in (
        ("specimen", sample.image, optics),
        ("specimen_truth", sample.truth, optics),
        ("specimen_deconvolved", result.image, result.recipe),
    ):
        write_image(folder / f"{name}.ome.tif", image, sample.spacing, metadata)


def _correlation(image: npt.NDArray[Any], truth: npt.NDArray[np.float32]) -> float:
    """Pearson correlation over all voxels."""
    values = image.ravel().astype(np.float64)
    return float(np.corrcoef(values, truth.ravel())[0, 1])
