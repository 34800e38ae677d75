"""The methods there are, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass

from napari_deconv.solvers.gradient_consensus import CONSENSUS_LOST

__all__ = ["METHODS", "Method"]

_ITERATIVE = frozenset({"mask", "initial", "stop", "keep_every", "depths"})


@dataclass(frozen=True)
class Method:
    """What a method heeds, and what it is called.

    Attributes
    ----------
    title : str
        For a person.
    takes : frozenset of str
        Parameters of `napari_deconv.deconvolve` that only some methods take.
    weight : float or None
        Default of ``regularization_weight``; None if it takes none, or has none of its own.
    coarse_to_fine : bool
        Whether it can start from coarse levels.
    direct : bool
        One step, no iteration.
    positive : bool
        Whether the data have to be.
    counts_photons : bool
        Whether it needs to know what one photon is.
    ends : str
        Why, where it ends by itself.
    """

    title: str
    takes: frozenset[str] = frozenset()
    weight: float | None = None
    coarse_to_fine: bool = True
    direct: bool = False
    positive: bool = False
    counts_photons: bool = False
    ends: str = ""


METHODS = {
    "richardson_lucy": Method(
        "Richardson–Lucy",
        _ITERATIVE | {"regularization", "regularization_weight", "damping", "read_noise"},
        positive=True,
    ),
    "wiener": Method("Wiener filter", frozenset({"regularization_weight"}), 1e-2, direct=True),
    "tikhonov": Method("Tikhonov filter", frozenset({"regularization_weight"}), direct=True),
    "inverse": Method("Inverse filter", frozenset({"regularization_weight"}), 1e-2, direct=True),
    "landweber": Method("Landweber", _ITERATIVE),
    "nnls": Method("Least squares ≥ 0", _ITERATIVE),
    "ictm": Method(
        "Tikhonov–Miller",
        _ITERATIVE | {"regularization_weight"},
        5e-4,
        ends="converged: the last step lowered the functional by less than a millionth",
    ),
    "fista": Method("FISTA with wavelets", _ITERATIVE | {"regularization_weight"}, 2e-3),
    "gradient_consensus": Method(
        "Gradient consensus",
        _ITERATIVE - {"stop"},
        positive=True,
        counts_photons=True,
        ends=CONSENSUS_LOST,
    ),
    "blind": Method(
        "Blind Richardson–Lucy",
        (_ITERATIVE - {"depths"}) | {"symmetric_psf"},
        coarse_to_fine=False,
        positive=True,
    ),
}
"""By the name that ``method=`` takes; the first is the default."""
