"""What is written down of a run beside its figures: the circumstances, and all that was told."""

from __future__ import annotations

import json
import logging
import math
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import rasterio
import torch

from geoseg import __version__
from geoseg.errors import printable
from geoseg.geo.outputs import publish
from geoseg.nn.stopwatch import Stopwatch

RUN_JSON, RUN_LOG = "run.json", "run.log"
"""Names in the run folder."""

_PACKAGES = (
    *("torch", "torchvision", "lightning", "segmentation-models-pytorch", "timm", "torchgeo"),
    *("numpy", "rasterio", "shapely", "pydantic"),
)
_GIT_SECONDS = 10.0
_MOST_LINES = 100_000


class RunLog:
    """The file run.json: under what circumstances a network was trained.

    It is written when the run begins and when it ends, so that one that was killed is told too.

    Args:
        run: The run folder.
        facts: What is known from the beginning.
        resume: Whether to go on with the file of an earlier start.
    """

    def __init__(self, run: Path, facts: Mapping[str, Any], *, resume: bool = False) -> None:
        self._path = run / RUN_JSON
        before = _read(self._path) if resume else {}
        starts = before.get("starts", [])
        self._content: dict[str, Any] = {
            **before,
            **facts,
            "status": "running",
            "starts": [*starts, {"started": _now(), "command": shlex.join(sys.argv)}],
        }
        self.write()

    @property
    def ids(self) -> dict[str, str]:
        """By which services know the run; what is put in is kept."""
        ids: dict[str, str] = self._content.setdefault("loggers", {})
        return ids

    def end(self, status: str, timings: Mapping[str, float], error: str | None = None) -> None:
        """Write how it ended.

        Args:
            status: `finished`, `stopped` or `failed`.
            timings: Seconds by kind of work, of this start.
            error: What it failed of.
        """
        self._content.update(status=status, error=error)
        self._content["starts"][-1].update(ended=_now(), timings=dict(timings))
        self.write()

    @contextmanager
    def running(self, stopwatch: Stopwatch) -> Iterator[None]:
        """Within it the run goes on; how it ends is written, whatever ends it.

        Args:
            stopwatch: Tells where the time went.
        """
        status, error = "finished", None
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            status = "stopped"
            raise
        except BaseException as caught:
            status, error = "failed", str(caught)
            raise
        finally:
            seconds = {"all": stopwatch.elapsed, **stopwatch.seconds}
            timings = {name: round(value, 2) for name, value in seconds.items()}
            self.end(status, timings, error)

    def tell(self, **facts: object) -> None:
        """Keep what has become known; it is written with all else."""
        self._content.update(facts)

    def write(self) -> None:
        """Write what is known.

        Raises:
            WorkError: If the disk is full or fails.
        """
        with publish(self._path) as temporary:
            text = json.dumps(self._content, indent=2, ensure_ascii=False, default=str)
            temporary.write_text(text + "\n", encoding="utf-8")


def plain(row: Mapping[str, float]) -> dict[str, float | None]:
    """A row of figures as JSON can hold it: None where one is not defined."""
    return {key: value if math.isfinite(value) else None for key, value in row.items()}


def circumstances(device: torch.device) -> dict[str, Any]:
    """What a run was made with: versions, machine, state of the sources in the current folder."""
    return {
        "versions": versions(),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "device": _describe(device),
        "git": git_state(Path.cwd()),
    }


def versions() -> dict[str, str]:
    """Versions of what a training rests on."""
    found = {"geoseg": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a package may be there without its metadata
            continue
    found["gdal"] = rasterio.__gdal_version__
    if torch.version.cuda is not None:
        found["cuda"] = torch.version.cuda
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit, branch, and whether files differ from it; None where there is no repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(folder, "status", "-s", "-uno")
    branch = _git(folder, "symbolic-ref", "-q", "HEAD")  # fails where none is checked out
    return {
        "commit": commit,
        "branch": None if branch is None else branch.removeprefix("refs/heads/"),
        "dirty": None if changes is None else bool(changes),
    }


@contextmanager
def recorded() -> Iterator[Callable[[Path], None]]:
    """Keep all that geoseg logs within, from INFO on, for a text file that is named later.

    What other listeners hear stays as it was: where INFO is not asked for, they do not get it.

    Yields:
        Called with the path it appends to that file what came before, and what comes. If it is
        never called nothing is written.
    """
    logger = logging.getLogger("geoseg")
    level, own = logger.getEffectiveLevel(), logger.level
    kept = MemoryHandler(_MOST_LINES, flushLevel=logging.CRITICAL + 1)
    kept.setLevel(logging.INFO)
    others = [*logger.handlers, *logging.getLogger().handlers]

    def is_asked_for(record: logging.LogRecord) -> bool:
        return record.levelno >= level or not record.name.startswith("geoseg")

    def begin(path: Path) -> None:
        file = _LogFile(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        kept.setTarget(file)
        kept.flush()
        kept.capacity = 1

    for other in others:
        other.addFilter(is_asked_for)
    logger.addHandler(kept)
    logger.setLevel(min(level, logging.INFO))
    try:
        yield begin
    finally:
        logger.setLevel(own)
        logger.removeHandler(kept)
        for other in others:
            other.removeFilter(is_asked_for)
        if kept.target is not None:
            kept.flush()
            with suppress(OSError):
                kept.target.close()
        kept.close()


class _LogFile(logging.FileHandler):
    """Loses lines where the disk is full: checkpoints tell of it, and whether training ends."""

    def format(self, record: logging.LogRecord) -> str:
        """As it may be kept: without the keys of URLs."""
        return printable(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do without the traceback that logging prints."""


def _read(path: Path) -> dict[str, Any]:
    """The file of an earlier start; a damaged one is begun anew."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {platform.processor() or platform.machine()}"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None where it is missing, refuses or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - no word of it is a user's
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's git, as in a shell
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
