"""What a TIFF says about its image: voxel size, channels, time, and what we stored with it.

A size counts only where the file really states one: OME-XML, ImageJ's calibration, or a TIFF
resolution in inches or centimetres finer than any printer's.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import tifffile

__all__ = [
    "METADATA_KEY",
    "Header",
    "hexadecimal",
    "length_in_micrometres",
    "ome_colour",
    "read_header",
    "time_in_seconds",
]

_MICROMETRES = {
    "m": 1e6, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6, "Å": 1e-4, "in": 25400.0,
    # micro sign, Greek mu, and the six characters that ImageJ writes for it
    "µm": 1.0, "μm": 1.0, "\\u00B5m": 1.0, "um": 1.0,
    "meter": 1e6, "metre": 1e6, "centimeter": 1e4, "centimetre": 1e4, "millimeter": 1e3,
    "millimetre": 1e3, "micrometer": 1.0, "micrometre": 1.0, "micron": 1.0, "nanometer": 1e-3,
    "nanometre": 1e-3, "angstrom": 1e-4, "inch": 25400.0,
}  # fmt: skip
_SECONDS = {
    "s": 1.0, "sec": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0, "second": 1.0,
    "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60.0, "hour": 3600.0,
}  # fmt: skip
_RESOLUTION_UNITS = {2: 25400.0, 3: 10000.0}
# 4800 dots per inch: a coarser resolution in a TIFF's tags is for printing, not of the microscope.
_COARSEST_PIXEL = 5.0
METADATA_KEY = "napari-deconv"


@dataclass
class Header:
    """What a file says about its image.

    Attributes
    ----------
    sizes : dict
        Size of a voxel in µm by axis letter; None or absent where unknown.
    metadata : dict
        What `napari_deconv.files.write_image` stored.
    channels : tuple of str
        Names of the channels.
    time_interval : float or None
        Seconds between time points.
    acquired : str or None
        When it was recorded, ISO 8601, as OME-XML says it.
    name : str
        What OME-XML calls the image.
    colours : tuple of str
        Colours of the channels, RRGGBB in hexadecimal, where OME-XML has them.
    """

    sizes: dict[str, float | None] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    time_interval: float | None = None
    acquired: str | None = None
    name: str = ""
    colours: tuple[str, ...] = ()


def read_header(tif: tifffile.TiffFile, position: int = 0) -> Header:
    """Read what a file says about one of its images.

    Parameters
    ----------
    tif : tifffile.TiffFile
        An open file.
    position : int
        Which image, counted from 0, where the file is an OME-TIFF.

    Returns
    -------
    Header
        Sizes that the file does not state, or not in a unit of length, are None.
    """
    if tif.is_ome:
        return _ome_header(tif.ome_metadata, position)
    if tif.is_imagej:
        return _imagej_header(tif.imagej_metadata, tif.pages[0])
    unit = _RESOLUTION_UNITS.get(_tag(tif.pages[0], "ResolutionUnit"))
    return Header(
        {
            axis: size if size is not None and size < _COARSEST_PIXEL else None
            for axis, size in _tag_sizes(tif.pages[0], unit, unit).items()
        }
    )


def _ome_header(xml: str, position: int) -> Header:
    """Read an image of OME-XML (https://docs.openmicroscopy.org/ome-model, 2016-06)."""
    images = ElementTree.fromstring(xml).findall("{*}Image")[position:]
    pixels = images[0].find("{*}Pixels") if images else None
    if pixels is None:
        return Header()
    image = images[0]
    sizes = {
        axis: length_in_micrometres(
            pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")
        )
        for axis in "ZYX"
    }
    interval = time_in_seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
    channels = pixels.findall("{*}Channel")
    names = [channel.get("Name") for channel in channels]
    colours = [_of_ome(channel.get("Color")) for channel in channels]
    return Header(
        sizes,
        _stored_metadata(image.findtext("{*}Description")),
        tuple(name for name in names if name) if all(names) else (),
        interval,
        image.findtext("{*}AcquisitionDate") or None,
        image.get("Name", ""),
        tuple(colours) if all(colours) else (),
    )


def ome_colour(colour: str) -> int:
    """Convert RRGGBB to OME-XML's: a signed integer of 32 bits of red, green, blue and alpha."""
    return int.from_bytes(bytes.fromhex(colour + "FF"), signed=True)


def hexadecimal(colour: Any) -> str:
    """Give a colour as RRGGBB, without what other programs write around it; empty if it is none."""
    found = re.fullmatch(r"#?([0-9A-Fa-f]{6})([0-9A-Fa-f]{2})?", str(colour))
    return found[1].upper() if found else ""


def _of_ome(colour: str | None) -> str:
    number = _number(colour)
    return "" if number is None else f"{int(number) >> 8 & 0xFFFFFF:06X}"


def _imagej_header(info: dict[str, Any], page: tifffile.TiffPage) -> Header:
    unit = info.get("unit")
    x_unit = _micrometres(unit)
    sizes = _tag_sizes(page, x_unit, _micrometres(info.get("yunit", unit)))
    # older ImageJ writes a negative step for stacks taken downwards
    step = _number(info.get("spacing"))
    sizes["Z"] = length_in_micrometres(None if step is None else abs(step), info.get("zunit", unit))
    return Header(sizes, time_interval=_number(info.get("finterval")) or None)


def _tag_sizes(
    page: tifffile.TiffPage, x_unit: float | None, y_unit: float | None
) -> dict[str, float | None]:
    """Pixel sizes from the tags XResolution and YResolution, which count pixels in a unit."""
    sizes: dict[str, float | None] = {}
    for axis, unit in (("X", x_unit), ("Y", y_unit)):
        pixels, units = _tag(page, f"{axis}Resolution") or (0, 0)
        sizes[axis] = units / pixels * unit if unit and pixels and units else None
    return sizes


def _tag(page: tifffile.TiffPage, name: str) -> Any:
    tag = page.tags.get(name)
    return None if tag is None else tag.value


def _stored_metadata(description: str | None) -> dict[str, Any]:
    try:
        stored = json.loads(description or "null")
    except ValueError:
        return {}
    metadata = stored.get(METADATA_KEY) if isinstance(stored, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def length_in_micrometres(value: Any, unit: str | None) -> float | None:
    """Convert a length to µm; None unless it is a positive number in a known unit."""
    number, micrometres = _number(value), _micrometres(unit)
    return number * micrometres if number and number > 0 and micrometres else None


def time_in_seconds(value: Any, unit: str | None) -> float | None:
    """Convert a time to seconds; None unless it is a number above 0 in a known unit."""
    number, second = _number(value), _SECONDS.get((unit or "").strip())
    return number * second if number and number > 0 and second else None


def _micrometres(unit: str | None) -> float | None:
    name = (unit or "").strip()
    return _MICROMETRES.get(name) or _MICROMETRES.get(name.lower().removesuffix("s"))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
