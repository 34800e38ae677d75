"""Dock widget: deconvolution."""

from __future__ import annotations

from napari_deconv.widgets.deconvolution.widget import DeconvolutionWidget

__all__ = ["DeconvolutionWidget"]
