"""A report about a point-spread function: numbers, words, figure and page."""

from __future__ import annotations

from napari_deconv.psf.report.report import REPORT_SUFFIXES, Report, make_report

__all__ = ["REPORT_SUFFIXES", "Report", "make_report"]
