"""Legends in TOML: files of their own, and the tables of data sets."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from geoseg.errors import LegendError
from geoseg.geo.toml_text import parse_toml


def read_legend(path: Path) -> dict[str, Any]:
    """The tables of a legend's TOML; of a data set's description its `[legend]`.

    Raises:
        LegendError: If it cannot be read, or is no TOML.
    """
    try:
        content = parse_toml(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LegendError(path, f"is not TOML ({error})", "Mend the syntax") from error
    except OSError as error:
        raise LegendError(path, error.strerror or str(error)) from error
    return _own(content)


def preset_legend(name: str) -> dict[str, Any] | None:
    """The tables of the legend of a data set that geoseg knows; None where there is none."""
    file = resources.files("geoseg") / "presets" / f"{name.lower().replace('_', '-')}.toml"
    if not name.replace("-", "").replace("_", "").isalnum() or not file.is_file():
        return None
    return _own(tomllib.loads(file.read_text(encoding="utf-8")))


def _own(content: dict[str, Any]) -> dict[str, Any]:
    legend = content.get("legend")
    if isinstance(legend, dict) and "classes" not in content:
        return legend
    return content
