"""What was done, written down, and done again.

`napari_deconv.recipe.provenance` describes what was done to an array as a plain tree;
`napari_deconv.recipe.recipe.Recipe` says what to do, as YAML that people write and read.
"""

from __future__ import annotations

from napari_deconv.recipe.provenance import describe, file_origin, made, record

__all__ = ["describe", "file_origin", "made", "record"]
