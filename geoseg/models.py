"""Networks by name, in the manner of torchvision: `list_models`, `get_model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pydantic import JsonValue

from geoseg.errors import ConfigError
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.counting import IMAGE_SIZE, count_encoder, count_model
from geoseg.nn.encoders import names
from geoseg.nn.models import (
    ModelSpec,
    SegmentationModel,
    build_model,
    list_architectures,
)


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What an architecture is, and what it costs with its own encoder."""

    name: str
    """What `get_model` takes."""

    encoder: str
    """Its default encoder; `none` where it has none."""

    parameters: int
    """With 3 bands and the classes asked for, auxiliary outputs included."""

    macs: int
    """Multiply-accumulates of one image of 512 x 512 pixels."""

    summary: str
    """What it is, with the paper it comes from."""


@dataclass(frozen=True, kw_only=True)
class EncoderDescription:
    """An encoder and its size."""

    name: str
    """What `ModelSpec.encoder` takes."""

    parameters: int | None
    """Those of its levels, for 3 bands; None where it cannot be taken apart into levels."""


def list_models(pattern: str | None = None) -> list[str]:
    """Names of the architectures, sorted.

    Args:
        pattern: Part of a name; with `*`, `?` or `[...]` a pattern for the whole of it. None
            lists all.

    Examples:
        >>> list_models("sfnet*")
        ['sfnet', 'sfnet_lite']
    """
    return _matching(list_architectures(), pattern)


def list_encoders(pattern: str | None = None) -> list[str]:
    """Names of the encoders; those that only timm has bear the prefix `tu-`.

    Args:
        pattern: As of `list_models`.

    Examples:
        >>> list_encoders("mit_b?")
        ['mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5']
    """
    return _matching(names.list_encoders(), pattern)


def get_model(
    name: str,
    *,
    classes: int,
    encoder: str | None = None,
    in_channels: int = 3,
    weights: str = "none",
    bands: Sequence[str] = (),
    **options: JsonValue | tuple[JsonValue, ...],
) -> SegmentationModel:
    """Build a network.

    Args:
        name: One of `list_models()`.
        classes: Channels of the logits.
        encoder: One of `list_encoders()`, or any network of timm; None takes that of the paper,
            or the one nearest to it.
        in_channels: Bands of the input.
        weights: What it begins with: `none`, `imagenet`, `torchgeo:` and a name, or a file; see
            `geoseg.nn.weights.start_network`.
        bands: Names of the bands, by which those weights find theirs.
        options: Of the architecture, see docs/models.md.

    Returns:
        The network in training mode. It takes images (n, in_channels, height, width) of any
        height and width and gives logits (n, classes, height, width); in training some give
        auxiliary outputs after them, as a tuple.

    Raises:
        ConfigError: If name, encoder, an option or the weights are unknown, or do not fit.
        BundleError: If a file of weights cannot be used.

    Examples:
        >>> import torch
        >>> network = get_model("unet", encoder="resnet18", in_channels=4, classes=6).eval()
        >>> network(torch.zeros(1, 4, 50, 70)).shape
        torch.Size([1, 6, 50, 70])
    """
    spec = ModelSpec(
        arch=name,
        encoder=encoder or default_encoder(name),
        in_channels=in_channels,
        classes=classes,
        options={key: _plain(value) for key, value in options.items()},
    )
    if weights == "none":
        return build_model(spec)
    # Bundles bring all that reads rasters along, which torch.hub need not have installed.
    from geoseg.nn.weights import start_network

    return start_network(spec, weights, bands=tuple(bands)).network


def default_encoder(name: str) -> str:
    """The encoder that an architecture takes where none is named; `none` where it has none."""
    architecture = ARCHITECTURES.get(name.lower())
    if architecture is None or not architecture.has_encoder:
        return "none"
    return architecture.default_encoder


def describe_model(name: str, *, classes: int = 2) -> ModelDescription:
    """Count what an architecture costs with its default encoder.

    Args:
        name: One of `list_models()`.
        classes: Channels of the logits.

    Raises:
        ConfigError: If there is none of that name.
    """
    encoder = default_encoder(name)
    spec = ModelSpec(arch=name, encoder=encoder, in_channels=3, classes=classes)
    cost = count_model(spec, IMAGE_SIZE)
    return ModelDescription(
        name=spec.arch,
        encoder=encoder,
        parameters=cost.parameters,
        macs=cost.macs,
        summary=ARCHITECTURES[spec.arch].summary,
    )


def describe_encoder(name: str) -> EncoderDescription:
    """Count the parameters of an encoder."""
    try:
        parameters = count_encoder(name)
    except ConfigError:
        return EncoderDescription(name=name, parameters=None)
    return EncoderDescription(name=name, parameters=parameters)


def _matching(known: list[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return known
    if not set(pattern) & set("*?["):
        pattern = f"*{pattern}*"
    return [name for name in known if fnmatchcase(name.lower(), pattern.lower())]


def _plain(value: JsonValue | tuple[JsonValue, ...]) -> JsonValue:
    """Lists for tuples: an option written in Python is as good as one in TOML."""
    return list(value) if isinstance(value, tuple) else value
