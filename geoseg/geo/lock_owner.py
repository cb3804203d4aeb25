"""Who has a lock: the process, its machine and when it began; told in the locked file."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from geoseg.geo.temporary import STALE_SECONDS, is_running, this_machine

_LONGEST = 1024
"""Bytes of the description that are read: the file may be anything."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that has a lock."""

    pid: int
    """Its number."""

    began: float
    """When it took the lock, seconds since 1970."""

    node: str
    """Name of its machine, for people."""

    machine: str
    """Tells machines and containers apart."""

    ticks: int
    """When the process started, in the clock of its machine: numbers of processes come again."""

    @classmethod
    def this(cls) -> Self:
        """This process, now."""
        pid = os.getpid()
        return cls(
            pid=pid,
            began=time.time(),
            node=platform.node(),
            machine=this_machine(),
            ticks=_ticks(pid),
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What stands in a locked file; None if that is nothing of the kind."""
        try:
            with path.open("rb") as file:
                found = json.loads(file.read(_LONGEST))
            return cls(
                pid=int(found["pid"]),
                began=float(found["began"]),
                node=str(found["node"]),
                machine=str(found["machine"]),
                ticks=int(found["ticks"]),
            )
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None

    def encode(self) -> bytes:
        """What is to stand in the file."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @property
    def is_this(self) -> bool:
        """Whether it is this very process."""
        return (self.pid, self.machine) == (os.getpid(), this_machine())

    @property
    def is_alive(self) -> bool:
        """Whether the process runs still, and its number is not another one's by now."""
        if self.machine != this_machine():
            return time.time() - self.began < STALE_SECONDS
        return is_running(self.pid) and _ticks(self.pid) == self.ticks

    def __str__(self) -> str:
        since = "an unknown time"
        with contextlib.suppress(ValueError, OverflowError, OSError):
            since = datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        where = "" if self.machine == this_machine() else f" on {self.node}"
        return f"process {self.pid}{where} since {since}"


def _ticks(pid: int) -> int:
    """Start of a process since the machine's, in its clock's ticks; 0 where nobody tells."""
    try:
        # The name before it, in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(fields.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
