"""Point-spread functions: computed, distilled from beads, measured."""

from __future__ import annotations

from napari_deconv.psf.distill import distill_psf
from napari_deconv.psf.measure import PsfReport, measure_psf
from napari_deconv.psf.models import make_psf
from napari_deconv.psf.psf import Psf

__all__ = ["Psf", "PsfReport", "distill_psf", "make_psf", "measure_psf"]
