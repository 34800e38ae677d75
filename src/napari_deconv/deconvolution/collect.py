"""From the runs of all volumes to one result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_deconv.deconvolution.history import as_columns
from napari_deconv.deconvolution.job import Job
from napari_deconv.deconvolution.result import Deconvolution
from napari_deconv.deconvolution.run import Run
from napari_deconv.provenance import describe
from napari_deconv.psf.psf import Psf

__all__ = ["collect"]

Float = npt.NDArray[np.float32]


def collect(job: Job, runs: Sequence[Run]) -> Deconvolution:
    """Put the results of a job's volumes together."""
    leading, shape = job.leading, job.image.shape
    return Deconvolution(
        _stack([run.image for run in runs], shape),
        max(run.iterations for run in runs),
        "; ".join(dict.fromkeys(run.stop_reason for run in runs)),
        as_columns([run.history for run in runs], leading),
        _intermediate(runs, shape),
        _numbers([run.gain for run in runs], leading),
        runs[0].weights,
        _numbers([run.background for run in runs], leading),
        _psf(job, runs),
        describe("deconvolve", _parameters(job, runs), job.options.engine),
        [run.checkpoint for run in runs],
    )


def _parameters(job: Job, runs: Sequence[Run]) -> dict[str, Any]:
    """Take what was given; stopped by hand, the iterations that were done give the same again."""
    if any(run.enough for run in runs):
        return job.parameters | {"iterations": max(run.steps for run in runs)}
    return job.parameters


def _psf(job: Job, runs: Sequence[Run]) -> Psf | Float:
    """Take the PSF that was given, or those that were found, one for each volume of a series."""
    found = [run.psf for run in runs if run.psf is not None]
    if not found:
        return job.psf
    ndim = job.image.ndim - len(job.leading)
    psfs = np.stack(found).reshape(*job.leading, *found[0].shape[3 - ndim :])
    if job.leading or not isinstance(job.psf, Psf):
        return psfs
    return Psf(psfs, job.psf.spacing, job.psf.metadata)


def _stack(images: Sequence[Float], shape: tuple[int, ...]) -> Float:
    result: Float = np.stack(images).reshape(shape)
    return result


def _intermediate(runs: Sequence[Run], shape: tuple[int, ...]) -> dict[int, Float]:
    """Collect what was kept; a volume that ended before shows its result."""
    kept = sorted({iteration for run in runs for iteration in run.intermediate})
    return {
        iteration: _stack([run.intermediate.get(iteration, run.image) for run in runs], shape)
        for iteration in kept
    }


def _numbers(values: Sequence[Any], leading: tuple[int, ...]) -> float | npt.NDArray[Any]:
    """Collect what each volume has one of: a number, or for series and images an array."""
    stack = np.array(values)
    if not leading and stack.size == 1:
        return float(stack.flat[0])
    return stack.reshape(*leading, *stack.shape[1:])
