"""Beads in an image: where they are, how bright, how wide, and which can be trusted."""

from __future__ import annotations

from napari_deconv.beads.detection import METHODS, detect_beads
from napari_deconv.beads.statistics import BeadStatistics, bead_statistics
from napari_deconv.beads.table import Beads, Rejection
from napari_deconv.beads.threshold import THRESHOLDS, threshold_beads

__all__ = [
    "METHODS",
    "THRESHOLDS",
    "BeadStatistics",
    "Beads",
    "Rejection",
    "bead_statistics",
    "detect_beads",
    "threshold_beads",
]
