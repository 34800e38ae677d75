"""Measure what one tile takes at its peak, in a process of its own.

Run as ``python -m tests.blocks.peak_memory ENGINE CASE``; the last line is JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import psutil

from napari_deconv.blocks.memory import memory_of_weight
from napari_deconv.blocks.order import check_order
from napari_deconv.blocks.plan import make_plan
from napari_deconv.blocks.region import Survey
from napari_deconv.blocks.source import check_source
from napari_deconv.blocks.survey import take_survey
from napari_deconv.blocks.tile import Work, deconvolve_tile
from napari_deconv.blocks.turn import forget_models
from napari_deconv.blocks.weights import find_weights_in


def make_work(side, psf, engine, dtype="uint16", options=None, ahead=None):
    def plane(block_id=None):
        return np.random.default_rng(block_id[0]).poisson(20, (1, side, side)).astype(dtype)

    image = da.map_blocks(plane, chunks=((1,) * side, (side,), (side,)), dtype=dtype)
    profile = np.exp(-(np.linspace(-2, 2, psf) ** 2))
    kernel = profile[:, None, None] * profile[:, None] * profile
    order = check_order(kernel, 3, {"engine": engine, "iterations": 3} | (options or {}))
    plan = make_plan(image.shape, image.dtype, order, side, 0, None)
    given = order.options
    known = {(): Survey(5.0, 16.0, 15.0, 1.0, 0.0, 3, given.weight, given.stop)}
    return Work(check_source(image, 5.0, None), plan, known)


def do(work, ahead=None):
    if ahead == "survey":
        take_survey(work.source, work.plan)
    elif ahead == "weight":
        find_weights_in(work.source, work.plan.order, [()])
    else:
        deconvolve_tile(work, work.plan.tile((0, 0, 0)))


def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def main(engine, case):
    work = make_work(engine=engine, **case)
    ahead = case.get("ahead")
    # Kernels and plans are made once, by a first run; on the CPU a small one does.
    do(work if engine != "cpu" else make_work(16, 5, engine), ahead)
    forget_models()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = psutil.Process().memory_info().rss
    do(work, ahead)
    memory = work.plan.memory
    if ahead == "weight":
        plan = work.plan
        kind = work.source.image.dtype
        memory = memory_of_weight(plan.order.options, plan.place.device, plan.space, kind)
    print(json.dumps({"peak": peak() - before, "predicted": memory.device + memory.host}))


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
