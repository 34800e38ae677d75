"""What the user prefers: napari's Preferences page, and the values that were last used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings

from napari_deconv.engines import set_limits
from napari_deconv.errors import DeconvError
from napari_deconv.files import replacing

__all__ = ["Preferences", "apply_limits", "preferences", "recall", "remember"]

_PLUGIN = "napari-deconv"


@dataclass(frozen=True)
class Preferences:
    """What is set on the Preferences page of this plugin (declared in ``napari.yaml``).

    Attributes
    ----------
    device : str
        What to compute on, as `napari_deconv.get_engine` takes it; it may not exist.
    memory : float or None
        Bytes that one operation may take, and
    threads : int or None
        threads of the CPU; None is no limit, as `napari_deconv.set_limits` takes both.
    unit : str
        What the scale of a layer without a unit is in: ``"nm"``, ``"µm"`` or ``"mm"``.
    """

    device: str = "auto"
    memory: float | None = None
    threads: int | None = None
    unit: str = "µm"


def preferences() -> Preferences:
    """Read what is set now; the defaults where napari has no settings of this plugin."""
    try:
        settings = get_plugin_settings(_PLUGIN)
    except KeyError:
        return Preferences()
    compute = settings.compute  # napari puts defaults where its file has values that are none
    return Preferences(
        compute.device.strip() or "auto",
        1e9 * compute.memory or None,
        compute.threads or None,
        settings.layers.unit,
    )


def apply_limits() -> None:
    """Set what operations may take to what is preferred now.

    Raises
    ------
    DeconvError
        If that is no amount of memory or number of threads.
    """
    preferred = preferences()
    set_limits(preferred.threads, preferred.memory)


def remember(title: str, values: Mapping[str, Any]) -> None:
    """Keep the values that a widget was last run with; for good, if napari keeps its settings.

    Parameters
    ----------
    title : str
        The widget's.
    values : mapping
        Of numbers, texts, booleans, None, and lists of them; other kept values are forgotten.
    """
    file = _file()
    if file is None:
        return
    kept = json.dumps(_read(file) | {title: dict(values)}, ensure_ascii=False, indent=1)
    with suppress(DeconvError, OSError):  # a full or locked disk: no reason to disturb the user
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            temporary.write_text(kept, encoding="utf-8")


def recall(title: str) -> dict[str, Any]:
    """Read the values that a widget was last run with; empty where there are none."""
    file = _file()
    values = {} if file is None else _read(file).get(title)
    return values if isinstance(values, dict) else {}


def _file() -> Path | None:
    """Find the file of last-used values, beside that of the settings.

    It is no part of the settings: napari shows those on its Preferences page, one and all.
    """
    try:
        settings = get_plugin_settings(_PLUGIN).config_path
    except KeyError:
        return None
    return None if settings is None else settings.with_name(f"{_PLUGIN}-last-used.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
