"""Whole networks of other tools: their weights, and what their files tell of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from geoseg.errors import BundleError, ConfigError
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.bundle import METADATA_KEY
from geoseg.nn.scaling import Scaling
from geoseg.nn.state_dicts import read_state_dict, safetensors_metadata
from geoseg.nn.torchgeo_weights import NETWORKS, PREFIX, TorchgeoWeights, find_weights

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
class ForeignSource:
    """Weights of a whole network, with what is told of them; None where nothing is."""

    name: str
    """As the user wrote it."""

    state: Mapping[str, Tensor]
    """Tensors by the names of the other tool."""

    provenance: dict[str, Any]
    """What the bundle will tell of where it comes from."""

    arch: str | None = None
    """Architecture."""

    encoder: str | None = None
    """Encoder."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the architecture."""

    bands: tuple[str, ...] | None = None
    """Names of the input bands in order, each once."""

    classes: Mapping[int, str] | None = None
    """Name of the class of each channel."""

    scaling: Scaling | None = None
    """From raw units to what the network sees."""

    window: int | None = None
    """Side in pixels of the images it was trained on."""

    resolution: float | None = None
    """Their metres per pixel."""

    dtype: str | None = None
    """Their data type."""


def open_foreign(source: str) -> ForeignSource:
    """Read the weights of a whole network.

    Args:
        source: A file with a state dict, a folder that segmentation-models-pytorch saved, or
            `torchgeo:Unet_Weights.` and a name.

    Raises:
        ConfigError: If torchgeo has no such weights of a whole network.
        BundleError: If a file cannot be read, would need to run code, or is a bundle already.
    """
    if source.startswith(PREFIX):
        return _open_torchgeo(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return _open_folder(path)
    if METADATA_KEY in safetensors_metadata(path):
        raise BundleError(source, "is a bundle of geoseg already", "Use it as it is")
    return _open_file(path)


def _open_file(path: Path) -> ForeignSource:
    state = read_state_dict(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {"file": path.name, "sha256": digest}
    return ForeignSource(
        name=str(path), state=state, provenance={"name": path.stem, "imported": origin}
    )


def _open_folder(path: Path) -> ForeignSource:
    """A folder of `save_pretrained`, whose config names the network."""
    found = next((path / name for name in _FOLDER_FILES if (path / name).is_file()), None)
    if found is None:
        problem = f"is a folder without {' or '.join(_FOLDER_FILES)}"
        raise BundleError(path, problem, "Give the file of weights")
    source = _open_file(found)
    config = _read_config(path / "config.json")
    arch = str(config.get("_model_class", "")).lower() or None
    known = ARCHITECTURES[arch].options.model_fields if arch in ARCHITECTURES else {}
    encoder = config.get("encoder_name")
    return replace(
        source,
        arch=arch,
        encoder=encoder if isinstance(encoder, str) else None,
        options={k: value for k, value in config.items() if k in known and value is not None},
        provenance={**source.provenance, "name": path.name},
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BundleError(path, "is no JSON", "Give the file of weights instead") from error
    return content if isinstance(content, dict) else {}


def _open_torchgeo(name: str) -> ForeignSource:
    """A trained network of torchgeo, which tells all but the names of some classes."""
    entry = find_weights(name)
    if entry.kind != NETWORKS:
        raise ConfigError(
            name,
            "holds an encoder, not a whole network",
            f'Set weights = "{name}" under [model] of a training configuration',
        )
    meta = entry.meta
    source = ForeignSource(
        name=name,
        state=entry.state_dict(),
        provenance=_provenance(entry),
        arch="unet",
        encoder=entry.encoder,
        bands=_distinct(entry.bands),
        scaling=_scaling(entry),
    )
    if meta.get("dataset") == "FTW":
        return replace(
            source,
            classes=_FIELDS.get(int(meta["num_classes"])),
            window=_FTW_WINDOW,
            resolution=_FTW_RESOLUTION,
            dtype="uint16",
        )
    shape = meta.get("input_shape")  # (bands, height, width)
    return replace(
        source,
        classes=dict(enumerate(meta.get("classes") or ())) or None,
        window=int(shape[-1]) if shape else None,
        resolution=meta.get("resolution"),
        dtype="uint8",
    )


def _provenance(entry: TorchgeoWeights) -> dict[str, Any]:
    return {
        "name": entry.entry.name.lower(),
        "imported": {"torchgeo": str(entry.entry), "url": entry.entry.url},
        "licence": entry.meta.get("license"),
        "publication": entry.meta.get("publication"),
    }


def _distinct(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Tell bands of several dates apart: `B4`, `B4` become `B4 t1`, `B4 t2`."""
    if len(set(bands)) == len(bands):
        return bands
    return tuple(f"{band} t{bands[:place].count(band) + 1}" for place, band in enumerate(bands))


def _scaling(entry: TorchgeoWeights) -> Scaling:
    if entry.scaling is None:
        return Scaling()
    mean, std = entry.scaling
    if len(std) == 1 and not any(mean):
        return Scaling(kind="divide", divisor=std[0])
    return Scaling(kind="standardize", mean=mean, std=std)
