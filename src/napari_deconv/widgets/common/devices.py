"""The field that chooses where it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.qt.threading import create_worker

from napari_deconv.engines import get_engine, list_devices
from napari_deconv.widgets.common.fields import choice
from napari_deconv.widgets.common.preferences import preferences
from napari_deconv.widgets.common.workers import Task, Worker

if TYPE_CHECKING:
    from magicgui.widgets import ComboBox

    from napari_deconv.engines.protocol import Device

__all__ = ["device_choices", "device_field", "find_devices"]


def device_field() -> ComboBox:
    """Make it, with the device that is preferred; no others are looked for yet."""
    field = choice(
        "Device",
        [("Automatic", "auto")],
        "Where it is computed. Automatic takes a GPU if there is one, else the CPU.",
    )
    preferred = preferences().device
    if preferred != "auto":
        field.choices = [("Automatic", "auto"), (preferred, preferred)]
        field.value = preferred
    return field


def find_devices() -> Worker:
    """Make the worker that looks for the devices of this machine, and the automatic one."""
    task = Task("Looking for devices", lambda callback: (list_devices(), get_engine("auto").device))
    return create_worker(task, _worker_class=Worker, _ignore_errors=True)


def device_choices(devices: Sequence[Device], automatic: Device) -> list[tuple[str, str]]:
    """Put what it has found into words."""
    return [(f"Auto ({automatic.kind})", "auto")] + [
        (f"{device.name}, {device.kind}, {device.memory / 1e9:.0f} GB", device.key)
        for device in devices
    ]
