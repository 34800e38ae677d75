from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(params=["cpu", "opencl"])
def engine(request):
    """Every operation runs on both engines; without an OpenCL runtime the suite fails."""
    from napari_deconv.engines import get_engine

    return get_engine(request.param)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, or a skip: simulated data cover the same code."""
    folder = os.environ.get("NAPARI_DECONV_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("NAPARI_DECONV_DATA is not set")
    return Path(folder)
