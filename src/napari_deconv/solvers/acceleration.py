"""Where the next Richardson–Lucy step starts from: ways to extrapolate the last steps."""

from __future__ import annotations

from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine
from napari_deconv.solvers.position import Memory

__all__ = [
    "ACCELERATIONS",
    "Acceleration",
    "Biggs",
    "HeavyBall",
    "Unaccelerated",
    "make_acceleration",
]

ACCELERATIONS = ("heavy_ball", "wiener_butterworth", "biggs", None)
"""``"wiener_butterworth"`` is a solver of its own that goes on with the heavy ball."""


class Acceleration(Protocol):
    """Turns the estimates x_k, x_{k−1} into the point p that the next step starts from.

    Attributes
    ----------
    step : float
        α of the last extrapolation.
    """

    step: float

    def start(self, estimate: Array, memory: Memory) -> Array:
        """Make the first p from the first estimate, or go on where a memory stands."""
        ...

    def advance(self, correction: Array, estimate: Array, guess: Array, divisor: Array) -> Array:
        """Turn the correction into x_{k+1} = p·C/N, in place, and make the next p.

        `estimate` is x_k and is kept. `guess` may be overwritten and returned; the result may also
        be the new estimate itself.
        """
        ...

    def memory(self, guess: Array) -> Memory:
        """Give what `start` needs to go on where this one stands."""
        ...


class Unaccelerated:
    """p = x."""

    step = 0.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def start(self, estimate: Array, memory: Memory) -> Array:
        """Take the estimate itself."""
        return estimate

    def advance(self, correction: Array, estimate: Array, guess: Array, divisor: Array) -> Array:
        """Take the estimate itself."""
        self._engine.update(correction, guess, divisor)
        return correction

    def memory(self, guess: Array) -> Memory:
        """Nothing to remember."""
        return {}


class HeavyBall:
    """Scaled heavy ball (Wang & Miller, IEEE Trans. Image Process. 23, 848, 2014).

    p = max(x_k + α_k (x_k − x_{k−1}), x_k/2), α_k = (k − 1)/(k + 2).

    It is never started again with α = 0, as some do where the I-divergence rises. In 300 steps that
    was seen only once the fit gained less than a millionth, or where something else is minimised,
    by a regularisation or with read noise: there it slowed the run down. And it would depend on all
    of the image, which a tile does not see.
    """

    # Updates multiply: a voxel that overshoots to nearly nothing again and again stays there, as
    # a hole in the middle of a bright point.
    _FLOOR = 0.5

    def __init__(self, engine: Engine) -> None:
        self.step = 0.0
        self._engine = engine
        self._steps = 0

    def start(self, estimate: Array, memory: Memory) -> Array:
        """Start at rest, or with the momentum there was."""
        self._steps = int(memory.get("steps", 0))
        guess: Array = memory.get("guess", estimate)
        return guess

    def advance(self, correction: Array, estimate: Array, guess: Array, divisor: Array) -> Array:
        """Move on in the direction of the last step."""
        self._steps += 1
        k = self._steps
        self.step = (k - 1) / (k + 2)
        if guess is estimate:
            if self.step == 0:
                # p = x: the first step needs no array for p.
                self._engine.update(correction, guess, divisor)
                return correction
            guess = self._engine.copy(estimate)
        self._engine.update_with_momentum(
            correction, guess, divisor, estimate, self.step, self._FLOOR
        )
        return guess

    def memory(self, guess: Array) -> Memory:
        """Give p and the number of steps since the start."""
        return {"guess": guess, "steps": self._steps}


class Biggs:
    """Biggs & Andrews (Appl. Opt. 36, 1766, 1997), as in MATLAB's ``deconvlucy``.

    g_k = x_{k+1} − p_k, α = Σ g_{k−1}·g_{k−2} / Σ g²_{k−2} between 0 and 1,
    p = max(x_k + α (x_k − x_{k−1}), 0).
    """

    def __init__(self, engine: Engine) -> None:
        self.step = 0.0
        self._engine = engine
        self._change: Array | None = None
        self._spare: Array | None = None

    def start(self, estimate: Array, memory: Memory) -> Array:
        """Start at rest, or with the last change there was."""
        self._change = memory.get("change")
        return memory["guess"] if "guess" in memory else self._engine.copy(estimate)

    def advance(self, correction: Array, estimate: Array, guess: Array, divisor: Array) -> Array:
        """Move on as far as the last two changes point the same way."""
        engine = self._engine
        engine.update(correction, guess, divisor)
        newest = self._spare if self._spare is not None else engine.full(estimate.shape, 0.0)
        engine.combine(correction, 1.0, guess, -1.0, newest)
        self.step = 0.0
        if self._change is not None:
            power = engine.dot(self._change, self._change)
            if power > 0:
                self.step = min(max(engine.dot(newest, self._change) / power, 0.0), 1.0)
        self._change, self._spare = newest, self._change
        engine.extrapolate(correction, estimate, self.step, 0.0, guess)
        return guess

    def memory(self, guess: Array) -> Memory:
        """Give p and the last change."""
        return {"guess": guess, "change": self._change}


def make_acceleration(name: str | None, engine: Engine) -> Acceleration:
    """Make an acceleration of the steps through Hᵀ."""
    kinds: dict[str | None, type[HeavyBall | Biggs | Unaccelerated]] = {
        "heavy_ball": HeavyBall, "biggs": Biggs, None: Unaccelerated,
    }  # fmt: skip
    return kinds[name](engine)
