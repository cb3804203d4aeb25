"""The configuration of a training run: what the TOML file may say, and what it means."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from geoseg.errors import ConfigError
from geoseg.nn.augment import AugmentConfig
from geoseg.nn.losses import LossConfig
from geoseg.nn.models import architecture_choices, list_architectures
from geoseg.nn.optim import OptimizerConfig, ScheduleConfig
from geoseg.nn.torchgeo_weights import encoder_of

Share = Annotated[float, Field(ge=0, le=1)]
_PATH_KEYS = (
    ("data", "tiles"),
    ("data", "scenes"),
    ("data", "labels"),
    ("data", "legend"),
    ("data", "label_extent"),
    ("data", "split"),
    ("model", "weights"),
)
_KEY = r"(?!int$|str$|float$)[\w-]+"
_BUDGETS = ("epochs", "steps", "minutes")
_DEFAULT_EPOCHS = 30
_WORDS = frozenset({"none", "imagenet", "pretrained", "block", "scene"})
"""What may stand where a path is wanted."""

_BARE_WORD = re.compile(r"[^\s\"'\[\]{}=,][^\"'\[\]{}=,]*")


class _Table(BaseModel):
    """A table of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Table):
    """Where samples come from, and how large they are."""

    tiles: tuple[str, ...] = ()
    """Tile sets; or give `scenes` and `labels`."""

    scenes: tuple[str, ...] = ()
    """Scenes from which windows are drawn while training, without tiles on the disk."""

    labels: str = ""
    """Labels of the scenes: a file, a folder (matched by stem) or a pattern with {stem}."""

    label_field: str | None = None
    """Attribute of vector labels that tells the class."""

    label_layer: str | None = None
    """Layer of vector labels, where the file has several."""

    label_extent: str | None = None
    """Polygons of where vector labels are complete; elsewhere is `ignore`."""

    label_buffer: float | None = Field(default=None, gt=0)
    """Metres around points and lines of vector labels that belong to them."""

    legend: str | None = None
    """Legend of the labels; tile sets have their own."""

    bands: tuple[int | str, ...] = ()
    """Bands of the scenes, by number from 1 or by name; all where none are given."""

    resolution: float | None = Field(default=None, gt=0)
    """Metres per pixel at which scenes are read; their own where not given."""

    assume_crs: str | None = None
    """CRS of scenes that have none; "none" takes them as plain pixels."""

    method: Literal["random", "balanced"] = "random"
    """How windows of scenes are drawn: anywhere, or so that classes come equally often."""

    split: str = "block"
    """How scenes are parted: `block` on the ground, whole `scene`s, or a file of polygons with
    a column `split`."""

    val_share: Share | None = None
    """Share that validates, of scenes (0.2 where not given) or of tiles without a val split."""

    block: int | None = Field(default=None, ge=1)
    """Side in pixels of the blocks by which scenes are parted; chosen where not given."""

    crop: int = Field(default=256, ge=1)
    """Side of a training sample in pixels."""

    samples: int = Field(default=0, ge=0)
    """Samples of an epoch; 0 takes every tile once, or as many windows as cover the scenes."""

    scaling: Literal["auto", "weights", "standardize", "percentile", "divide", "none"] = "auto"
    """How values become numbers for the network, with statistics of the training part; `auto`
    takes the weights' own scaling where they have one, and else is `standardize`."""

    divisor: float | None = Field(default=None, gt=0)
    """What `divide` divides by; by default the largest value of 8 or 16 bit."""

    cache_mb: int = Field(default=1024, ge=0)
    """Memory for decoded tiles, over all workers together."""

    @model_validator(mode="after")
    def _check_source(self) -> DataConfig:
        if bool(self.tiles) == bool(self.scenes):
            raise ValueError("give either tiles or scenes")
        if self.scenes and not self.labels:
            raise ValueError("scenes need labels")
        return self


