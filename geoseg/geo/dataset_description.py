"""Descriptions of labelled data sets: one TOML each, the presets' and the users' own alike."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from geoseg.errors import ConfigError, LegendError
from geoseg.geo.dataset_keys import check_meanings
from geoseg.geo.dataset_tables import Description, EncodingName
from geoseg.geo.toml_text import parse_toml

_SUFFIX = ".toml"
_MOST_BYTES = 4 << 20
"""A description is a page of text; what is larger is another file, given by mistake."""

_ENCODINGS = ", ".join(get_args(EncodingName))


def preset_names() -> list[str]:
    """The names of the data sets that geoseg brings along, in alphabetical order."""
    return sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in _presets().iterdir()
        if entry.name.endswith(_SUFFIX)
    )


def open_description(name_or_path: str | Path) -> Description:
    """Read the description of a data set.

    Args:
        name_or_path: Name of a preset, or a TOML file of the same keys.

    Raises:
        ConfigError: If there is none, it is no TOML, or a key is unknown or a value wrong.
        LegendError: If its legend contradicts itself, or does not suit the labels.
    """
    text = str(name_or_path)
    if not _is_path(text):
        name = text.lower().replace("_", "-")
        if name not in preset_names():
            raise ConfigError(text, "is no data set that geoseg knows", _nearest_preset(name))
        content = (_presets() / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
        return parse_description(_parse(text, content), name)
    path = Path(text).expanduser()
    return parse_description(_parse(text, _read(path)), path.stem, subject=text)


def parse_description(
    tables: Mapping[str, Any], name: str, subject: str | None = None
) -> Description:
    """Check the tables of a description, as `tomllib` gives them.

    Args:
        tables: Keys and values.
        name: What the data set is called.
        subject: The file, for errors; None takes the name.

    Raises:
        ConfigError: If a key is unknown or a value is wrong.
        LegendError: If its legend contradicts itself, or does not suit the labels.
    """
    subject = subject or name
    try:
        description = Description.model_validate({**tables, "name": name})
        check_meanings(description)
    except ValidationError as error:
        raise _config_error(subject, error) from error
    except LegendError as error:
        told = error.problem if error.subject == "legend" else f"{error.subject} {error.problem}"
        raise LegendError(subject, told, error.cure) from error
    return description


def _presets() -> Traversable:
    return resources.files("geoseg") / "presets"


def _is_path(text: str) -> bool:
    return text.lower().endswith(_SUFFIX) or "/" in text or "\\" in text


def _nearest_preset(name: str) -> str:
    nearest = difflib.get_close_matches(name, preset_names(), 1, 0.5)
    if nearest:
        return f"Did you mean {nearest[0]}"
    return "List them by geoseg datasets list, or give a description of your own (NAME.toml)"


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ConfigError(path, "is too large for a description", "Give a TOML file")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(path, "is not UTF-8 text", "Give a TOML file") from error
    except FileNotFoundError as error:
        raise ConfigError(path, "does not exist", "Check the path") from error
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}", "Check the path") from error


def _parse(subject: str, text: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(subject, f"is not valid TOML: {error}", "Mend that line") from error


def _config_error(subject: str, error: ValidationError) -> ConfigError:
    """Tell the first thing that is wrong, in one line; an unknown key before a missing one."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    place = [str(part) for part in first["loc"]]
    names, known = _resolve(place)
    key = ".".join(names)
    if first["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(names[-1], known, 1, 0.6)
        cure = f"Did you mean {nearest[0]}" if nearest else f"Known there are {', '.join(known)}"
        return ConfigError(subject, f"unknown key {key}", cure)
    if first["type"] == "missing":
        return ConfigError(subject, f"key {key} is missing", "Add it")
    if first["type"].startswith("union_tag"):
        if "expected_tags" in first.get("ctx", {}):
            return ConfigError(subject, f"{key} tells no known encoding", f"Choose {_ENCODINGS}")
        return ConfigError(subject, f"key {key}.encoding is missing", f"Choose {_ENCODINGS}")
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(first["input"], dict | list):
        return ConfigError(subject, f"{key or 'description'}: {message}", "Change it")
    return ConfigError(subject, f"{key} = {first['input']!r}: {message}", "Give another value")


def _resolve(place: list[str]) -> tuple[list[str], list[str]]:
    """The keys of a place as they stand in the file, and the keys known in its last table."""
    names: list[str] = []
    tables: list[type[BaseModel]] = [Description]
    known: list[str] = []
    for part in place:
        tagged = [t for t in tables if len(tables) > 1 and part in _encoding_of(t)]
        if tagged:
            tables = tagged
            continue
        names.append(part)
        if part.isdigit():
            continue
        known = [f.alias or n for t in tables for n, f in t.model_fields.items()]
        fields = [f for t in tables for n, f in t.model_fields.items() if (f.alias or n) == part]
        tables = [t for f in fields for t in _tables_in(f.annotation)]
    return names, [key for key in dict.fromkeys(known) if key != "name" or len(names) > 1]


def _encoding_of(table: type[BaseModel]) -> tuple[Any, ...]:
    field = table.model_fields.get("encoding")
    return getattr(field.annotation, "__args__", ()) if field else ()


def _tables_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - what hints are made of
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found = [t for part in getattr(annotation, "__args__", ()) for t in _tables_in(part)]
    return [t for t in found if re.match("geoseg", t.__module__)]
