"""The command `geoseg`: finds the subcommand, runs it, and tells errors in one line."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from types import FrameType
from typing import NoReturn

import click

from geoseg import __version__
from geoseg.errors import GeosegError, is_out_of_memory, printable
from geoseg.progress import Progress
from geoseg_cli.deadline import end_in_time, leave_nothing

# Name -> module and one-line help. The help stands here, beside the name, so that
# `geoseg --help` loads no command and with it no library.
COMMANDS: dict[str, tuple[str, str]] = {
    "info": ("geoseg_cli.info", "Describe scenes, legends, tile sets and model bundles."),
    "tile": ("geoseg_cli.tile", "Cut labelled scenes into training tiles."),
    "train": ("geoseg_cli.train", "Train a network from a TOML file."),
    "mosaic": ("geoseg_cli.mosaic", "Make one scene of many that lie side by side."),
    "predict": ("geoseg_cli.predict", "Predict class maps of scenes with a trained model."),
    "vectorize": ("geoseg_cli.vectorize", "Turn a class raster into polygons."),
    "relabel": ("geoseg_cli.relabel", "Recode label images, run lengths, votes, lists of names."),
    "evaluate": ("geoseg_cli.evaluate", "Compare class rasters with labels."),
    "sample": ("geoseg_cli.sample", "Draw places of a class raster for somebody to interpret."),
    "suggest": ("geoseg_cli.suggest", "Rank the places that are worth labelling next."),
    "models": ("geoseg_cli.models", "List the architectures and encoders, and what they cost."),
    "import": ("geoseg_cli.import_", "Make a model bundle from the weights of another tool."),
    "export": ("geoseg_cli.export", "Export a model to ONNX, OpenVINO or torch.export."),
    "datasets": ("geoseg_cli.datasets", "List, check and tile published data sets, or your own."),
    "preview": ("geoseg_cli.preview", "Draw a quick look of rasters and polygons."),
    "demo": ("geoseg_cli.demo", "Run the whole path on the sample data."),
}

_ONLY_REMOTE = "CPL_VSIL_CURL_ALLOWED_FILENAME"
"""GDAL's option, in the environment, of the one remote file that may be read."""

INTERRUPTED = 130
TERMINATED = 143

_received: list[int] = []
"""Signals that came; the exception that told one may have been lost in a library."""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when that subcommand is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names of the subcommands, in the order of a user's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the subcommands with their help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="geoseg")
def group() -> None:
    """Segment satellite, aerial and drone imagery.

    From a scene and labels to a trained model, and from there to class maps and polygons.
    `geoseg COMMAND --help` tells the options of a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after `geoseg`; those of this process if not given.

    Returns:
        The exit code: 0 done, 1 failed at work, 2 bad input or usage, 130 interrupted.

    Raises:
        SystemExit: With 143, after SIGTERM, once everything is cleaned up.
    """
    if arguments is not None:
        return _run(arguments)
    words, code = sys.argv[1:], TERMINATED
    if "--debug" not in words and not sys.warnoptions:
        warnings.simplefilter("ignore")
        sys.warnoptions.append("ignore")  # for processes that Python starts, as they read it
    try:
        signal.signal(signal.SIGINT, _interrupt)
        end_in_time((_terminate, _interrupt, _ignore))
        code = _run(words)
        _ignore_signals()  # the interpreter ends, and has no words of its own for them
    except KeyboardInterrupt as error:  # it came as the end was being told
        code = _report(error, _wants_json(words))
    finally:
        _ignore_signals()
        leave_nothing()
        if _received:
            _leave(code)
    return code


