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

__all__ = ["device_field", "find_devices", "offer_devices"]


def device_field() -> ComboBox:
    """Make it, with the device that is preferred; no others are looked for yet."""
    preferred = preferences().device
    # All of them from the start: to the first ones magicgui goes back in a new parent.
    choices = [("Automatic", "auto")]
    if preferred != "auto":
        choices.append((preferred, preferred))
    field = choice(
        "Device",
        choices,
        "Where it is computed. Automatic takes a GPU if there is one, else the CPU.",
    )
    field.value = preferred
    return field


def find_devices() -> Worker:
    """Make the worker that looks for the devices of this machine, and the automatic one."""
    task = Task("Looking for devices", lambda callback: (list_devices(), get_engine("auto").device))
    return create_worker(task, _worker_class=Worker, _ignore_errors=True)


def offer_devices(field: ComboBox, devices: Sequence[Device], automatic: Device) -> None:
    """Offer what it has found; what is chosen stays, also a part of a device's name."""
    chosen = field.value
    choices = [(f"Auto ({automatic.kind})", "auto")] + [
        (f"{device.name}, {device.kind}, {device.memory / 1e9:.0f} GB", device.key)
        for device in devices
    ]
    if chosen not in [key for _, key in choices]:
        choices.append((chosen, chosen))
    with field.changed.blocked():  # no setting has changed
        field.choices = choices
        field.value = chosen
