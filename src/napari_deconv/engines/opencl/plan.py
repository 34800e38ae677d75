"""Plans of Fourier transforms of lines of one length, for the kernels ``fft*.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LOCAL_BYTES", "Plan", "radices", "supports"]

LOCAL_BYTES = 32 << 10
"""Local memory that a work group takes at most: more leaves room for too few groups."""

# Lines of a work group where they are short: their samples fill a memory transaction.
_LINES = 16
# Complex values that a work item holds in registers; items that every OpenCL device can group, and
# that a group should have to hide latency.
_VALUES, _LARGEST_GROUP, _SMALLEST_GROUP = 21, 256, 64


def radices(length: int) -> list[int]:
    """Split a length into steps of 7, 5, 3, 8, 4 and 2 samples; empty if it has other factors.

    Odd steps come first: their strides in local memory meet no bank twice.
    """
    steps = []
    for prime in (7, 5, 3):
        while length % prime == 0:
            steps.append(prime)
            length //= prime
    exponent = length.bit_length() - 1
    if length != 1 << exponent:
        return []
    eights, rest = divmod(exponent, 3)
    if rest == 1 and eights:  # 4·4 rather than 8·2
        return [*steps, *[8] * (eights - 1), 4, 4]
    return [*steps, *[8] * eights, *[1 << rest] * (rest > 0)] or [1]


def supports(grid: Sequence[int], local_bytes: int) -> bool:
    """Whether a line along each axis fits into local memory and has no prime factor above 7."""
    return all(8 * length <= local_bytes and radices(length) for length in grid)


@dataclass(frozen=True)
class Plan:
    """How lines of one length are transformed.

    Attributes
    ----------
    length : int
        Samples of a line, as `supports` allows.
    lines, items : int
        Lines that a work group takes, and work items that share a line.
    """

    length: int
    lines: int
    items: int

    @classmethod
    def make(cls, length: int, local_bytes: int) -> Plan:
        """Choose a work group of many lines and few idle items."""
        steps = radices(length)
        lines = _LINES if length > 1 else _SMALLEST_GROUP
        while 8 * lines * length > local_bytes or not _fitting(lines, length, steps):
            lines //= 2
        fitting = _fitting(lines, length, steps)
        large = [items for items in fitting if items * lines >= _SMALLEST_GROUP] or fitting[-1:]

        def idle(items: int) -> tuple[int, int]:
            return _slots(length, steps, items), -items

        return cls(length, lines, min(large, key=idle))

    @property
    def defines(self) -> dict[str, int | str]:
        """What the kernels are compiled for."""
        calls, done = [], 1
        for radix in radices(self.length):
            load = "LOAD" if done == 1 else "FROM_TILE"
            store = "STORE" if done * radix == self.length else "TO_TILE"
            calls.append(f"STEP({radix}, {done}, {load}, {store})")
            done *= radix
        return {
            "LENGTH": self.length, "LINES": self.lines, "ITEMS": self.items,
            "TRANSFORM(LOAD, STORE)": " ".join(calls),
        }  # fmt: skip

    @property
    def turns(self) -> npt.NDArray[np.complex64]:
        """Twiddle factors exp(-2πi·n / length)."""
        angles = 2 * np.pi * np.arange(self.length) / self.length
        return (np.cos(angles) - 1j * np.sin(angles)).astype(np.complex64)

    def span(self, lines: int) -> int:
        """Round a number of lines up to whole work groups."""
        return -(-lines // self.lines) * self.lines


def _fitting(lines: int, length: int, steps: list[int]) -> list[int]:
    """List the numbers of items per line that a group and its registers have room for."""
    return [
        items
        for items in range(1, _LARGEST_GROUP // lines + 1)
        if all(_rounds(length, radix, items) * radix <= _VALUES for radix in steps)
    ]


def _slots(length: int, steps: list[int], items: int) -> int:
    """Count the samples that all items could take in all steps: at least the length each."""
    return sum(_rounds(length, radix, items) * radix * items for radix in steps)


def _rounds(length: int, radix: int, items: int) -> int:
    return -(-length // (radix * items))
