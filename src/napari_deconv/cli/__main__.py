"""Run ``python -m napari_deconv.cli``."""

from __future__ import annotations

from napari_deconv.cli.commands import main

main()
