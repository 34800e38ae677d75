"""A PSF and settings for layers that are not in memory."""

from __future__ import annotations

import numpy as np
from hand import SPACING, blob

from napari_deconv import Psf

POINTS = blob((7, 9, 9), (3, 4, 4)).astype(np.float32)
PSF = Psf(POINTS, SPACING)
UM = {"units": ("µm",) * 3, "scale": SPACING}
RUN = {"spacing": SPACING, "iterations": 6, "engine": "cpu"}
