"""Where the next Richardson–Lucy step starts from: ways to extrapolate the last steps."""

from __future__ import annotations

from typing import Protocol

from napari_deconv.engines.protocol import Array, Engine

__all__ = [
    "ACCELERATIONS",
    "Acceleration",
    "Biggs",
    "HeavyBall",
    "Unaccelerated",
    "make_acceleration",
]

ACCELERATIONS = ("heavy_ball", "biggs", None)


class Acceleration(Protocol):
    """Turns the estimates x_k, x_{k−1} into the point p that the next step starts from."""

    def start(self, estimate: Array) -> Array:
        """Make the first p from the first estimate."""
        ...

    def advance(self, current: Array, previous: Array, guess: Array) -> Array:
        """Make the next p, where the step from `guess` led from `previous` to `current`.

        `guess` may be overwritten and returned; the result may also be `current` itself.
        """
        ...

    def restart(self) -> None:
        """Forget the direction: the last steps made things worse."""
        ...

    def memory(self) -> dict[str, float | Array]:
        """Give what `recall` needs to go on where this one stands."""
        ...

    def recall(self, memory: dict[str, float | Array]) -> None:
        """Go on where another one stood."""
        ...


class Unaccelerated:
    """p = x."""

    def start(self, estimate: Array) -> Array:
        """Take the estimate itself."""
        return estimate

    def advance(self, current: Array, previous: Array, guess: Array) -> Array:
        """Take the estimate itself."""
        return current

    def restart(self) -> None:
        """Nothing to forget."""

    def memory(self) -> dict[str, float | Array]:
        """Nothing to remember."""
        return {}

    def recall(self, memory: dict[str, float | Array]) -> None:
        """Nothing to recall."""


class HeavyBall:
    """Scaled heavy ball (Wang & Miller, IEEE Trans. Image Process. 23, 848, 2014).

    p = max(x_k + α_k (x_k − x_{k−1}), x_k/2), α_k = (k − 1)/(k + 2).
    """

    # Updates multiply: a voxel that overshoots to nearly nothing again and again stays there, as
    # a hole in the middle of a bright point.
    _FLOOR = 0.5

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._steps = 0

    def start(self, estimate: Array) -> Array:
        """Start at rest."""
        return self._engine.copy(estimate)

    def advance(self, current: Array, previous: Array, guess: Array) -> Array:
        """Move on in the direction of the last step."""
        self._steps += 1
        k = self._steps
        alpha = (k - 1) / (k + 2)
        self._engine.extrapolate(current, previous, alpha, self._FLOOR, guess)
        return guess

    def restart(self) -> None:
        """Start again with α = 0."""
        self._steps = 0

    def memory(self) -> dict[str, float | Array]:
        """Give the number of steps since the start."""
        return {"steps": self._steps}

    def recall(self, memory: dict[str, float | Array]) -> None:
        """Take the number of steps since the start."""
        self._steps = int(memory["steps"])


class Biggs:
    """Biggs & Andrews (Appl. Opt. 36, 1766, 1997), as in MATLAB's ``deconvlucy``.

    g_k = x_{k+1} − p_k, α = Σ g_{k−1}·g_{k−2} / Σ g²_{k−2} between 0 and 1,
    p = max(x_k + α (x_k − x_{k−1}), 0).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._change: Array | None = None
        self._spare: Array | None = None

    def start(self, estimate: Array) -> Array:
        """Start at rest."""
        return self._engine.copy(estimate)

    def advance(self, current: Array, previous: Array, guess: Array) -> Array:
        """Move on as far as the last two changes point the same way."""
        engine = self._engine
        newest = self._spare if self._spare is not None else engine.full(current.shape, 0.0)
        engine.subtract(current, guess, newest)
        alpha = 0.0
        if self._change is not None:
            power = engine.dot(self._change, self._change)
            if power > 0:
                alpha = min(max(engine.dot(newest, self._change) / power, 0.0), 1.0)
        self._change, self._spare = newest, self._change
        engine.extrapolate(current, previous, alpha, 0.0, guess)
        return guess

    def restart(self) -> None:
        """Go on: α follows the changes by itself."""

    def memory(self) -> dict[str, float | Array]:
        """Give the last change."""
        return {} if self._change is None else {"change": self._change}

    def recall(self, memory: dict[str, float | Array]) -> None:
        """Take the last change."""
        self._change = memory.get("change")


def make_acceleration(name: str | None, engine: Engine) -> Acceleration:
    """Make one of `ACCELERATIONS`."""
    if name == "heavy_ball":
        return HeavyBall(engine)
    return Biggs(engine) if name == "biggs" else Unaccelerated()
