"""The command line ``napari-deconv``."""

from __future__ import annotations

from napari_deconv.cli.commands import main

__all__ = ["main"]
