"""What all commands share: errors and warnings in one line, progress, options, voxel sizes."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from napari_deconv._progress import Callback, Progress
from napari_deconv.cli.limits import limited
from napari_deconv.cli.words import in_options
from napari_deconv.deconvolution import State
from napari_deconv.errors import DeconvError, DeconvWarning
from napari_deconv.files import Image, check_target, read_image, save_image

__all__ = [
    "CHANNEL", "ENGINE", "OUTPUT", "SPACING", "Command", "Group", "NumberOrAuto", "Numbers",
    "RecipeCommand", "check_output", "detail", "is_quiet", "is_verbose", "micrometres", "note",
    "options", "origin", "progress", "read_beside", "read_input", "report", "spacing_of",
    "write_result",
]  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])

_BAD_INPUT = 2
_INTERRUPTED = 130
_QUIET = "napari_deconv.quiet"

_log = logging.getLogger("napari_deconv")
_LOGGERS = (_log, logging.getLogger("tifffile"))


class _WithExamples:
    """A command whose help ends with examples, line by line as they are written."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


class Command(_WithExamples, click.Command):
    """A command with examples, whose errors and warnings call parameters by its options."""

    def words(self, text: str) -> str:
        """Put a message into the words of the command."""
        return in_options(text)

    def invoke(self, ctx: click.Context) -> Any:
        """Do it."""
        try:
            with _one_line_warnings(self.words):
                return super().invoke(ctx)
        except DeconvError as error:
            error.args = (self.words(str(error)),)
            raise


class RecipeCommand(Command):
    """A command whose parameters stand in a recipe, by the names that they have in Python."""

    def words(self, text: str) -> str:
        """Leave a message as it is."""
        return text


class Group(_WithExamples, click.Group):
    """A group of commands whose errors are one line on stderr.

    Bad input exits with 2, Ctrl-C with 130; neither leaves a partial file.
    """

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and exit."""
        code = 0
        try:
            with _quiet_logging():
                code = self._run(*args, **extra)
        except (KeyboardInterrupt, click.Abort) as stop:
            said = str(stop.__cause__ or stop) or "nothing was written"
            code = _fail(f"interrupted, {said}", _INTERRUPTED)
        sys.exit(code)

    def _run(self, *args: Any, **extra: Any) -> int:
        try:
            return super().main(*args, **extra | {"standalone_mode": False}) or 0
        except click.exceptions.NoArgsIsHelpError as usage:
            usage.show()
        except (click.ClickException, DeconvError, MemoryError) as error:
            _log.debug("Where the error comes from:", exc_info=True)
            _fail(_message(error), _BAD_INPUT)
        return _BAD_INPUT


@contextmanager
def _one_line_warnings(words: Callable[[str], str]) -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        tqdm.write(f"warning: {words(' '.join(str(message).split()))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DeconvWarning)
        warnings.showwarning = show
        yield


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Let loggers say something only after -v has set their level."""
    handler = logging.StreamHandler()
    for logger in _LOGGERS:
        logger.addHandler(handler)
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger in _LOGGERS:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)


def _message(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"Out of memory ({error}): crop the image, or use a machine with more."
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    if isinstance(error, click.UsageError) and error.ctx is not None:
        text += f" See {error.ctx.command_path} --help."
    return " ".join(text.split())


def _fail(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code


# -- options -------------------------------------------------------------------------------------


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas, (z, y, x) or (y, x), or one for all axes."""

    def __init__(self, name: str, kind: Callable[[str], float] = float) -> None:
        """Read each number with `kind`; `name` describes the value in the help."""
        self.name = name
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Split at commas."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(self.kind(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers separated by commas ({self.name}).", param, ctx)


class NumberOrAuto(click.ParamType[float | str]):
    """A number, or the word ``auto``."""

    def __init__(self, kind: type[float]) -> None:
        """Read the number with `kind`, int or float."""
        self.name = "number|auto"
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Read the number."""
        if value == "auto":
            return "auto"
        try:
            return self.kind(value)
        except ValueError:
            whole = "whole " if self.kind is int else ""
            self.fail(f"{value!r} is neither auto nor a {whole}number.", param, ctx)


SPACING = click.option(
    "-s", "--spacing", type=Numbers("z,y,x"), help="Voxel size in µm, instead of the file's."
)
OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="File to write."
)
CHANNEL = click.option(
    "-c", "--channel", type=int, help="Take only this channel of the file, counted from 0."
)
ENGINE = limited(click.option(
    "-e", "--engine", default="auto", show_default=True, metavar="DEVICE",
    help="auto, cpu, opencl or opencl:NAME; see napari-deconv devices.",
))  # fmt: skip


def _verbosity(command: Function) -> Function:
    """Add -v and -q, which `report` and `progress` follow."""

    def be_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_QUIET] = value

    def be_verbose(_: click.Context, __: click.Parameter, value: bool) -> None:
        for logger in _LOGGERS if value else ():
            logger.setLevel(logging.DEBUG)

    quiet = click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=be_quiet,
        help="Print errors and warnings only.",
    )  # fmt: skip
    verbose = click.option(
        "-v", "--verbose", is_flag=True, expose_value=False, callback=be_verbose,
        help="Say more, and show where errors come from.",
    )  # fmt: skip
    return verbose(quiet(command))


