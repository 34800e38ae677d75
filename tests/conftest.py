from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Keeps napari and this plugin off the user's own settings. napari asks once, at import.
SETTINGS = Path(tempfile.mkdtemp(prefix="napari-settings-"))
os.environ["NAPARI_CONFIG"] = str(SETTINGS / "settings.yaml")


def pytest_unconfigure():
    shutil.rmtree(SETTINGS, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_remembered():
    """No test starts with the values that a widget had in another one."""
    yield
    for file in SETTINGS.glob("*-last-used.json"):
        file.unlink()


@pytest.fixture
def no_limits():
    """For tests that limit threads or memory: there are no limits afterwards."""
    from napari_deconv import set_limits

    yield
    set_limits()


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
