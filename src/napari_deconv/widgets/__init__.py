"""Dock widgets and samples for napari: thin, over the rest of the package."""
