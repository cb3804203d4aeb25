"""The job that makes a bundle of the weights of another tool."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from geoseg import __version__
from geoseg.errors import BundleError, ConfigError
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output
from geoseg.nn.adopt import Adopted, ForeignWeights, adopt, look_at, two_classes_of_one
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, check_spec
from geoseg.nn.scaling import Scaling
from geoseg.nn.state_dicts import read_state_dict, safetensors_metadata
from geoseg.nn.torchgeo_weights import NETWORKS, PREFIX, find_weights
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

_WINDOW = 512
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
"""What the library that calls its folders `save_pretrained` writes weights to."""

_FIELDS: dict[int, dict[int, str]] = {
    2: {0: "background", 1: "field"},
    3: {0: "background", 1: "field", 2: "boundary"},
}
"""Classes of Fields of The World, arXiv 2409.16252, by their number."""

_FTW_WINDOW, _FTW_RESOLUTION = 256, 10.0
"""Side of its images, and metres per pixel of Sentinel-2."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What must be told of weights that tell little of themselves."""

    arch: str | None = None
    """Architecture; needed unless the source names it."""

    encoder: str | None = None
    """Encoder; needed where the architecture has one and the source does not name it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the architecture."""

    bands: tuple[str, ...] | None = None
    """Names of the input bands in order; without names where they are not given."""

    legend: str | None = None
    """File of the classes in the order of the channels; numbered classes where not given."""

    window: int | None = None
    """Side in pixels of the images it was trained on; 512 where nothing tells."""

    resolution: float | None = None
    """Metres per pixel of the images it was trained on."""

    divisor: float = 1.0
    """What pixel values were divided by."""

    mean: tuple[float, ...] = ()
    """What was subtracted after the division, one for all bands or one per band."""

    std: tuple[float, ...] = ()
    """What was divided by after that, as many."""

    dtype: str = "float32"
    """Data type of the scenes it was trained on; nothing is checked for float32."""

    partial: bool = False
    """Whether weights that the source lacks may begin at random."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What an import made."""

    path: Path
    """The bundle."""

    spec: ModelSpec
    """Its network."""

    matched: int
    """Weights that were taken from the source."""

    missing: tuple[str, ...]
    """Weights at random, for the source lacks them; empty but after `partial`."""

    unexpected: tuple[str, ...]
    """Names in the source that were not used."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Weights, with what is known of them; what the user says comes first."""

    name: str
    state: Mapping[str, Tensor]
    options: ImportOptions
    scaling: Scaling | None = None
    names: Mapping[int, str] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def import_model(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: ImportOptions | None = None,
    *,
    progress: Progress | None = None,
) -> ImportResult:
    """Make a bundle of the weights of another tool.

    Args:
        source: A file with a state dict (`.pth`, `.pt`, `.ckpt`, `.bin`, `.safetensors`), a
            folder that segmentation-models-pytorch saved, or `torchgeo:Unet_Weights.` and the
            name of one of torchgeo's trained networks.
        output: The bundle to write, `*.safetensors`.
        options: What the source does not tell.
        progress: Not used; an import is one step.

    Returns:
        Where the bundle is, and how many weights fitted.

    Raises:
        ConfigError: If an option is wrong or missing, or torchgeo has no such weights.
        BundleError: If a file cannot be read, would need to run code, or its weights are not
            those of the network.
        LegendError: If the legend cannot be read.
        OutputError: If the output must not or cannot be written.
        WorkError: If the file system fails.
    """
    del progress
    given = options or ImportOptions()
    target = check_output(os.fspath(output), overwrite=given.overwrite)
    opened = _open(os.fspath(source), given)
    spec = _spec(opened)
    found = look_at(opened.name, opened.state, spec)
    legend, foreign = _legend(opened, found)
    bands = _bands(opened, foreign)
    spec = spec.model_copy(update={"in_channels": len(bands), "classes": legend.count})
    scaling = opened.scaling or _scaling(opened.options, len(bands))
    adopted = adopt(foreign, spec, partial=given.partial)
    card = _card(opened, spec, legend, bands, scaling, adopted)
    ModelBundle.of(adopted.network, card).save(target, overwrite=given.overwrite)
    _tell(found, card, opened.options)
    return ImportResult(
        path=Path(target),
        spec=spec,
        matched=adopted.matched,
        missing=adopted.missing,
        unexpected=adopted.unexpected,
    )


