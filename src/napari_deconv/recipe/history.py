"""From the record of what was done to the recipe that does it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_deconv.errors import DeconvError
from napari_deconv.recipe.options import OF_BACKGROUND, WITHOUT_SPACING

__all__ = ["recipe_data"]

Data = dict[str, Any]

_SECTIONS = {
    "subtract_background": "background",
    "subtract_background_blocks": "background",
    "estimate_background": "background_estimate",
    "detect_beads": "beads",
    "convolve": "convolution",
    "simulate_acquisition": "acquisition",
    "deconvolve": "deconvolution",
    "deconvolve_blocks": "deconvolution",
}
"""The section of a recipe that stands for a public function."""

# Parameters that are written elsewhere: arrays, and what only a call in Python has.
_ELSEWHERE = ("mask", "initial", "depths")
_OF_BLOCKS = ("block", "overlap", "memory")
_DEFAULT_METHODS = {"background": "mean", "background_estimate": "percentile"}
_INHERITED = ("input", "background", "psf", "mask", "engine")


def recipe_data(record: Mapping[str, Any]) -> Data:
    """Turn a record into the data of a recipe.

    Parameters
    ----------
    record : mapping
        See `napari_deconv.provenance`.

    Returns
    -------
    dict
        To be validated.

    Raises
    ------
    DeconvError
        If nothing was done, or something of which a recipe knows nothing.
    """
    operation = record.get("operation")
    options = _options(record)
    inputs = record.get("inputs", {})
    engine = {"engine": record["engine"]} if "engine" in record else {}
    if operation == "make_psf":
        return {"psf": {"optics": options}, **engine}
    if operation == "distill_psf":
        return {"psf": {"beads": _bead_image(inputs, options)}, **engine}
    if operation in ("stack_channels", "stack_blocks"):
        return _of_channels([recipe_data(one) for one in inputs["results"]["channels"]])
    if operation not in _SECTIONS:
        raise DeconvError(
            f"A recipe cannot say {operation!r}."
            if operation
            else "There is nothing to write down: this is no result."
        )
    section = _SECTIONS[operation]
    data = _image(inputs.get("image", inputs.get("truth")), section, engine)
    blocks = {name: options.pop(name) for name in _OF_BLOCKS if options.get(name) is not None}
    if "memory" in blocks:
        blocks["memory"] /= 1e9
    if operation == "deconvolve_blocks":
        data["blocks"] = blocks
    data[section] = options
    _share_spacing(data, section)
    if "psf" in inputs:
        data["psf"] = _psf(inputs["psf"], record)
    if "mask" in inputs:
        data["mask"] = _source(inputs["mask"])
    if "initial" in inputs:
        data["initial"] = _initial(inputs["initial"], data)
    optics = data.get("psf", {}).get("optics", {})
    if "spacing" in optics and optics["spacing"] == _spacing_of(data):
        del optics["spacing"]
    return data


def _of_channels(each: Sequence[Data]) -> Data:
    """Give the one recipe of which these are the channels."""
    first = each[0]
    _main_input(first).pop("channel", None)
    return first | {"psf": {"channels": [one["psf"] for one in each]}}


def _main_input(data: Data) -> Data:
    source: Data = data["input"]
    return _main_input(source["recipe"]) if "recipe" in source else source


def _options(record: Mapping[str, Any]) -> Data:
    """Give the parameters, and say that there was no voxel size where that makes a difference."""
    given = {k: v for k, v in record.get("parameters", {}).items() if k not in _ELSEWHERE}
    for name, value in given.items():
        if isinstance(value, str) and value.startswith("array of shape"):
            raise DeconvError(
                f"The {name} was an {value}, which is not written down: a recipe takes a number."
            )
    section = _SECTIONS.get(record.get("operation", ""), "")
    method = given.get("method", _DEFAULT_METHODS.get(section))
    if section in _DEFAULT_METHODS:
        unused = set().union(*OF_BACKGROUND.values()) - {*OF_BACKGROUND[str(method)]}
        given = {name: given[name] for name in given if name not in unused}
    if method in WITHOUT_SPACING:
        given.pop("spacing", None)
    elif given.get("spacing") is None:
        given["spacing"] = "pixels"
    return given


def _source(origin: Mapping[str, Any] | None) -> Data:
    """Give the place an array comes from."""
    if not origin:
        raise DeconvError("It is not written down what the result was made of.")
    if "operation" in origin:
        return {"recipe": recipe_data(origin)}
    return {name: origin[name] for name in origin if name != "spacing"}


def _image(origin: Mapping[str, Any] | None, section: str, engine: Data) -> Data:
    """Begin a recipe with its image: the recipe that made it goes on where that is possible."""
    if origin and "operation" in origin:
        before = recipe_data(origin)
        kept = {"input", "engine"} if section == "background" else {"input", "background", "engine"}
        if before.keys() <= kept and before.get("engine") == engine.get("engine"):
            return before
    return {"input": _source(origin), **engine}


def _psf(origin: Mapping[str, Any], record: Mapping[str, Any]) -> Data:
    """Give where a PSF comes from."""
    if "operation" in origin:
        made = recipe_data(origin)
        same = made.get("engine") == record.get("engine")
        return made["psf"] if same and made.keys() <= {"psf", "engine"} else {"recipe": made}
    voxel = {"spacing": origin["spacing"] or "image"} if "spacing" in origin else {}
    if "sample" in origin:
        return {"sample": origin["sample"]}
    if "path" in origin:
        return {"file": origin["path"], **voxel}
    return {"layer": origin["layer"], **(voxel or {"spacing": "image"})}


def _bead_image(inputs: Mapping[str, Any], options: Data) -> Data:
    """Give the image of the beads with what becomes of it, and how the beads were found."""
    image, beads = inputs.get("image"), inputs.get("beads")
    data: Data = {**_source(image), **options}
    if beads is None:
        return data
    if beads.get("operation") == "detect_beads" and beads.get("inputs", {}).get("image") == image:
        found = _options(beads)
        if found.get("spacing") == data.get("spacing"):
            del found["spacing"]
        data["detection"] = found
    elif "operation" in beads:
        data["detection"] = {"recipe": recipe_data(beads)}
    else:
        data["detection"] = dict(beads)
    return data


def _initial(origin: Mapping[str, Any], data: Data) -> Data:
    """Give the run that was gone on from, without what it shares with this one."""
    if origin.get("operation") != "deconvolve":
        return _source(origin)
    before = recipe_data(origin)
    for name in _INHERITED:
        # An earlier run has no section of its own that it could have left empty.
        if name in before and before[name] == data.get(name):
            del before[name]
    return {"recipe": before}


def _share_spacing(data: Data, section: str) -> None:
    """Write the voxel size once, with the input."""
    options, shared = data[section], _spacing_of(data)
    if "spacing" not in options:
        return
    if shared is None and "input" in data:
        data["input"] = data["input"] | {"spacing": options["spacing"]}
        shared = options["spacing"]
    if options["spacing"] == shared:
        del options["spacing"]


def _spacing_of(data: Data) -> Any:
    """Find the voxel size of a recipe's input."""
    source = data.get("input", {})
    return source.get("spacing") or (_spacing_of(source["recipe"]) if "recipe" in source else None)
