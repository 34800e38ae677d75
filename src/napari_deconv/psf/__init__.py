"""Point-spread functions: computed, distilled from beads, measured."""

from __future__ import annotations

from napari_deconv.psf.clean import clean_psf, load_psf
from napari_deconv.psf.distill import distill_psf
from napari_deconv.psf.measure import PsfReport, measure_psf
from napari_deconv.psf.psf import Psf
from napari_deconv.psf.report import Report, make_report
from napari_deconv.psf.synthetic import (
    fluorophores,
    make_psf,
    nyquist_step,
    objectives,
    optics_from_file,
    optics_from_ome,
)

__all__ = [
    "Psf",
    "PsfReport",
    "Report",
    "clean_psf",
    "distill_psf",
    "fluorophores",
    "load_psf",
    "make_psf",
    "make_report",
    "measure_psf",
    "nyquist_step",
    "objectives",
    "optics_from_file",
    "optics_from_ome",
]
