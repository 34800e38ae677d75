"""What is said of an image and its mask, whether they are looked at as a whole or in tiles."""

from __future__ import annotations

__all__ = ["CONSTANT", "NOTHING_COUNTS", "NO_MASK", "below_zero"]

CONSTANT = "The image is constant: there is nothing to deconvolve in it."
NO_MASK = "The mask is not one: expected True or 1 where voxels count, else 0."
NOTHING_COUNTS = "The mask leaves out every voxel: it is True where voxels count."


def below_zero(negative: int, voxels: int) -> str:
    """Say that some of all voxels are below 0."""
    return (
        f"{negative} of {voxels} voxels are below 0 and count as 0: light is not negative. Better "
        "give the image before background subtraction, and the background."
    )