def options(*decorators: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Apply options so that they are listed in this order, then -v and -q."""

    def decorate(command: Function) -> Function:
        command = _verbosity(command)
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


# -- talking -------------------------------------------------------------------------------------


def report(message: str) -> None:
    """Print a line on stdout unless -q was given."""
    if not is_quiet():
        click.echo(message)


def note(message: str) -> None:
    """Print a line on stderr, above a progress bar, unless -q was given."""
    if not is_quiet():
        tqdm.write(message, file=sys.stderr)


def detail(message: str) -> None:
    """Print a line on stderr if -v was given."""
    _log.debug(message)


def is_verbose() -> bool:
    """Tell whether `detail` prints."""
    return _log.isEnabledFor(logging.DEBUG)


def is_quiet() -> bool:
    """Tell whether -q was given."""
    return bool(click.get_current_context().meta.get(_QUIET))


@contextmanager
def progress(description: str) -> Iterator[Callback]:
    """Show a bar on stderr while the block runs, if that is a terminal.

    Parameters
    ----------
    description : str
        What is going on.

    Yields
    ------
    callable
        To be passed as ``callback=``.
    """
    # None hides the bar where stderr is no terminal
    hidden = is_quiet() or None
    with tqdm(desc=description, file=sys.stderr, disable=hidden, leave=False) as bar:

        def show(state: Progress) -> None:
            if isinstance(state, State) and state.level > 1:
                bar.set_description(f"{description}, coarse start")
                return
            bar.set_description(description, refresh=False)
            bar.total = state.iterations
            bar.n = state.iteration + round(state.part, 2) if state.part else state.iteration
            bar.update(0)

        yield show


# -- files ---------------------------------------------------------------------------------------


def check_output(output: Path, inputs: Sequence[Path], suffixes: Sequence[str]) -> None:
    """Raise `DeconvError` before the work is done if its result cannot be written.

    Parameters
    ----------
    output : Path
        File to write.
    inputs : sequence of Path
        Files that must not be overwritten, where they exist.
    suffixes : sequence of str
        Endings that `output` may have.
    """
    check_target(output, suffixes)
    if output.exists() and any(path.exists() and output.samefile(path) for path in inputs):
        raise DeconvError(f"{output} is the input: choose another name for the output.")


def read_input(path: Path, spacing: tuple[float, ...] | None, channel: int | None = None) -> Image:
    """Read an image, or one of its channels, counted from 0."""
    image = read_image(path, spacing, channel)
    size = "unknown" if image.spacing is None else micrometres(image.spacing)
    detail(f"{path}: {image.axes} {image.data.shape} {image.data.dtype}, voxel size {size}")
    return image


def read_beside(path: Path, channel: int | None) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Read what belongs to an image, its channel if it has channels, too; and say its origin."""
    image = read_image(path)
    if channel is None or "C" not in image.axes:
        return image.data, origin(path)
    return image.of_channel(channel, path).data, origin(path, channel)


def origin(path: Path, channel: int | None = None, **more: Any) -> dict[str, Any]:
    """Say where an array comes from (see `napari_deconv.provenance`)."""
    number = {} if channel is None else {"channel": channel}
    return {"path": str(path.resolve()), **number, **more}


def write_result(
    output: Path, result: npt.NDArray[np.float32], source: Image, recipe: dict[str, Any]
) -> None:
    """Write a result with the axes, channels, times and place of its source."""
    save_image(output, source.remade(result, recipe))
    voxel = "no voxel size" if source.spacing is None else micrometres(source.spacing)
    report(f"Wrote {output}: {' × '.join(map(str, result.shape))} voxels of {voxel}.")


def spacing_of(image: Image, path: Path, option: str = "--spacing") -> tuple[float, ...]:
    """Give the voxel size, which is never guessed."""
    if image.spacing is None:
        raise DeconvError(
            f"{path} has no voxel size: give it with {option} z,y,x in µm; "
            "it is in the microscope's metadata."
        )
    return image.spacing


def micrometres(lengths: Iterable[float], digits: int = 4) -> str:
    """Write lengths as people do: 0.3 × 0.108 × 0.108 µm."""
    return " × ".join(f"{length:.{digits}g}" for length in lengths) + " µm"