def _run(words: Sequence[str]) -> int:
    """Run the words of a command, and tell errors."""
    debug = "--debug" in words
    _received.clear()
    _prepare_process(debug=debug)
    try:
        with _remote_as_typed(words), _callbacks_silenced(debug=debug):
            result = group.main(list(words), prog_name="geoseg", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return 1
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - told, whatever it is
        if debug:
            traceback.print_exc()
        return _report(_meant(error), _wants_json(words))
    return result if isinstance(result, int) else 0


def _meant(error: BaseException) -> BaseException:
    """The error, or the signal that a library has turned into it.

    Raises:
        SystemExit: With 143, if that was SIGTERM.
    """
    if signal.SIGTERM in _received:
        raise SystemExit(TERMINATED) from None
    return KeyboardInterrupt() if _received else error


def _report(error: BaseException, as_json: bool) -> int:
    """Tell an error on stderr in one line and give its exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return error.exit_code
    message, code = _describe(error)
    if as_json:
        Progress("json").event("error", type=type(error).__name__, message=message, exit_code=code)
    click.echo(f"Error: {message}", err=True)
    return code


def _describe(error: BaseException) -> tuple[str, int]:
    """One line of text and the exit code for any exception."""
    if isinstance(error, GeosegError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return _one_line(error.format_message()) + _help_hint(error), error.exit_code
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "interrupted", INTERRUPTED
    return _describe_failure(error), 1


def _describe_failure(error: BaseException) -> str:
    """One line for an exception that geoseg did not raise on purpose."""
    if is_out_of_memory(error):
        return "out of memory. Use --max-memory, a smaller --window or --batch-size, fewer --jobs."
    if isinstance(error, OSError) and error.strerror:
        subject = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return _one_line(f"{subject}{error.strerror}")
    text = _one_line(f"{type(error).__name__}: {error}")
    return f"{text} (a defect of geoseg; run again with --debug)"


def _help_hint(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f" See {error.ctx.command_path} --help."


def _one_line(text: str, most: int = 500) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3] + "..."


def _wants_json(words: Sequence[str]) -> bool:
    """Whether `--progress json` is among the words, even when they could not be parsed."""
    return "--progress=json" in words or ("--progress", "json") in pairwise(words)


def _prepare_process(*, debug: bool) -> None:
    """Set what belongs to the process and not to the library."""
    signal.signal(signal.SIGTERM, _terminate)
    # OpenVINO reports each conversion to its makers by this module, and goes without it.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")  # those of other libraries; ours are log records
    if not debug:
        os.environ.setdefault("CPL_LOG", os.devnull)  # GDAL's own words on what is told in one line
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # any file name can be told


@contextmanager
def _remote_as_typed(words: Sequence[str]) -> Iterator[None]:
    """Let GDAL reach other machines only where a URL was typed, or that allowed, or by `train`.

    A file may tell GDAL of overviews or sources elsewhere in more ways than can be looked for.
    """
    is_typed = any("://" in word or "/vsi" in word for word in words) or "--allow-remote" in words
    if is_typed or words[:1] == ["train"] or _ONLY_REMOTE in os.environ:
        yield
    else:
        os.environ[_ONLY_REMOTE] = "none"
        try:
            yield
        finally:
            del os.environ[_ONLY_REMOTE]


@contextmanager
def _callbacks_silenced(*, debug: bool) -> Iterator[None]:
    """Keep from stderr what rasterio fails at while GDAL tells it of an error in a damaged file.

    The error itself arrives by its own way; this is of text in it that is no UTF-8.
    """
    before = sys.unraisablehook
    if not debug:
        sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - as signal wants
    """End by an exception, so that context managers remove what is unfinished."""
    _received.append(number)
    _ignore_signals()  # a second one must not stop the cleaning
    raise SystemExit(TERMINATED)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - as signal wants
    """End as Python does, and remember why."""
    _received.append(number)
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Go on ending; unlike SIG_IGN it lets the deadline see the signal."""


def _leave(code: int) -> NoReturn:
    """End here: the interpreter takes libraries down in order, which may take it seconds."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _silence_stdout() -> None:
    """Let the last flush of the interpreter go nowhere: the reader of the pipe has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
