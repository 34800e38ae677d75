"""The functions that a recipe stands for: in memory, or block by block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_deconv.background import subtract_background
from napari_deconv.blocks import plan_blocks, prepare_blocks
from napari_deconv.blocks.background import subtract_background_blocks
from napari_deconv.deconvolution import deconvolve
from napari_deconv.errors import WholeImageError
from napari_deconv.files import open_image, read_image
from napari_deconv.recipe.channels import stack_blocks, stack_channels
from napari_deconv.recipe.schema import Steps

__all__ = ["IN_BLOCKS", "IN_MEMORY", "PLANNED", "Way", "check_blocks"]


@dataclass(frozen=True)
class Way:
    """Functions that take the same parameters and do the same.

    Attributes
    ----------
    read, subtract, deconvolve, stack : callable
        `read_image`, `subtract_background`, `deconvolve`, `stack_channels`, or what stands for
        them.
    """

    read: Callable[..., Any]
    subtract: Callable[..., Any]
    deconvolve: Callable[..., Any]
    stack: Callable[..., Any]


def _as_it_is(image: Any, *_: Any, **__: Any) -> Any:
    return image


def _listed(image: Any, results: list[Any]) -> list[Any]:
    return results


IN_MEMORY = Way(read_image, subtract_background, deconvolve, stack_channels)

IN_BLOCKS = Way(open_image, subtract_background_blocks, prepare_blocks, stack_blocks)
"""The result is a `BlockDeconvolution`."""

PLANNED = Way(open_image, _as_it_is, plan_blocks, _listed)
"""The result is a `BlockPlan`, or one for each channel: see `plan_blocks` for what is read."""


def check_blocks(steps: Steps) -> None:
    """Check that a recipe can be done block by block.

    Raises
    ------
    WholeImageError
        If it does what needs the whole image at once.
    """
    if steps.deconvolution is None:
        raise WholeImageError(
            f"Only a deconvolution can be done block by block; the recipe ends with {steps.last}: "
            "crop the image, or use a machine with more memory."
        )
    if steps.input is not None and (steps.input.recipe or steps.input.sample):
        raise WholeImageError(
            "Only an image in a file can be deconvolved block by block: write down what the "
            "recipe of the input makes first, and take that file."
        )
    if steps.initial is not None:
        raise WholeImageError(
            "A deconvolution block by block begins with the same light everywhere: leave out "
            "initial, and do all iterations in one go."
        )
