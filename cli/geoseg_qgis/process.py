"""Runs the command, listens to it, and ends it with all that it started."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from geoseg_qgis.environment import NotFoundError
from geoseg_qgis.messages import Failure, Message, Note, parse_line

GRACE_SECONDS = 10.0
"""How long the command may clean up after SIGTERM before it is killed."""

_LOOK_SECONDS = 0.1
_JOIN_SECONDS = 5.0


class Listener(Protocol):
    """Hears what the command tells, and may end it."""

    def tell(self, message: Message) -> None:
        """Hear a message; called in the thread that called `run`."""

    def is_cancelled(self) -> bool:
        """Whether the command is to be ended."""


@dataclass(frozen=True)
class Outcome:
    """How the command ended."""

    exit_code: int
    """That of the command; negative for the signal that ended it."""

    output: str
    """All of stdout."""

    error: str
    """Why it failed, in one line; empty if it did not."""

    was_cancelled: bool
    """Whether it was ended because the listener wished so."""


def run(words: Sequence[str], environ: Mapping[str, str], listener: Listener) -> Outcome:
    """Run a command until it ends or is cancelled.

    It runs in the working folder of this process, without a shell and without input, in a process
    group of its own.

    Args:
        words: The command and its arguments.
        environ: Its variables.
        listener: Hears what it tells.

    Returns:
        How it ended.

    Raises:
        NotFoundError: If it cannot be started.
    """
    process = _start(words, environ)
    lines: queue.Queue[str] = queue.Queue()
    output: list[str] = []
    assert process.stdout is not None and process.stderr is not None
    threads = [
        threading.Thread(target=_read, args=(process.stderr, lines.put), daemon=True),
        threading.Thread(target=_read, args=(process.stdout, output.append), daemon=True),
    ]
    for thread in threads:
        thread.start()
    hearing = _Hearing(lines, listener)
    cancelled = False
    try:
        while process.poll() is None:
            cancelled = listener.is_cancelled()
            if cancelled:
                break
            hearing.listen(_LOOK_SECONDS)
    finally:
        _end(process)
        for thread in threads:
            thread.join(_JOIN_SECONDS)
    hearing.listen(0)
    code = process.returncode
    error = "" if code == 0 or cancelled else hearing.reason or _ending(code)
    return Outcome(code, "".join(output), error, cancelled)


class _Hearing:
    """Hands lines on as messages; keeps the first failure, or else the last plain line."""

    def __init__(self, lines: queue.Queue[str], listener: Listener) -> None:
        self._lines, self._listener = lines, listener
        self._failure = self._line = ""

    @property
    def reason(self) -> str:
        """Why the command failed, as far as it told."""
        return self._failure or self._line

    def listen(self, seconds: float) -> None:
        """Hand on what is there, waiting for the first line if need be."""
        try:
            self._hear(self._lines.get(timeout=seconds) if seconds else self._lines.get_nowait())
            while True:
                self._hear(self._lines.get_nowait())
        except queue.Empty:
            return

    def _hear(self, line: str) -> None:
        message = parse_line(line)
        if isinstance(message, Failure):  # told twice, as JSON and as a plain line
            self._failure = self._failure or message.text
        elif message is not None:
            if isinstance(message, Note) and message.level == "plain":
                self._line = message.text
            self._listener.tell(message)


def _start(words: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[str]:
    options: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": getattr(subprocess, "CREATE_NO_WINDOW", 0)}
    try:
        return subprocess.Popen(
            list(words),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            **options,
        )
    except OSError as error:
        raise NotFoundError(f"{words[0]} cannot be started ({error.strerror}).") from error


def _read(stream: IO[str], put: Any) -> None:
    with stream:
        for line in stream:
            put(line)


def _end(process: subprocess.Popen[str]) -> None:
    """End the command, if it still runs, and what it may have left behind."""
    if process.poll() is None:
        _signal(process, "SIGTERM")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    _signal(process, "SIGKILL")
    process.wait()


def _signal(process: subprocess.Popen[str], name: str) -> None:
    """Send a signal to the command's group; Windows has none, there the command is ended."""
    if os.name == "nt":
        if process.poll() is None:
            process.kill()
        return
    # All have ended; macOS denies permission for a group whose last member has.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))


def _ending(code: int) -> str:
    if code < 0:
        why = ", perhaps as the memory did not suffice" if code == -9 else ""
        return f"ended by signal {-code}{why}"
    return "no reason was told"
