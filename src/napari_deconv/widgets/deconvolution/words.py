"""What is said of a deconvolution: names of layers, the result line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deconv.deconvolution import METHODS

if TYPE_CHECKING:
    from napari_deconv.blocks import BlockDeconvolution
    from napari_deconv.deconvolution import Deconvolution

__all__ = ["found_in", "line_of", "name_of", "short_name"]

# Names of results where the method's title is long.
_SHORT = {"richardson_lucy": "RL", "nnls": "NNLS", "ictm": "ICTM", "fista": "FISTA"}


def short_name(method: str) -> str:
    """Name a method in the name of a layer."""
    return _SHORT.get(method, METHODS[method].title)


def name_of(result: Deconvolution | BlockDeconvolution, iterations: int) -> str:
    """Name the layer of a result of so many iterations, such as RL 40."""
    method = result.recipe["parameters"]["method"]
    return short_name(method) if METHODS[method].direct else f"{short_name(method)} {iterations}"


def line_of(result: Deconvolution | BlockDeconvolution) -> str:
    """Say why it ended, and what was found on the way."""
    found = [f"background {_levels(result.background)}"]
    if np.isfinite(result.gain).any():
        gain = _levels(result.gain, 3)
        found.append(f"gain {gain} grey value{'' if gain == '1' else 's'} a photon")
    if result.weights:
        found.append(f"smoothness {result.weights.get('gcv', result.weights.get('tv')):.2g}")
    sentences = (result.stop_reason, ", ".join(found))
    return " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)


def found_in(result: Deconvolution | BlockDeconvolution) -> dict[str, Any]:
    """Collect what the run has found, in plain values; a gain that was not needed is None."""
    gains = [float(gain) if np.isfinite(gain) else None for gain in np.ravel(result.gain)]
    levels = np.ravel(result.background).tolist() if np.size(result.background) < 1000 else None
    one = len(gains) == 1
    return {"found": {"background": levels[0] if one and levels else levels,
                      "gain": gains[0] if one else gains}}  # fmt: skip


def _levels(values: Any, digits: int = 4) -> str:
    levels = np.unique(values)
    shown = levels if len(levels) == 1 else levels[[0, -1]]
    return " to ".join(f"{level:.{digits}g}" for level in shown)
