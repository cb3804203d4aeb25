"""A STAC item that describes an exported network: Machine Learning Model extension (MLM).

The fields are those of https://github.com/stac-extensions/mlm (version in `MLM`); the item has no
place on the ground, since a model has none.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal

from geoseg import __version__
from geoseg.geo.legend import Legend
from geoseg.nn.card import ModelCard

STAC_VERSION = "1.1.0"
MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v1.1.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

AssetFormat = Literal["onnx", "openvino", "torch"]

_ARTIFACTS: dict[AssetFormat, tuple[str, str, str]] = {
    "onnx": ("onnx", "application/octet-stream; application=onnx", "ONNX"),
    "openvino": ("openvino.xml", "application/xml", "OpenVINO"),
    "torch": ("torch.export.save", "application/octet-stream; application=pytorch", "PyTorch"),
}
"""Artifact type, media type and framework of each format."""

_SHA256 = "1220"
"""What a SHA-256 begins with as a multihash: its code and its length in bytes."""


def stac_item(
    card: ModelCard,
    *,
    files: dict[str, tuple[int, str]],
    divisor: float,
    kind: AssetFormat,
    parameters: int,
) -> dict[str, Any]:
    """Describe an exported network.

    Args:
        card: Of the network.
        files: Size in bytes and SHA-256 by name, the graph first; they lie beside the item.
        divisor: The graph takes raw values divided by this.
        kind: Format of the graph.
        parameters: Numbers in the network that training found.

    Returns:
        The item, JSON-able.
    """
    bands = [{"name": band} for band in _band_names(card)]
    name = next(iter(files)).rpartition(".")[0]
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [MLM, CLASSIFICATION, FILE],
        "id": _plain(name, "-"),
        "geometry": None,
        "properties": {
            "datetime": _created(card),
            "description": f"{card.spec.arch} for {', '.join(Legend.from_dict(card.legend).names)}",
            "bands": bands,
            **({} if card.resolution is None else {"gsd": card.resolution}),
            **_licence(card),
            "mlm:name": _plain(card.name or name, " "),
            "mlm:architecture": _architecture(card),
            "mlm:framework": _ARTIFACTS[kind][2],
            "mlm:tasks": ["semantic-segmentation"],
            "mlm:total_parameters": parameters,
            "mlm:input": [_input(card, divisor)],
            "mlm:output": [_output(card)],
            "mlm:hyperparameters": {"stride": card.stride, "geoseg": __version__},
        },
        "links": [],
        "assets": _assets(files, kind, bands),
    }


def _input(card: ModelCard, divisor: float) -> dict[str, Any]:
    side = card.window
    # (value - mean) / stddev; all other scaling is inside the graph
    scaling = [{"type": "z-score", "mean": 0.0, "stddev": divisor}] if divisor != 1 else None
    return {
        "name": "windows of raw values",
        "bands": list(_band_names(card)),
        "input": {
            "shape": [-1, card.spec.in_channels, side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": scaling,
    }


def _output(card: ModelCard) -> dict[str, Any]:
    side = card.window
    return {
        "name": {"none": "scores"}.get(card.activation, "probabilities of the classes"),
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, card.spec.classes, side, side],
            "dim_order": ["batch", "classes", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": [
            {
                "value": channel,
                "name": entry.name,
                "description": f"{entry.name}: {entry.value} in class rasters",
                "color_hint": entry.color.removeprefix("#").upper(),
            }
            for channel, entry in enumerate(Legend.from_dict(card.legend).classes)
        ],
    }


def _assets(
    files: dict[str, tuple[int, str]], kind: AssetFormat, bands: list[dict[str, str]]
) -> dict[str, Any]:
    artifact, media, _ = _ARTIFACTS[kind]
    assets: dict[str, Any] = {}
    for key, (name, (size, digest)) in zip(("model", "weights"), files.items(), strict=False):
        about = {"file:size": size, "file:checksum": f"{_SHA256}{digest}"}
        if key == "model":
            model = {"type": media, "roles": ["mlm:model"], "mlm:artifact_type": artifact}
            # STAC wants bands on an asset, the extension among the properties too
            assets[key] = {"href": f"./{name}", "title": name, **model, "bands": bands, **about}
        else:
            media = "application/octet-stream"
            assets[key] = {"href": f"./{name}", "title": name, "type": media, "roles": ["data"]}
            assets[key] |= about
    return assets


def _band_names(card: ModelCard) -> tuple[str, ...]:
    return tuple(name or f"band {place}" for place, name in enumerate(card.bands, start=1))


def _architecture(card: ModelCard) -> str:
    encoder = card.spec.encoder
    return card.spec.arch if encoder == "none" else f"{card.spec.arch}, {encoder}"


def _created(card: ModelCard) -> str:
    """When the network was made, as STAC writes it; now where the card does not tell."""
    try:
        moment = datetime.fromisoformat(str(card.provenance.get("created", "")))
    except ValueError:
        moment = datetime.now(UTC)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _licence(card: ModelCard) -> dict[str, str]:
    """As an SPDX identifier; `other` for what cannot be one."""
    licence = card.provenance.get("licence")
    if not isinstance(licence, str) or not licence:
        return {}
    return {"license": licence if re.fullmatch(r"[A-Za-z0-9.+-]+", licence) else "other"}


def _plain(name: str, gap: str) -> str:
    """A name that STAC takes: it begins with a letter, and holds no others than these."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", gap, name).strip("-_. ")
    return plain if re.match(r"[A-Za-z].+", plain) else f"model{gap}{plain or 'geoseg'}"
