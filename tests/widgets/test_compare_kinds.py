"""Compare: every kind of layer."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from comparing import KINDS, UNITS, VIEWS, add, look, settle, state

pytestmark = pytest.mark.usefixtures("quick_collection", "dask_in_place")


OFTEN = ("series",)


ALL = [kind if kind in OFTEN else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_of_layer_can_be_compared(viewer, open_widget, kind, said):
    data, options = KINDS[kind]()
    if kind == "rgb":
        options["units"] = UNITS[1:]
    first = add(viewer, "first", data, **options)
    other = "integers" if kind in ("coarse", "nanometres") else kind
    second_data, second_options = KINDS[other]()
    second_options = (options if other == kind else {}) | second_options
    second = add(viewer, "second", second_data, "result", first, **second_options)
    widget = open_widget("Compare").widget
    assert (widget.image.value, widget.after.value) == (first, second)
    before = state(viewer)
    for view in VIEWS[:-1]:
        look(widget, view=view, measure="profile", contrast="percentiles")
        look(widget, divider=0.3, contrast="own")
        if viewer.dims.ndim > 2:
            viewer.dims.set_current_step(0, 1)
        settle(widget)
    viewer.dims.ndisplay = min(3, viewer.dims.ndim)
    look(widget, view="split", divider=0.6)
    viewer.dims.ndisplay = 2
    look(widget, view="none", measure="none")
    assert state(viewer)[:3] == before[:3]
    assert not said()


def test_lazy_layers_are_not_computed_whole(viewer, open_widget):
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones((1, 40, 50), np.float32)

    lazy = da.map_blocks(plane, chunks=((1,) * 30, (40,), (50,)), dtype=np.float32)
    first = add(viewer, "first", lazy, contrast_limits=(0, 2))
    add(viewer, "second", lazy, "result", first, contrast_limits=(0, 2))
    widget = open_widget("Compare").widget
    read.clear()
    for view in VIEWS[:-1]:
        look(widget, view=view, measure="profile", contrast="percentiles")
    assert len(set(read)) <= 3
