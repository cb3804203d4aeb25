"""The configuration of a training run: what the TOML file may say, and what it means."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from geoseg.errors import ConfigError
from geoseg.geo.legend_files import preset_legend
from geoseg.geo.toml_text import parse_toml, toml_value
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.config_tables import (
    DataConfig,
    LogConfig,
    ModelConfig,
    Table,
    ValidateConfig,
)
from geoseg.nn.loop_config import LoopConfig
from geoseg.nn.losses import LossConfig
from geoseg.nn.optim import OptimizerConfig
from geoseg.nn.schedules import ScheduleConfig

_PATH_KEYS: tuple[tuple[str, ...], ...] = (
    ("data", "tiles"),
    ("data", "scenes"),
    ("data", "labels"),
    ("data", "legend"),
    ("data", "label_extent"),
    ("data", "split"),
    ("data", "tile_weights"),
    ("data", "torchgeo_args", "root"),
    ("validate", "scenes"),
    ("validate", "labels"),
    ("validate", "label_extent"),
    ("model", "weights"),
)
_KEY = r"(?!(?:constrained-)?(?:int|str|float)$)[\w-]+"
_WORDS = frozenset({"none", "imagenet", "pretrained", "block", "scene"})
"""What may stand where a path is wanted."""

_BARE_WORD = re.compile(r"[^\s\"'\[\]{}=,][^\"'\[\]{}=,]*")


class TrainConfig(Table):
    """A whole training run; the same config and data train the same network."""

    name: str = Field(default="model", pattern=r"^[\w][\w .-]*$")
    """Name of the run and of the model it makes."""

    seed: int = Field(default=42, ge=0, lt=2**63)
    """Start of all chance: weights, order, crops, augmentation."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    train: LoopConfig = LoopConfig()
    validation: ValidateConfig = Field(default=ValidateConfig(), alias="validate")
    log: LogConfig = LogConfig()


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> TrainConfig:
    """Read a training configuration.

    Args:
        path: TOML file; relative paths in it start at its folder.
        overrides: `key.sub=value` each, the value in TOML (words need no quotes); relative
            paths in them start at the current folder.

    Returns:
        The configuration with every default filled in and every path absolute.

    Raises:
        ConfigError: If the file is missing, is no TOML, or has an unknown key or wrong value.
    """
    path = Path(path).expanduser()
    tables = _resolve_paths(_read_toml(path), path.absolute().parent)
    for override in overrides:
        tables = _merge(tables, _resolve_paths(_parse_override(override), Path.cwd()))
    return parse_config(tables, subject=str(path))


def parse_config(tables: Mapping[str, Any], subject: str = "config") -> TrainConfig:
    """Check tables, as `tomllib` gives them, and fill in the defaults.

    Raises:
        ConfigError: If a key is unknown (the nearest is suggested) or a value is wrong.
    """
    try:
        # JSON lets pydantic be strict about numbers and words, yet take arrays as tuples.
        return TrainConfig.model_validate_json(
            json.dumps(_with_rate(tables), default=str), strict=True
        )
    except ValidationError as error:
        raise _config_error(subject, error) from error


def dump_config(config: TrainConfig) -> str:
    """Write a configuration as TOML; `load_config` reads the same one from it."""
    lines: list[str] = []
    _dump_table(config.model_dump(mode="json", exclude_none=True), (), lines)
    return "\n".join(lines).strip() + "\n"


