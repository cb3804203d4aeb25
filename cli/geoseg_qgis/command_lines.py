"""The words that the algorithms hand to the command `geoseg`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence


def command_line(
    command: str,
    inputs: Sequence[str],
    options: Mapping[str, object],
    *,
    switches: Sequence[str] = (),
    extra: str = "",
) -> list[str]:
    """The words after `geoseg`.

    Args:
        command: Such as `predict`.
        inputs: Files that it takes; they stand last, so that none is taken for an option.
        options: Values by option, such as `--window`; those of None, False or no text are left
            out, True stands for an option without a value, a list for one that is given often.
        switches: Options without a value.
        extra: Further options as typed by the user, with quotes as in a shell.

    Returns:
        The words.

    Raises:
        ValueError: If a quote in `extra` is not closed.
    """
    words = [command]
    for name, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [_option(name, each) for each in values if _is_given(each)]
    return [*words, *switches, *_words(extra), "--progress=json", "--", *inputs]


def _words(text: str) -> list[str]:
    """Words as typed; on Windows a backslash parts folders, and escapes nothing."""
    parser = shlex.shlex(text, posix=True)
    parser.whitespace_split, parser.commenters = True, ""
    if os.name == "nt":
        parser.escape = ""
    return list(parser)


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ""


def _option(name: str, value: object) -> str:
    return name if value is True else f"{name}={_text(value)}"


def _text(value: object) -> str:
    """Numbers as people write them: 2 rather than 2.0."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)
