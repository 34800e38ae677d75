"""Deconvolution microscopy: from beads to PSF to deconvolved images.

Arrays are (z, y, x) or (y, x), spacing is (z, y, x) in µm, results are float32 NumPy arrays of the
input's shape. Any integer or real dtype is taken; nothing that is passed in is modified.
"""

from __future__ import annotations

from importlib.metadata import version

from napari_deconv.acquisition import simulate_acquisition
from napari_deconv.background import estimate_background, subtract_background
from napari_deconv.beads import (
    Beads,
    BeadStatistics,
    Rejection,
    bead_statistics,
    detect_beads,
    threshold_beads,
)
from napari_deconv.blocks import (
    BlockDeconvolution,
    BlockPlan,
    begun_blocks,
    deconvolve_blocks,
    plan_blocks,
    prepare_blocks,
    use_cluster,
    write_blocks,
)
from napari_deconv.deconvolution import (
    Deconvolution,
    State,
    convolve,
    deconvolve,
    iterate,
    memory_needed,
)
from napari_deconv.engines import get_engine, list_devices, set_limits
from napari_deconv.errors import DeconvError, DeconvWarning, DeviceError
from napari_deconv.files import Image, open_image, positions, read_image, write_image
from napari_deconv.gain import estimate_gain
from napari_deconv.psf import (
    Psf,
    PsfReport,
    Report,
    clean_psf,
    distill_psf,
    fluorophores,
    load_psf,
    make_psf,
    make_report,
    measure_psf,
    nyquist_step,
    objectives,
    optics_from_file,
)
from napari_deconv.recipe.recipe import Recipe

__version__ = version("napari-deconv")

__all__ = [
    "BeadStatistics",
    "Beads",
    "BlockDeconvolution",
    "BlockPlan",
    "DeconvError",
    "DeconvWarning",
    "Deconvolution",
    "DeviceError",
    "Image",
    "Psf",
    "PsfReport",
    "Recipe",
    "Rejection",
    "Report",
    "State",
    "bead_statistics",
    "begun_blocks",
    "clean_psf",
    "convolve",
    "deconvolve",
    "deconvolve_blocks",
    "detect_beads",
    "distill_psf",
    "estimate_background",
    "estimate_gain",
    "fluorophores",
    "get_engine",
    "iterate",
    "list_devices",
    "load_psf",
    "make_psf",
    "make_report",
    "measure_psf",
    "memory_needed",
    "nyquist_step",
    "objectives",
    "open_image",
    "optics_from_file",
    "plan_blocks",
    "positions",
    "prepare_blocks",
    "read_image",
    "set_limits",
    "simulate_acquisition",
    "subtract_background",
    "threshold_beads",
    "use_cluster",
    "write_blocks",
    "write_image",
]
