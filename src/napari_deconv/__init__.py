"""Deconvolution microscopy: from beads to PSF to deconvolved images."""
