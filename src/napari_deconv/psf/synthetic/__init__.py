"""Point-spread functions computed: from optics, from a motion, from a formula."""

from __future__ import annotations

from napari_deconv.psf.synthetic.models import make_psf
from napari_deconv.psf.synthetic.ome_optics import optics_from_file, optics_from_ome
from napari_deconv.psf.synthetic.presets import fluorophores, objectives
from napari_deconv.psf.synthetic.sampling import nyquist_step

__all__ = [
    "fluorophores",
    "make_psf",
    "nyquist_step",
    "objectives",
    "optics_from_file",
    "optics_from_ome",
]
