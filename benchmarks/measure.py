"""Measure one contender, in a process of its own so that its memory can be told."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from benchmarks.contenders import CONTENDERS, Adapter
from benchmarks.specimen import Specimen
from napari_deconv import DeconvWarning

__all__ = ["ITERATIONS", "Measurement", "correlations", "in_own_process", "measure", "point"]

Float = npt.NDArray[np.float32]

ITERATIONS = 20
SMOOTHINGS = (0.0, 0.5, 1.0)
_LONGEST = 160


@dataclass
class Measurement:
    """What one contender did with the specimen.

    Attributes
    ----------
    name : str
        Of the contender.
    iterations : int
        `ITERATIONS`, or as many as the time allowed.
    seconds : float
        For so many; the fastest of up to three runs.
    correlations : list of float
        With the truth: unsmoothed, and smoothed with σ 0.5 and 1 voxel.
    memory : int
        Bytes above what the process held before.
    point_even, point_odd : tuple of float
        How far a point moves, and its flux, in images and PSFs of such sizes: see `point`.
    runs : dict
        Iterations → (seconds, correlations) of all runs.
    enough : int or None
        Fewest iterations found that reach the target; None if none did.
    error : str
        Why there is nothing to tell.
    """

    name: str
    iterations: int = 0
    seconds: float = 0.0
    correlations: list[float] = field(default_factory=list)
    memory: int = 0
    point_even: tuple[float, float] = (0.0, 1.0)
    point_odd: tuple[float, float] = (0.0, 1.0)
    runs: dict[int, tuple[float, list[float]]] = field(default_factory=dict)
    enough: int | None = None
    error: str = ""


def correlations(estimate: Float, truth: Float) -> list[float]:
    """Correlate with the truth as it is, and as a camera of σ 0.5 and 1 voxel would see it."""
    return [
        float(np.corrcoef(estimate.ravel(), scipy.ndimage.gaussian_filter(truth, s).ravel())[0, 1])
        for s in SMOOTHINGS
    ]


def point(adapter: Adapter, size: int, psf_size: int) -> tuple[float, float]:
    """Deconvolve a blurred point in the middle of a dark image without noise.

    Parameters
    ----------
    adapter : callable
        (image, psf, background, iterations) → estimate.
    size, psf_size : int
        Voxels of the image and the PSF along each axis.

    Returns
    -------
    shift : float
        Voxels by which the point moves, the most along an axis.
    flux : float
        The estimate's sum over that of the point.
    """
    light = 1e4 * _bell(size)
    estimate = adapter(light, _bell(psf_size), 0.0, ITERATIONS)
    spot = np.where(estimate > 0.1 * estimate.max(), estimate, 0)
    shift = np.abs(np.array(scipy.ndimage.center_of_mass(spot)) - size // 2).max()
    return float(shift), float(estimate.sum(dtype=float) / light.sum(dtype=float))


def _bell(size: int) -> Float:
    x = np.arange(size) - size // 2
    profile = np.exp(-((x / 1.5) ** 2) / 2)
    bell = profile[:, None, None] * profile[:, None] * profile
    return np.asarray(bell / bell.sum(), np.float32)


def measure(
    name: str, adapter: Adapter, specimen: Specimen, target: list[float] | None, budget: float
) -> Measurement:
    """Run a contender for `ITERATIONS`, then look for the fewest that reach the target.

    Parameters
    ----------
    name, adapter
        The contender.
    specimen : Specimen
        What to deconvolve.
    target : list of float or None
        Correlations to reach, all of them; None does not look.
    budget : float
        Seconds that the longest run, and all runs of the search, may take.
    """
    result = Measurement(name)
    # Imports, thread pools and compilers are not what is measured.
    adapter(_bell(32) + 11, _bell(9), 10.0, 1)
    before = _peak_memory()
    started = time.perf_counter()

    def run(iterations: int) -> None:
        begun = time.perf_counter()
        estimate: Float = adapter(specimen.image, specimen.psf, specimen.background, iterations)
        seconds = time.perf_counter() - begun
        if iterations in result.runs:
            seconds = min(seconds, result.runs[iterations][0])
        result.runs[iterations] = seconds, correlations(estimate, specimen.truth)

    def affordable(iterations: int) -> bool:
        begin, step = _costs(result.runs)
        return time.perf_counter() - started + begin + iterations * step < budget

    run(1)
    run(3)
    begin, step = _costs(result.runs)
    result.iterations = int(np.clip((budget - begin) / step, 3, ITERATIONS))
    if result.iterations > 3:
        run(result.iterations)
    result.memory = _peak_memory() - before

    def repeat(iterations: int) -> None:
        for _ in range(2):
            if result.runs[iterations][0] < budget / 10:
                run(iterations)

    repeat(result.iterations)
    result.seconds, result.correlations = result.runs[result.iterations]
    if target is not None:
        result.enough = _fewest(result.runs, run, affordable, target)
    if result.enough is not None:
        repeat(result.enough)
    result.point_even, result.point_odd = point(adapter, 32, 16), point(adapter, 33, 17)
    return result


def _costs(runs: dict[int, tuple[float, list[float]]]) -> tuple[float, float]:
    """Tell the seconds to begin, and those of an iteration, from the longest and shortest run."""
    few, many = min(runs), max(runs)
    # Plans and caches make the first run slow: it must not make the next ones look free.
    step = max((runs[many][0] - runs[few][0]) / (many - few), 0.3 * runs[many][0] / many)
    return max(runs[few][0] - few * step, 0.0), step


def _fewest(
    runs: dict[int, tuple[float, list[float]]],
    run: Callable[[int], None],
    affordable: Callable[[int], bool],
    target: list[float],
) -> int | None:
    """Search by doubling, then by halving, to a tenth; every step is a whole run."""

    def reached(iterations: int) -> bool:
        if iterations not in runs:
            run(iterations)
        return all(a >= b for a, b in zip(runs[iterations][1], target, strict=True))

    high = min(filter(reached, list(runs)), default=max(runs))
    low = max((iterations for iterations in runs if iterations < high), default=0)
    while not reached(high):
        low, high = high, 2 * high
        if high > _LONGEST or not affordable(high):
            return None
    while high - low > max(1, high // 10) and affordable(high):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _peak_memory() -> int:
    """Most memory this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with what the parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def in_own_process(
    name: str, specimen: Path, target: list[float] | None, budget: float
) -> Measurement:
    """Measure the contender of this name in a new process; its failure is what it is."""
    command = [sys.executable, "-m", "benchmarks.measure", name, str(specimen), str(budget)]
    done = subprocess.run(
        [*command, json.dumps(target)], capture_output=True, text=True, check=False
    )  # fmt: skip
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Measurement(name, error=re.sub(r"\S*/", "", lines[-1]))
    values = json.loads(done.stdout.splitlines()[-1])
    values["runs"] = {int(k): tuple(run) for k, run in values["runs"].items()}
    for size in ("point_even", "point_odd"):
        values[size] = tuple(values[size])
    return Measurement(**values)


def main() -> None:
    """Measure the contender named on the command line; the last line printed is the result."""
    name, path, budget, target = sys.argv[1:]
    contender = next(c for c in CONTENDERS if c.name == name)
    warnings.simplefilter("ignore", DeconvWarning)
    result = measure(
        name, contender.adapter, Specimen.load(Path(path)), json.loads(target), float(budget)
    )
    print("\n" + json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
