"""What the name of a channel says of its light."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from napari_deconv.psf.synthetic.presets import Fluorophore, fluorophores

__all__ = ["emission_of"]

# Other names of the presets, in small letters.
_ALSO = {
    "calcofluor": "Calcofluor White",
    "dsred": "RFP",
    "fluo4": "Fluo-4",
    "gcamp": "GFP",
    "hoechst": "Hoechst 33342",
    "mneon": "mNeonGreen",
    "mrfp": "RFP",
    "mturquoise": "mTurquoise2",
    "neongreen": "mNeonGreen",
    "rhodamine": "TRITC",
    "sirdna": "SiR",
    "siractin": "SiR",
    "sirtubulin": "SiR",
    "tagrfp": "RFP",
    "texasred": "Texas Red",
    "txred": "Texas Red",
    "venus": "mVenus",
}

# Proteins that others are named after, with something in front: EGFP, mEYFP, H2B-mCherry.
_STEMS = {"gfp": "GFP", "yfp": "YFP", "cfp": "CFP", "bfp": "BFP", "mcherry": "mCherry"}

# Laser lines in nm, and the fluorophore whose emission stands for what is seen with them.
_LASERS = {
    405: "DAPI", 440: "CFP", 442: "CFP", 445: "CFP", 458: "CFP",
    473: "GFP", 476: "GFP", 488: "Alexa Fluor 488", 491: "Alexa Fluor 488",
    514: "YFP", 515: "YFP", 532: "Alexa Fluor 532", 543: "TRITC", 546: "Alexa Fluor 546",
    552: "Alexa Fluor 555", 555: "Alexa Fluor 555", 559: "Alexa Fluor 568",
    561: "Alexa Fluor 568", 568: "Alexa Fluor 568", 594: "Alexa Fluor 594",
    633: "Alexa Fluor 647", 635: "Alexa Fluor 647", 637: "Alexa Fluor 647",
    638: "Alexa Fluor 647", 640: "Alexa Fluor 647", 642: "Alexa Fluor 647",
    647: "Alexa Fluor 647", 685: "Alexa Fluor 680", 730: "Cy7", 750: "Cy7",
}  # fmt: skip

_EXCITED_BY = {"laser", "line", "ex", "exc", "excitation"}
_EMITTED = {"em", "emission"}
# Beside these and numbers of one or two digits, a laser line needs no further word.
_OF_CHANNELS = {"c", "ch", "channel", "w", "nm", "confocal"}


def emission_of(name: str) -> dict[str, Any]:
    """Read the light of a channel from its name.

    It takes fluorophores, those of `fluorophores` and their usual spellings (``"EGFP"``,
    ``"Alexa488"``, ``"ch1-AF647"``), laser lines (``"488"``, ``"C1 561 nm"``, ``"Laser 640"``) and
    what is called an emission (``"Em 525/50"``). Of several fluorophores the first one counts.

    Parameters
    ----------
    name : str
        Of a channel or a layer.

    Returns
    -------
    dict
        ``fluorophore``, the name of the preset that the channel is called after, where it is;
        ``wavelength`` and ``excitation`` in µm, as `make_psf` takes them, of that preset, or of the
        laser and the most usual fluorophore with it. Empty if the name says nothing of that.
    """
    words = _words(name)
    known = fluorophores()
    if found := _fluorophore(words, known):
        return {"fluorophore": found, **known[found].parameters}
    return _laser(words) | _band(words)


def _words(name: str) -> list[str]:
    """Split into runs of letters and numbers, in small letters."""
    name = re.sub(r"(?i)(?<![^\W_])a(?=\d{3}(?!\d))", "af", name)  # A488 is AF488
    return re.findall(r"[^\W\d_]+|\d+(?:[.,]\d+)*", name.casefold())


def _fluorophore(words: list[str], known: dict[str, Fluorophore]) -> str | None:
    """Find the preset that is named first, of those the one with the longest name."""
    spellings = {tuple(_words(other)): preset for other, preset in _ALSO.items()}
    for preset in known:
        spelling = tuple(_words(preset))
        spellings[spelling] = preset
        if spelling[:2] == ("alexa", "fluor"):
            for family in ("alexa", "alexafluor", "af"):
                spellings[family, *spelling[2:]] = preset
    longest = max(map(len, spellings))
    for start, word in enumerate(words):
        for length in range(longest, 0, -1):
            found = spellings.get(tuple(words[start : start + length]))
            if found is not None and found in known:
                return found
        for stem, preset in _STEMS.items():
            if word.endswith(stem) and preset in known:
                return preset
    return None


def _laser(words: list[str]) -> dict[str, float]:
    """Find the one laser line in a name that is about nothing else, or calls it one."""
    lines = [word for word in words if word.isdecimal() and int(word) in _LASERS]
    if len(lines) != 1:
        return {}
    place, line = words.index(lines[0]), int(lines[0])
    called = words[place - 1] in _EXCITED_BY if place else False
    called |= words[place + 1 : place + 2] == ["nm"]
    others = words[:place] + words[place + 1 :]
    if called or all(re.fullmatch(r"\d\d?", word) or word in _OF_CHANNELS for word in others):
        emission = fluorophores()[_LASERS[line]].emission
        return {"wavelength": emission / 1000, "excitation": line / 1000}
    return {}


def _band(words: list[str]) -> dict[str, float]:
    """Find the wavelength that is called the emission."""
    for before, word in pairwise(words):
        if before in _EMITTED and re.fullmatch(r"[3-9]\d\d", word):
            return {"wavelength": int(word) / 1000}
    return {}
