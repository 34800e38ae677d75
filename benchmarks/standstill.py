"""How long the machine itself stands still, as a process notices that does nothing else.

Virtual machines now and then do not run at all, and what runs on them cannot tell that from work of
its own. A process that sleeps, and finds that it was woken late, can: with three others that kept
both of two cores busy it was never `LATE`.
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
    """A process that notes when it is woken late; it ends with `stop`.

    Attributes
    ----------
    process : subprocess.Popen
        It.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._notes = Path(self._folder.name) / "notes.txt"
        command = [sys.executable, "-m", "benchmarks.standstill", str(self._notes)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[1])

    @property
    def ready(self) -> bool:
        """Whether it has begun."""
        return self._notes.exists()

    def within(self, start: float, end: float) -> float:
        """Tell for how many seconds it stood still between two times of `time.monotonic`."""
        notes = [tuple(map(float, line.split())) for line in self._notes.read_text().splitlines()]
        return sum(max(0.0, min(last, end) - max(first, start)) for first, last in notes)

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait()
        self._folder.cleanup()


def main(notes: Path) -> None:
    """Write the beginning and the end of each standstill into a file, as long as anybody reads."""
    reader = os.getppid()
    with notes.open("a", encoding="utf-8", buffering=1) as file:
        last = time.monotonic()
        while os.getppid() == reader:
            time.sleep(_NAP)
            now = time.monotonic()
            if now - last > LATE:
                file.write(f"{last} {now}\n")
            last = now


if __name__ == "__main__":
    main(Path(sys.argv[1]))
