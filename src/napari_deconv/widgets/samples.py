"""Samples under File → Open Sample: the image, the hidden truth and the hidden PSF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv import sample_data
from napari_deconv.widgets.common.layers import SUM, checksum, provenance
from napari_deconv.widgets.common.results import centred, psf_options

__all__ = ["bars_confocal", "beads_widefield", "cells_widefield"]

LayerData = tuple[Any, dict[str, Any], str]


def beads_widefield() -> list[LayerData]:
    """Open 0.1 µm beads in a widefield microscope."""
    return _layers(sample_data.beads_widefield, "beads", gamma=0.5)  # dim ones are seen, too


def cells_widefield() -> list[LayerData]:
    """Open cells in a widefield microscope."""
    return _layers(sample_data.cells_widefield, "cells")


def bars_confocal() -> list[LayerData]:
    """Open bars and a rosette in a confocal microscope."""
    return _layers(sample_data.bars_confocal, "bars")


def _layers(simulate: Callable[[], sample_data.Sample], name: str, **look: Any) -> list[LayerData]:
    sample = simulate()

    def origin(part: str, data: npt.NDArray[Any]) -> dict[str, Any]:
        told = {"sample": simulate.__name__, "part": part, "optics": sample.optics}
        return told | {SUM: checksum(data)}

    volume = {
        "scale": sample.spacing,
        "units": ("µm",) * 3,
        "axis_labels": ("z", "y", "x"),
        "rgb": False,
    }
    hidden = {"visible": False}
    extent = np.array([[0, 0, 0], np.array(sample.image.shape) - 1]) * sample.spacing
    metadata = provenance(origin("psf", sample.psf.data), "true psf")
    psf = psf_options(sample.psf, f"PSF ({name}, true)", metadata) | hidden
    psf["translate"] = centred(extent, sample.psf.shape, sample.spacing)
    metadata = provenance(origin("truth", sample.truth), "truth")
    truth = volume | hidden | {"name": f"{name}, truth", "metadata": metadata}
    metadata = provenance(origin("image", sample.image), "image")
    image = volume | look | {"name": name, "metadata": metadata}
    return [
        (sample.truth, truth, "image"),
        (sample.psf.data, psf, "image"),
        (sample.image, image, "image"),
    ]
