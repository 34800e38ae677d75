"""How long the machine itself stands still, as a process notices that does nothing else.

Virtual machines, or one of their processors, now and then do not run at all, and what runs on them
cannot tell that from work of its own. A process that sleeps, and finds that it was woken late, can:
one on each of two processors was never `LATE` while three others kept both busy.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["LATE", "Standstill"]

LATE = 0.03
"""Seconds."""

_NAP = 0.002  # s


class Standstill:
    """A process for each processor that notes when it is woken late; they end with `stop`.

    Attributes
    ----------
    processes : list of subprocess.Popen
        They.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        processors = _processors()
        self._notes = [Path(self._folder.name) / f"notes{number}.txt" for number in processors]
        root, watch = Path(__file__).parents[1], [sys.executable, "-m", "benchmarks.standstill"]
        self.processes = [
            subprocess.Popen([*watch, str(notes), str(number), str(os.getpid())], cwd=root)
            for number, notes in zip(processors, self._notes, strict=True)
        ]

    @property
    def ready(self) -> bool:
        """Whether they have begun."""
        return all(notes.exists() for notes in self._notes)

    def within(self, start: float, end: float) -> float:
        """Tell for how many seconds a processor stood still between two times of `monotonic`."""
        lines = [line for notes in self._notes for line in notes.read_text().splitlines()]
        stood, until = 0.0, start
        for first, last in sorted(tuple(map(float, line.split())) for line in lines):
            stood += max(0.0, min(last, end) - max(first, until))
            until = max(until, last)
        return stood

    def stop(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.terminate()
            process.wait()
        self._folder.cleanup()


def _processors() -> list[int]:
    """List the processors that a process can be kept to; -1 where it cannot be."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [-1]


def main(notes: Path, processor: int, reader: int) -> None:
    """Write the beginning and the end of each standstill into a file, as long as it is read."""
    if processor >= 0:
        os.sched_setaffinity(0, {processor})
    with notes.open("a", encoding="utf-8", buffering=1) as file:
        last = time.monotonic()
        while os.getppid() == reader:
            time.sleep(_NAP)
            now = time.monotonic()
            if now - last > LATE:
                file.write(f"{last} {now}\n")
            last = now


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