class ModelConfig(_Table):
    """The network."""

    arch: str = "unet"
    """Architecture; `geoseg models` lists them."""

    encoder: str = "resnet18"
    """Encoder of the architecture; by default that of torchgeo's weights, if they are taken."""

    weights: str = "none"
    """What training starts from: none, imagenet or torchgeo:... (the encoder), or the path of a
    bundle or of an encoder's weights."""

    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the architecture."""

    @model_validator(mode="before")
    @classmethod
    def _fill_encoder(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the user gave
        if isinstance(values, dict) and "encoder" not in values:
            encoder = encoder_of(str(values.get("weights", "")))
            return values if encoder is None else {**values, "encoder": encoder}
        return values

    @field_validator("arch")
    @classmethod
    def _check_arch(cls, arch: str) -> str:
        if arch.lower() not in list_architectures():
            raise ValueError(f"unknown architecture. {architecture_choices(arch)}")
        return arch.lower()


class LoopConfig(_Table):
    """How long, how fast and on what the network learns; the table [train]."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the samples; 30 where neither steps nor minutes are given."""

    steps: int | None = Field(default=None, ge=1)
    """Steps of the optimizer, instead of epochs."""

    minutes: float | None = Field(default=None, gt=0)
    """Time to train, instead of epochs."""

    batch_size: int = Field(default=8, ge=1)
    """Samples per step."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Numbers of the forward pass; auto takes bf16 where the processor computes with it."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto, cpu, cuda or cuda:1."""

    monitor: str = Field(default="max val/mean_iou", pattern=r"^(max|min) \S+$")
    """Figure that tells the best epoch: max or min, and its name in metrics.csv."""

    early_stop: int = Field(default=0, ge=0)
    """Epochs without a better figure after which training ends; 0 never ends early."""

    workers: int = Field(default=2, ge=0)
    """Processes that read samples; 0 reads in the training process."""

    @model_validator(mode="before")
    @classmethod
    def _fill_budget(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the user gave
        if isinstance(values, dict) and not any(values.get(key) for key in _BUDGETS):
            return {**values, "epochs": values.get("epochs", _DEFAULT_EPOCHS)}
        return values

    @model_validator(mode="after")
    def _check_budget(self) -> LoopConfig:
        if sum(getattr(self, key) is not None for key in _BUDGETS) > 1:
            raise ValueError(f"give one of {', '.join(_BUDGETS)}")
        return self


class TrainConfig(_Table):
    """A whole training run; the same config and data train the same network."""

    name: str = Field(default="model", pattern=r"^[\w][\w .-]*$")
    """Name of the run and of the model it makes."""

    seed: int = Field(default=42, ge=0)
    """Start of all chance: weights, order, crops, augmentation."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    augment: AugmentConfig = AugmentConfig()
    train: LoopConfig = LoopConfig()


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
        return TrainConfig.model_validate_json(json.dumps(tables, default=str), strict=True)
    except ValidationError as error:
        raise _config_error(subject, error) from error


def dump_config(config: TrainConfig) -> str:
    """Write a configuration as TOML; `load_config` reads the same one from it."""
    lines: list[str] = []
    _dump_table(config.model_dump(mode="json", exclude_none=True), (), lines)
    return "\n".join(lines).strip() + "\n"


def _read_toml(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
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
        return tomllib.loads(f"value = {value}")["value"]
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
    for table, key in _PATH_KEYS:
        values = tables.get(table)
        if not isinstance(values, dict) or key not in values:
            continue
        value = values[key]
        if isinstance(value, str):
            values[key] = _resolve(value, folder)
        elif isinstance(value, list):
            values[key] = [_resolve(v, folder) if isinstance(v, str) else v for v in value]
    return tables


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
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    # Within a union pydantic adds the type of the member.
    location = [str(p) for p in first["loc"] if re.fullmatch(_KEY, str(p))]
    key = ".".join(location)
    if first["type"] == "extra_forbidden":
        return ConfigError(subject, f"unknown key {key}", _nearest_key(location))
    if first["type"] == "missing":
        return ConfigError(subject, f"key {key} is missing", "Add it")
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if isinstance(first["input"], dict | list):
        return ConfigError(subject, f"{key or 'config'}: {message}", "Mend it")
    return ConfigError(subject, f"{key} = {first['input']!r}: {message}", "Give another value")


def _nearest_key(location: list[str]) -> str:
    model: type[BaseModel] | None = TrainConfig
    for name in location[:-1]:
        model = _table_of(model, name)
    if model is None:
        return "Remove it"
    known = list(model.model_fields)
    nearest = difflib.get_close_matches(location[-1], known, 1, 0.6)
    if nearest:
        return f"Did you mean {nearest[0]}"
    return f"Known there are {', '.join(known)}"


def _table_of(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """The pydantic class under a key, also within a tuple of tables."""
    if model is None or name.isdigit():
        return model
    field = model.model_fields.get(name)
    annotation: Any = field.annotation if field else None
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


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
    # JSON's numbers, booleans and strings (ASCII escapes) are TOML's as well.
    return json.dumps(value, ensure_ascii=False)


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
