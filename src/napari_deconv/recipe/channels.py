"""Channels, each deconvolved with a PSF of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_deconv.blocks import BlockDeconvolution
from napari_deconv.deconvolution import Deconvolution
from napari_deconv.errors import DeconvError
from napari_deconv.files import Image
from napari_deconv.psf.synthetic.channels import emission_of
from napari_deconv.psf.synthetic.models import takes
from napari_deconv.recipe.options import Optics
from napari_deconv.recipe.schema import PsfSource

__all__ = ["psf_of_each", "stack_blocks", "stack_channels", "take_channel"]


def take_channel(image: Image, channel: int, channels: int) -> Image:
    """Take one channel of an image that has to have so many.

    Parameters
    ----------
    image : Image
        With an axis ``"C"``.
    channel : int
        Counted from 0.
    channels : int
        How many PSFs there are.

    Raises
    ------
    DeconvError
        If it has more channels, or fewer.
    """
    if image.channel_count != channels or "C" not in image.axes:
        have = f"{image.channel_count} channels" if "C" in image.axes else "no channels"
        raise DeconvError(
            f"The recipe has PSFs for {channels} channels, the image has {have} (axes "
            f"{image.axes}): write one PSF for each into psf: {{channels: […]}}, in their order."
        )
    return image.of_channel(channel, "The image")


def stack_channels(image: Image, results: Sequence[Deconvolution]) -> Deconvolution:
    """Put the results of all channels together.

    Parameters
    ----------
    image : Image
        What the channels were taken of.
    results : sequence of Deconvolution
        One for each channel.

    Returns
    -------
    Deconvolution
        With the channels of the image where its axis ``"C"`` is, in the history too. ``psf`` and
        ``weights`` are those of the first channel, and it cannot be gone on from.
    """
    axis, first = image.axes.index("C"), results[0]
    kept = sorted({number for result in results for number in result.intermediate})
    return replace(
        first,
        image=np.stack([result.image for result in results], axis),
        iterations=max(result.iterations for result in results),
        stop_reason="; ".join(dict.fromkeys(result.stop_reason for result in results)),
        history={
            name: _side_by_side([result.history[name] for result in results], axis)
            for name in first.history
        },
        intermediate={
            number: np.stack([r.intermediate.get(number, r.image) for r in results], axis)
            for number in kept
        },
        gain=_stack([result.gain for result in results], axis),
        background=_stack([result.background for result in results], axis),
        recipe={**first.recipe, "operation": "stack_channels", "parameters": {}},
        _checkpoints=[],
    )


def stack_blocks(image: Image, results: Sequence[BlockDeconvolution]) -> BlockDeconvolution:
    """Put the lazy results of all channels together, as `stack_channels` does."""
    axis, first = image.axes.index("C"), results[0]
    surveys = {
        (*frame[:axis], channel, *frame[axis:]): survey
        for channel, result in enumerate(results)
        for frame, survey in result.surveys.items()
    }
    stacked = replace(
        first,
        image=da.stack([result.image for result in results], axis),
        tiles=da.stack([result.tiles for result in results], axis),
        surveys=surveys,
        fingerprint=" ".join(result.fingerprint for result in results),
    )
    made = first.recipe["made"] | {
        "seconds": sum(result.recipe["made"]["seconds"] for result in results),
        "stop_reason": stacked.stop_reason,
        "found": stacked.found,
    }
    call = {"operation": "stack_blocks", "parameters": {}, "made": made}
    return replace(stacked, recipe={**first.recipe, **call})


def psf_of_each(psf: PsfSource, names: Sequence[str]) -> PsfSource:
    """Let optics that state no wavelength see each channel in the light that it is named after.

    Parameters
    ----------
    psf : PsfSource
        One PSF, or one for each channel.
    names : sequence of str
        Of the channels.

    Returns
    -------
    PsfSource
        The same where a wavelength is stated or the names say nothing of light.
    """
    if psf.channels is None and len(names) == 1:
        return _in_light_of(psf, names[0])
    if psf.channels is None:
        each = [_in_light_of(psf, name) for name in names]
        unknown = not each or any(one is psf for one in each)
        return psf if unknown else PsfSource(channels=each)
    if len(names) != len(psf.channels):
        return psf
    return PsfSource(
        channels=[_in_light_of(p, n) for p, n in zip(psf.channels, names, strict=True)]
    )


def _in_light_of(psf: PsfSource, name: str) -> PsfSource:
    """Give optics the wavelengths of a channel where they lack them."""
    optics = psf.optics
    if optics is None or optics.wavelength is not None:
        return psf
    known = takes(optics.model, optics.modality)
    light = {
        key: value
        for key, value in emission_of(name).items()
        if key in known and getattr(optics, key) is None
    }
    if "wavelength" not in light:
        return psf
    given = optics.model_dump(exclude_unset=True, by_alias=True)
    return psf.model_copy(update={"optics": Optics(**given, **light)})


def _side_by_side(columns: Sequence[npt.NDArray[Any]], axis: int) -> npt.NDArray[Any]:
    """Stack columns of a history; what one has fewer rows of is NaN, its iteration -1."""
    rows = max(column.shape[-1] for column in columns)
    filled = []
    for column in columns:
        missing = -1 if column.dtype.kind == "i" else np.nan
        shape = (*column.shape[:-1], rows - column.shape[-1])
        filled.append(np.concatenate([column, np.full(shape, missing, column.dtype)], -1))
    return np.stack(filled, axis)


def _stack(values: Sequence[Any], axis: int) -> npt.NDArray[Any]:
    arrays = [np.asarray(value) for value in values]
    return np.stack(arrays, min(axis, arrays[0].ndim))
