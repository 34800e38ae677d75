"""How much of the computer a command takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from napari_deconv.engines import set_limits

__all__ = ["limited"]

_LIMITS = "napari_deconv.limits"

Function = TypeVar("Function", bound=Callable[..., Any])


def limited(
    engine: Callable[[Function], Function],
    memory_help: str = "What its arrays may take on the device; what needs more is refused.",
) -> Callable[[Function], Function]:
    """Add --threads and --memory to the option of the engine; they hold until the command ends."""
    threads = click.option(
        "--threads", type=click.IntRange(min=1), expose_value=False, callback=_limit,
        help="Threads of the CPU at most, instead of all cores.",
    )  # fmt: skip
    memory = click.option(
        "--memory", type=click.FloatRange(min=0, min_open=True), metavar="GB", expose_value=False,
        callback=_limit, help=memory_help,
    )  # fmt: skip
    return lambda command: engine(threads(memory(command)))


def _limit(ctx: click.Context, option: click.Parameter, value: float | None) -> None:
    if value is None:
        return
    limits = ctx.meta.setdefault(_LIMITS, {"threads": None, "memory": None})
    limits[option.name] = value if option.name == "threads" else 1e9 * value
    set_limits(**limits)
    ctx.call_on_close(set_limits)
