"""Dock widget: compare layers without changing them."""

from __future__ import annotations

from napari_deconv.widgets.compare.widget import CompareWidget

__all__ = ["CompareWidget"]
