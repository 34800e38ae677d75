"""What each prime factor costs a transform: the figures behind `napari_deconv.forward.fast_shape`.

Run ``python -m benchmarks.lengths``.
"""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import scipy.fft

__all__ = ["factors", "fit", "measure"]

PRIMES = (2, 3, 5, 7)

# As many samples as stay in the cache; an odd number of lines, so that they do not share its ways.
_SAMPLES = 1 << 17


def factors(length: int) -> list[int] | None:
    """Count how often each of `PRIMES` divides a length; None if anything is left."""
    counts = []
    for prime in PRIMES:
        counts.append(0)
        while length % prime == 0:
            counts[-1] += 1
            length //= prime
    return counts if length == 1 else None


def measure(lengths: list[int], repeats: int = 10) -> npt.NDArray[np.float64]:
    """Measure seconds per sample of complex float32 transforms along the first axis."""
    seconds = np.full(len(lengths), np.inf)
    for _ in range(repeats):
        for index, length in enumerate(lengths):
            lines = (_SAMPLES // length) | 1
            data = np.ones((length, lines), np.complex64)
            started = time.perf_counter()
            scipy.fft.fft(data, axis=0, overwrite_x=True)
            passed = time.perf_counter() - started
            seconds[index] = min(seconds[index], passed / data.size)
    return seconds


def fit(lengths: list[int], seconds: npt.NDArray[np.float64]) -> tuple[dict[int, float], float]:
    """Fit seconds = a·(1 + Σ c_p); give c_p and the relative error of the fit."""
    table = np.array([[1, *(factors(length) or [])] for length in lengths], float)
    solution, *_ = np.linalg.lstsq(table, seconds, rcond=None)
    error = float(np.std(seconds / (table @ solution) - 1))
    parts = solution[1:] / solution[0]
    return dict(zip(PRIMES, map(float, parts), strict=True)), error


if __name__ == "__main__":
    even = [length for length in range(48, 601, 2) if factors(length)]
    costs, error = fit(even, measure(even))
    print({prime: round(cost, 3) for prime, cost in costs.items()}, f"± {error:.1%}")
