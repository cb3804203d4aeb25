"""What `--cluster` names: processes of this machine, a running scheduler, or jobs of SLURM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Never

from geoseg.engine.memory_size import parse_size
from geoseg.errors import ConfigError

_CURE = "Give local:4, tcp://host:8786, or slurm:partition=gpu,workers=8"
_SLURM_KEYS = ("partition", "workers", "cores", "memory", "walltime", "account", "gpus")
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:]+\]|[^:/\s]+):\d{1,5}")


@dataclass(frozen=True, kw_only=True)
class ClusterSpec:
    """Where the workers are."""

    kind: Literal["local", "scheduler", "slurm"]
    """Processes of this machine, workers of a scheduler that runs, or jobs of SLURM."""

    text: str
    """As the user wrote it."""

    workers: int | None = None
    """Processes that are started; None where they run already."""

    dashboard: int | None = None
    """Port of the dashboard of processes of this machine; None for none."""

    slurm: Mapping[str, str] = field(default_factory=dict)
    """Keys of a SLURM job."""

    @classmethod
    def parse(cls, text: str) -> ClusterSpec:
        """Read what the user wrote.

        Args:
            text: `local:N`, `tcp://host:port`, `tls://host:port`, or `slurm:key=value,...`.

        Raises:
            ConfigError: If it is none of these.
        """
        kind, _, rest = text.partition(":")
        if kind not in {"local", "tcp", "tls", "slurm"}:
            _refuse(text, "is no cluster")
        if kind == "local":
            count, *more = rest.split(",")
            keys = _pairs(text, ",".join(more), ("dashboard",))
            dashboard = _count(text, "dashboard", keys["dashboard"]) if keys else None
            workers = _count(text, "local", count)
            return cls(kind="local", text=text, workers=workers, dashboard=dashboard)
        if kind in {"tcp", "tls"}:
            if _ADDRESS.fullmatch(text) is None:
                _refuse(text, "is no address of a scheduler")
            return cls(kind="scheduler", text=text)
        keys = _pairs(text, rest, _SLURM_KEYS)
        workers = _count(text, "workers", keys.pop("workers", ""))
        for key in {"cores", "gpus"} & keys.keys():
            _count(text, key, keys[key])
        if "memory" in keys:
            parse_size(keys["memory"], "--cluster")
        return cls(kind="slurm", text=text, workers=workers, slurm=keys)


def _pairs(text: str, rest: str, known: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if key not in known or not equals or not value or key in found:
            _refuse(text, f"{pair!r} is none of {'=..., '.join(known)}=..., each once")
        found[key] = value
    return found


def _count(text: str, key: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= 65_535):
        _refuse(text, f"{key} needs a number above 0")
    return int(value)


def _refuse(text: str, problem: str) -> Never:
    raise ConfigError("--cluster", f"{text}: {problem}", _CURE)
