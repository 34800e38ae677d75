"""Rules that cannot be followed in each tile: what they find is found for all of them before."""

from __future__ import annotations

from math import isnan

from napari_deconv.deconvolution.options import Options

__all__ = ["automatic_weight", "cross_validates", "needs_pilots"]


def automatic_weight(options: Options) -> str | None:
    """Name the rule that finds the weight; None if it is given, or there is none."""
    if not isnan(options.weight):
        return None
    return {"wiener": "gcv", "tv": "tv"}.get(options.regularization or options.method)


def cross_validates(options: Options) -> bool:
    """Tell whether a filter's weight is to be found, which needs no pilot."""
    return automatic_weight(options) == "gcv"


def needs_pilots(options: Options) -> bool:
    """Tell whether there is a rule that only a run to its end can follow."""
    return options.stop is not None or automatic_weight(options) == "tv"
