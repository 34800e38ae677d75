"""The errors and warnings a user can meet."""

from __future__ import annotations

__all__ = [
    "DeconvError", "DeconvWarning", "DeviceError", "DeviceMemoryError", "WholeImageError",
]  # fmt: skip


class DeconvError(ValueError):
    """Something the user can change: it says what was given, what was expected, what to do."""


class WholeImageError(DeconvError):
    """What was asked for needs the whole image at once: it cannot be done in tiles."""


class DeviceError(DeconvError):
    """The compute device is missing, too small, lost, or refused a kernel."""


class DeviceMemoryError(DeviceError):
    """The compute device, or what may be taken of it, is too small: smaller parts may fit."""


class DeconvWarning(UserWarning):
    """Input was accepted, but treated in a way the user should know about."""