def _open(source: str, given: ImportOptions) -> _Source:
    if source.startswith(PREFIX):
        return _open_torchgeo(source, given)
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path, given)
    if METADATA_KEY in safetensors_metadata(path):
        raise BundleError(source, "is a bundle of geoseg already", "Use it as it is")
    return _of_file(path, given)


def _of_file(path: Path, given: ImportOptions) -> _Source:
    state = read_state_dict(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {"file": path.name, "sha256": digest}
    provenance = {"name": path.stem, "imported": origin}
    return _Source(name=str(path), state=state, options=given, provenance=provenance)


def _open_folder(path: Path, given: ImportOptions) -> _Source:
    """A folder of `save_pretrained`, whose config names the network."""
    found = next((path / name for name in _FOLDER_FILES if (path / name).is_file()), None)
    if found is None:
        problem = f"is a folder without {' or '.join(_FOLDER_FILES)}"
        raise BundleError(path, problem, "Give the file of weights")
    source = _of_file(found, given)
    config = _read_config(path / "config.json")
    arch = given.arch or str(config.get("_model_class", "")).lower() or None
    known = ARCHITECTURES[arch].options.model_fields if arch in ARCHITECTURES else {}
    told = {key: value for key, value in config.items() if key in known and value is not None}
    completed = replace(
        given,
        arch=arch,
        encoder=given.encoder or config.get("encoder_name"),
        options={**told, **given.options},
    )
    provenance = {**source.provenance, "name": path.name}
    return replace(source, options=completed, provenance=provenance)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BundleError(path, "is no JSON", "Give the file of weights instead") from error
    return content if isinstance(content, dict) else {}


def _open_torchgeo(name: str, given: ImportOptions) -> _Source:
    """A trained network of torchgeo, which tells all but the names of most classes."""
    entry = find_weights(name)
    if entry.kind != NETWORKS:
        raise ConfigError(
            name,
            "holds an encoder, not a whole network",
            f'Set weights = "{name}" under [model] of a training configuration',
        )
    meta = entry.meta
    fields = meta.get("dataset") == "FTW"
    names = dict(enumerate(meta.get("classes") or ())) or None
    completed = replace(
        given,
        arch=given.arch or "unet",
        encoder=given.encoder or entry.encoder,
        bands=given.bands or _distinct(entry.bands),
        window=given.window or (_FTW_WINDOW if fields else meta.get("input_shape", (_WINDOW,))[-1]),
        resolution=given.resolution or (_FTW_RESOLUTION if fields else meta.get("resolution")),
        dtype=given.dtype if given.dtype != "float32" else ("uint16" if fields else "uint8"),
    )
    return _Source(
        name=name,
        state=entry.state_dict(),
        options=completed,
        scaling=None if _tells_scaling(given) else _normalization(entry.scaling),
        names=_FIELDS.get(int(meta["num_classes"])) if fields else names,
        provenance={
            "name": entry.entry.name.lower(),
            "imported": {"torchgeo": str(entry.entry), "url": entry.entry.url},
            "licence": meta.get("license"),
            "publication": meta.get("publication"),
        },
    )


def _distinct(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Tell bands of several dates apart: `B4`, `B4` become `B4 t1`, `B4 t2`."""
    if len(set(bands)) == len(bands):
        return bands
    return tuple(f"{band} t{bands[:place].count(band) + 1}" for place, band in enumerate(bands))


def _tells_scaling(given: ImportOptions) -> bool:
    return bool(given.mean or given.std or given.divisor != 1)


def _normalization(told: tuple[tuple[float, ...], tuple[float, ...]] | None) -> Scaling:
    if told is None:
        return Scaling()
    mean, std = told
    if len(std) == 1 and not any(mean):
        return Scaling(kind="divide", divisor=std[0])
    return Scaling(kind="standardize", mean=mean, std=std)


def _spec(source: _Source) -> ModelSpec:
    """The network, with any bands and classes."""
    options = source.options
    if options.arch is None:
        cure = f"Give one of: {', '.join(sorted(ARCHITECTURES))}"
        raise ConfigError("--arch", f"is needed: {source.name} does not tell it", cure)
    architecture = ARCHITECTURES.get(options.arch.lower())
    if architecture is not None and architecture.has_encoder and options.encoder is None:
        cure = "Give the encoder it was trained with, such as resnet34"
        raise ConfigError("--encoder", f"is needed: {source.name} does not tell it", cure)
    has_encoder = architecture is None or architecture.has_encoder
    spec = ModelSpec(
        arch=options.arch,
        encoder=(options.encoder or "none") if has_encoder else "none",
        in_channels=3,
        classes=2,
        options=dict(options.options),
    )
    check_spec(spec)
    return spec


def _legend(source: _Source, foreign: ForeignWeights) -> tuple[Legend, ForeignWeights]:
    """The classes, one per channel; one channel for yes or no becomes two."""
    path = source.options.legend
    legend = Legend.open(path) if path is not None else None
    count = foreign.classes or (legend.count if legend else 2)
    if count == 1 and (legend is None or legend.count == 2):
        foreign, count = two_classes_of_one(foreign), 2
    if legend is None:
        legend = Legend.of_values(range(count), source.names)
    if legend.count != count:
        problem = f"{path} has {legend.count} classes, the weights have {count}"
        raise ConfigError("--legend", problem, "Give a legend with a class for each channel")
    return legend, foreign


def _bands(source: _Source, foreign: ForeignWeights) -> tuple[str, ...]:
    given = source.options.bands
    count = foreign.in_channels or len(given or ()) or 3
    if given is None:
        return ("",) * count
    if len(given) != count:
        problem = f"{len(given)} are given ({', '.join(given)}), the weights are for {count}"
        raise ConfigError("--bands", problem, "Name each band in the order of training")
    return given


def _scaling(options: ImportOptions, bands: int) -> Scaling:
    """`(x / divisor - mean) / std` as one formula in raw units."""
    divisor, mean, std = options.divisor, options.mean, options.std
    if not divisor > 0:
        raise ConfigError("--divisor", f"{divisor} is not above 0", "Give such as 255 or 10000")
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) not in (0, 1, bands):
            problem = f"{len(values)} numbers for {bands} bands"
            raise ConfigError(option, problem, "Give one, or one per band")
    if any(not value > 0 for value in std):
        raise ConfigError("--std", "has a number that is not above 0", "Give others")
    if mean or std:
        means, stds = (values * bands if len(values) == 1 else values for values in (mean, std))
        return Scaling(
            kind="standardize",
            mean=tuple(divisor * value for value in means or (0.0,) * bands),
            std=tuple(divisor * value for value in stds or (1.0,) * bands),
        )
    return Scaling(kind="divide", divisor=divisor) if divisor != 1 else Scaling()


def _tell(foreign: ForeignWeights, card: ModelCard, options: ImportOptions) -> None:
    """Log what was taken for granted."""
    names = ", ".join(Legend.from_dict(card.legend).names)
    if foreign.classes == 1:
        logger.info("its one channel becomes two: its sigmoid is the probability of the second")
    if options.legend is None:
        logger.info("classes: %s; --legend names others", names)
    if not any(card.bands):
        logger.info(
            "%d bands without names: scenes must have as many, in its order", len(card.bands)
        )
    if card.scaling.kind == "none":
        logger.warning(
            "values reach the network as they are; if it was trained on scaled ones, tell it by "
            "--divisor, --mean and --std"
        )


def _card(
    source: _Source,
    spec: ModelSpec,
    legend: Legend,
    bands: tuple[str, ...],
    scaling: Scaling,
    adopted: Adopted,
) -> ModelCard:
    options = source.options
    window = options.window or _WINDOW
    return ModelCard(
        spec=spec,
        legend=legend.to_dict(),
        bands=bands,
        dtype=options.dtype,
        scaling=scaling,
        window=window,
        stride=max(1, window // 2),
        resolution=options.resolution,
        provenance={
            **source.provenance,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "matched": adopted.matched,
            "random": list(adopted.missing),
            "versions": {"geoseg": __version__},
        },
    )
