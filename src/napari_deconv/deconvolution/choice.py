"""From a method's name to its solver."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isnan

from napari_deconv.deconvolution.options import Options
from napari_deconv.deconvolution.volume import Volume, make_model
from napari_deconv.solvers.acceleration import make_acceleration
from napari_deconv.solvers.back_projection import (
    unmatched_richardson_lucy,
    wiener_butterworth_kernel,
)
from napari_deconv.solvers.blind import blind
from napari_deconv.solvers.conjugate_gradients import ictm
from napari_deconv.solvers.fista import fista, nnls
from napari_deconv.solvers.gradient_consensus import gradient_consensus
from napari_deconv.solvers.landweber import landweber
from napari_deconv.solvers.likelihood import Anscombe, Damped, Likelihood, Poisson
from napari_deconv.solvers.position import Solver
from napari_deconv.solvers.regularization import Unregularized, make_regularization
from napari_deconv.solvers.richardson_lucy import richardson_lucy

__all__ = ["make_solver"]

# The same image is split in the same way every time.
_SEED = 10278918


def make_solver(options: Options, volume: Volume, gain: float) -> Solver:
    """Make the solver of an iterative method.

    Parameters
    ----------
    options : Options
        What is to be done.
    volume : Volume
        What it is done to.
    gain : float
        Grey values a photon; NaN where photons are not counted.
    """
    return _SOLVERS[options.method](options, volume, gain / volume.scale)


def _richardson_lucy(options: Options, volume: Volume, photon: float) -> Solver:
    engine, spacing = options.engine, volume.problem.spacing
    regularization = make_regularization(
        options.regularization,
        None if isnan(options.weight) else options.weight,
        spacing,
        engine,
        volume.light,
    )
    likelihood = _likelihood(options, volume, photon)
    if options.acceleration == "wiener_butterworth":
        return partial(
            unmatched_richardson_lucy,
            back_projector=make_model(volume.problem, engine, lay=wiener_butterworth_kernel),
            regularization=regularization,
            likelihood=likelihood,
        )
    return partial(
        richardson_lucy,
        acceleration=make_acceleration(options.acceleration, engine),
        regularization=regularization,
        likelihood=likelihood,
    )


def _likelihood(options: Options, volume: Volume, photon: float) -> Likelihood:
    if options.read_noise is not None:
        return Anscombe(options.read_noise / volume.scale, photon)
    return Damped(options.damping, photon) if options.damping > 0 else Poisson()


def _plain(solver: Solver) -> Callable[[Options, Volume, float], Solver]:
    """Take a solver that has nothing to set."""
    return lambda options, volume, photon: solver


def _ictm(options: Options, volume: Volume, photon: float) -> Solver:
    return partial(ictm, weight=options.weight, spacing=volume.problem.spacing)


def _fista(options: Options, volume: Volume, photon: float) -> Solver:
    return partial(fista, weight=options.weight)


def _gradient_consensus(options: Options, volume: Volume, photon: float) -> Solver:
    return partial(gradient_consensus, photon=photon, seed=_SEED)


def _blind(options: Options, volume: Volume, photon: float) -> Solver:
    object_solver = partial(
        richardson_lucy,
        acceleration=make_acceleration("heavy_ball", options.engine),
        regularization=Unregularized(),
    )
    return partial(
        blind,
        psf=volume.problem.psfs[0],
        symmetric=options.symmetric_psf,
        object_solver=object_solver,
    )


_SOLVERS: dict[str, Callable[[Options, Volume, float], Solver]] = {
    "richardson_lucy": _richardson_lucy,
    "landweber": _plain(landweber),
    "nnls": _plain(nnls),
    "ictm": _ictm,
    "fista": _fista,
    "gradient_consensus": _gradient_consensus,
    "blind": _blind,
}
