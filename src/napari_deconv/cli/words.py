"""Messages in the words of the command line."""

from __future__ import annotations

import re

__all__ = ["in_options"]

# What Python's parameters are called here, where a message names them without a value, too.
_RENAMED = {
    "bead_diameter": "--bead-diameter",
    "centre_psf=False": "--no-centre-psf",
    "glass_thickness": "--glass-thickness",
    "glass_thickness_design": "--glass-thickness-design",
    "illumination_na": "--illumination-na",
    "n_glass": "--glass",
    "n_glass_design": "--glass-design",
    "n_immersion": "--immersion",
    "n_immersion_design": "--immersion-design",
    "n_sample": "--sample",
    "pinhole_distance": "--pinhole-distance",
    "pinhole_radius": "--pinhole-radius",
    "pixel_integration=False": "--no-pixel-integration",
    "read_noise": "--read-noise",
    "symmetric_psf": "--symmetric-psf",
    "regularization_weight": "--weight",
    "working_distance": "--working-distance",
}
# Words like any other unless a value follows. The method is --detection in one of the commands.
_WITH_VALUE = {"method": "method"} | {
    name: f"--{name}"
    for name in (
        "angle", "background", "centre", "damping", "depletion", "depth", "depths", "engine",
        "excitation", "factor", "floor", "formula", "fwhm", "gain", "initial", "iterations",
        "length", "levels", "mask", "modality", "na", "offset", "percentile", "pinhole", "radius",
        "saturation", "shape", "sheet", "spacing", "threshold", "value", "wavelength", "zernike",
    )
}  # fmt: skip
# Not what is quoted, as a name in a file or a formula, and not part of a file's name.
_PARAMETER = re.compile(
    rf"(?<![\w'“/.-])(?:({'|'.join(_RENAMED)})(?![\w/-]|\.\w)=?|({'|'.join(_WITH_VALUE)})=)"
    r"(?P<value>[\w'({\[-])?"
)


def in_options(text: str) -> str:
    """Call Python's parameters in a message by their options."""

    def option(match: re.Match[str]) -> str:
        name = _RENAMED[match[1]] if match[1] else _WITH_VALUE[match[2]]
        return f"{name} {match['value']}" if match["value"] else name

    return _PARAMETER.sub(option, text.replace("=None", "= (not given)"))