def _with_rate(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Where no learning rate is told, take that of the architecture."""
    model, optimizer = (tables.get(key, {}) for key in ("model", "optimizer"))
    if not isinstance(model, dict) or not isinstance(optimizer, dict) or "lr" in optimizer:
        return dict(tables)
    architecture = ARCHITECTURES.get(str(model.get("arch", "")).lower())
    if architecture is None:
        return dict(tables)
    return {**tables, "optimizer": {**optimizer, "lr": architecture.lr}}


def _read_toml(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return parse_toml(text)
    except FileNotFoundError as error:
        raise ConfigError(path, "does not exist", "Check the path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "is not UTF-8 text", "Give a TOML file") from error
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}", "Check the path") from error
    except tomllib.TOMLDecodeError as error:
        # The parser's text ends with "(at line 3, column 7)" or "(at end of document)".
        end = f"at the end, line {len(text.splitlines())}"
        reason = str(error).replace("at end of document", end)
        raise ConfigError(path, f"is not valid TOML: {reason}", "Mend that line") from error


def _parse_override(text: str) -> dict[str, Any]:
    key, separator, value = text.partition("=")
    names = key.strip().split(".")
    if not separator or not all(re.fullmatch(r"\w+", name) for name in names):
        raise ConfigError(f"--set {text}", "is not key.sub=value", "For example train.epochs=5")
    nested: Any = _parse_value(text, value.strip())
    for name in reversed(names):
        nested = {name: nested}
    return dict(nested)


def _parse_value(text: str, value: str) -> object:
    try:
        return parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError as error:
        if _BARE_WORD.fullmatch(value):
            return value
        cure = "Quote words with \"\" and the whole with ''"
        raise ConfigError(f"--set {text}", "its value is not TOML", cure) from error


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merge(old, value)
        merged[key] = value
    return merged


def _resolve_paths(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    for *table, key in _PATH_KEYS:
        values: Any = tables
        for name in table:
            values = values.get(name) if isinstance(values, dict) else None
        if not isinstance(values, dict) or key not in values:
            continue
        value = values[key]
        if isinstance(value, str) and not _names_dataset(key, value, folder):
            values[key] = _resolve(value, folder)
        elif isinstance(value, list):
            values[key] = [_resolve(v, folder) if isinstance(v, str) else v for v in value]
    return tables


def _names_dataset(key: str, value: str, folder: Path) -> bool:
    """Whether a legend is that of a data set that geoseg knows; a file of that name goes first."""
    return key == "legend" and not (folder / value).exists() and preset_legend(value) is not None


def _resolve(path: str, folder: Path) -> str:
    if not path or path in _WORDS or re.match(r"/vsi|[A-Za-z][\w+-]+:", path):
        return path
    if path.startswith("@"):
        return "@" + _resolve(path[1:], folder)
    return str(folder / Path(path).expanduser())


def _config_error(subject: str, error: ValidationError) -> ConfigError:
    """Tell the first thing that is wrong, in one line."""
    # A mistyped key also leaves the right one missing: it is the one to tell.
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: (e["type"] != "extra_forbidden", _misses(e)))
    # Within a union pydantic adds the type of the member.
    location = [str(p) for p in first["loc"] if re.fullmatch(_KEY, str(p))]
    names, table = _resolve_location(location)
    key = ".".join(names)
    if first["type"] == "extra_forbidden":
        return ConfigError(subject, f"unknown key {key}", _nearest_key(names[-1], table))
    if first["type"] == "missing":
        return ConfigError(subject, f"key {key} is missing", "Add it")
    if first["type"].startswith("union_tag"):
        return _name_error(subject, key, first)
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(first["input"], dict | list):
        return ConfigError(subject, f"{key or 'config'}: {message}", "Mend it")
    return ConfigError(subject, f"{key} = {first['input']!r}: {message}", "Give another value")


def _name_error(subject: str, key: str, error: Any) -> ConfigError:  # noqa: ANN401 - a dict
    """Tell that no table of a union has the `name` that is given, or that there is none."""
    if error["type"] == "union_tag_invalid":
        tag, choices = error["ctx"]["tag"], error["ctx"]["expected_tags"].replace("'", "")
        cure = f"Choose one of {choices}"
        return ConfigError(subject, f"{key}.name = {tag!r}: there is none of this name", cure)
    meant = difflib.get_close_matches("name", error["input"], 1, 0.6)
    if meant:
        return ConfigError(subject, f"unknown key {key}.{meant[0]}", "Did you mean name")
    return ConfigError(subject, f"key {key}.name is missing", "Add it")


def _misses(error: Any) -> int:  # noqa: ANN401 - a dict of pydantic's
    """How little the member of a union says of an input: words want words, and lists lists."""
    if error["type"] == "literal_error":
        return 2 if isinstance(error["input"], list | tuple) else 0
    return 1 if isinstance(error["input"], str) else 0


def _nearest_key(name: str, table: type[BaseModel] | None) -> str:
    if table is None:
        return "Remove it"
    known = list(_fields(table))
    nearest = difflib.get_close_matches(name, known, 1, 0.6)
    if nearest:
        return f"Did you mean {nearest[0]}"
    return f"Known there are {', '.join(known)}"


def _resolve_location(location: list[str]) -> tuple[list[str], type[BaseModel] | None]:
    """Part what pydantic tells of a place.

    Args:
        location: Keys, places in lists, and names of members of unions.

    Returns:
        What of it stands in the file; and the class of the table that the last one is a key of,
        None where it is none of ours.
    """
    names: list[str] = []
    tables: list[type[BaseModel]] = [TrainConfig]
    table: type[BaseModel] | None = None
    for name in location:
        chosen = [t for t in tables if name in _tags(t)] if len(tables) > 1 else []
        if chosen:
            tables = chosen
            continue
        names.append(name)
        if name.isdigit():
            continue
        table = tables[0] if len(tables) == 1 else None
        field = _fields(table).get(name) if table else None
        tables = _tables_in(field.annotation) if field else []
    return names, table


def _tags(table: type[BaseModel]) -> tuple[Any, ...]:
    """By what `name` a table is chosen among others."""
    field = table.model_fields.get("name")
    return get_args(field.annotation) if field else ()


def _tables_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - what hints are made of
    """The pydantic classes that a hint names, also within a tuple or a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for part in get_args(annotation) for table in _tables_in(part)]


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a table by their keys in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _dump_table(table: Mapping[str, Any], names: tuple[str, ...], lines: list[str]) -> None:
    if names:
        lines += ["", f"[{'.'.join(names)}]"]
    for key, value in table.items():
        if not isinstance(value, dict):
            lines.append(f"{_toml_key(key)} = {_toml_value(value)}")
    for key, value in table.items():
        if isinstance(value, dict) and value:
            _dump_table(value, (*names, _toml_key(key)), lines)


def _toml_value(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(v) for v in value) + "]"
    return toml_value(value)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)
