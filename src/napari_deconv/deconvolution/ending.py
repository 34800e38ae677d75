"""When a run ends, and with which estimate."""

from __future__ import annotations

from math import isnan

from napari_deconv.deconvolution.history import History
from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.solvers.position import CHECK_EVERY, Position
from napari_deconv.solvers.stopping import Endless, Stopping

__all__ = ["Ending"]


class Ending:
    """Follows a run step by step, and judges it whenever it has been measured.

    Parameters
    ----------
    stopping : Stopping
        The rule.
    engine : Engine
        Where the estimates are.
    scale : float
        The image's units are the data's times this.

    Attributes
    ----------
    history : History
        What was measured.
    reason : str
        Why the rule stopped the run; empty while it has not.
    best : Array or None
        The estimate to give back where that is not the last one.
    """

    def __init__(self, stopping: Stopping, engine: Engine, scale: float) -> None:
        self.history = History(scale)
        self.reason = ""
        self.best: Array | None = None
        self._candidate: Array | None = None
        self._stopping = stopping
        self._engine = engine

    @property
    def iteration(self) -> int | None:
        """Of the estimate to give back, where that is not the last one."""
        return self._stopping.best if self.reason else None

    @property
    def has_rule(self) -> bool:
        """Whether a rule may stop the run."""
        return not isinstance(self._stopping, Endless)

    def reached(self, position: Position) -> bool:
        """Look at a position after a step; tell whether it was the last."""
        if self.history.note(position):
            measured = position.iteration - 1
            # The estimate that is given back has had a step more, unless an earlier one is.
            steps = measured if self._stopping.holds_out else position.iteration
            # A rule that compares fits with each other takes any unit.
            fit = position.divergence if isnan(position.discrepancy) else position.discrepancy
            reason = self._stopping.check(steps, fit, position.held_out)
            if self._stopping.best == measured:
                self.best, self._candidate = self._candidate, self.best
            self.reason = reason or ""
        if self._stopping.holds_out and position.iteration % CHECK_EVERY == 0:
            self._remember(position.estimate)
        return bool(self.reason)

    def _remember(self, estimate: Array) -> None:
        if self._candidate is None:
            self._candidate = self._engine.copy(estimate)
        else:
            self._engine.combine(estimate, 1.0, estimate, 0.0, self._candidate)
