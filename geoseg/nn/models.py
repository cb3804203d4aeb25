"""Every network behind one call: `build_model(ModelSpec(...))`."""

from __future__ import annotations

import difflib
import logging
import math
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from torch import Tensor, nn
from torch.nn import functional

from geoseg.errors import ConfigError
from geoseg.nn.architecture import Architecture, ArchitectureOptions, Auxiliary, NetworkRequest
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.encoders.names import fixed_size, resolve_encoder
from geoseg.nn.layers import resize

logger = logging.getLogger(__name__)

Weights = Literal["none", "imagenet"]

_ENCODER_STRIDE = 32
"""Pixels per cell of the last level of a plain encoder; none is asked for smaller images."""


class ModelSpec(BaseModel):
    """What a network is, without its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str = Field(min_length=1, max_length=100)
    """A key of `ARCHITECTURES`."""

    encoder: str = Field(default="none", max_length=200)
    """An encoder of segmentation-models-pytorch or timm; `none` where the architecture has none."""

    in_channels: int = Field(ge=1, le=4096)
    """Bands of the input."""

    classes: int = Field(ge=1, le=65535)
    """Channels of the logits."""

    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Plain values for the architecture's own options."""

    @field_validator("arch")
    @classmethod
    def _lower(cls, arch: str) -> str:
        return arch.lower()


class SegmentationModel(nn.Module):
    """A network that takes images of any size: it pads them inside and crops its logits.

    Args:
        spec: What the network was built from.
        network: Gives logits of any size for heights and widths that `divisor` divides; in
            training with the outputs of `auxiliary` after them.
        auxiliary: What `network` gives in training beside its logits.
        divisor: Of the heights and widths that `network` takes.
        minimum: Smallest height and width that `network` takes.
    """

    def __init__(
        self,
        spec: ModelSpec,
        network: nn.Module,
        *,
        auxiliary: tuple[Auxiliary, ...] = (),
        divisor: int = 1,
        minimum: int = 1,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.network = network
        self.auxiliary = auxiliary
        self.divisor = divisor
        self.minimum = minimum

    @property
    def encoder(self) -> nn.Module | None:
        """The encoder; None where the architecture has none."""
        encoder = getattr(self.network, "encoder", None)
        return encoder if isinstance(encoder, nn.Module) else None

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Compute logits.

        Args:
            image: (n, bands, height, width), floating, scaled as in training; any height and
                width from 1.

        Returns:
            (n, classes, height, width) logits. In training, where `auxiliary` lists any, a tuple
            of them and of each auxiliary output, (n, classes or 1, height, width).
        """
        height, width = image.shape[-2:]
        # One sample of one cell leaves batch normalisation without a variance.
        alone = self.training and image.shape[0] == 1 and self.divisor > 1
        minimum = max(self.minimum, 2 * self.divisor) if alone else self.minimum
        padded = _pad(image, _padded(height, minimum, self.divisor), height, axis=2)
        padded = _pad(padded, _padded(width, minimum, self.divisor), width, axis=3)
        outputs: Tensor | tuple[Tensor, ...] = self.network(padded)
        if isinstance(outputs, Tensor):
            return resize(outputs, padded)[..., :height, :width]
        return tuple(resize(output, padded)[..., :height, :width] for output in outputs)


def list_architectures() -> list[str]:
    """Names of all architectures, sorted."""
    return sorted(ARCHITECTURES)


def architecture_choices(name: str) -> str:
    """Tell all architectures, and first the one that somebody may have meant, for an error."""
    near = difflib.get_close_matches(name.lower(), ARCHITECTURES, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}The choices are: {', '.join(list_architectures())}"


def check_spec(spec: ModelSpec) -> None:
    """Refuse a network that does not exist, without building it.

    Raises:
        ConfigError: If the architecture, encoder or one of the options is unknown; the choices
            or the nearest names are listed.
    """
    _request(spec, weights="none")


def build_model(spec: ModelSpec, *, weights: Weights = "none") -> SegmentationModel:
    """Build a network.

    Args:
        spec: Architecture, encoder, bands, classes and options.
        weights: `imagenet` begins with the pretrained weights of the encoder, or of the part
            that stands for one, which are downloaded once; `none` begins at random, by torch's
            random generator.

    Returns:
        The network in training mode, on torch's default device.

    Raises:
        ConfigError: If the architecture, encoder or one of the options is unknown, encoder and
            architecture do not fit, or the weights do not exist or cannot be had.
    """
    request = _request(spec, weights)
    architecture = ARCHITECTURES[spec.arch]
    if request.pretrained and spec.in_channels != 3:
        logger.info(
            "imagenet weights are for 3 bands; the first layer is adapted to %d", spec.in_channels
        )
    network = _build_network(spec, architecture, request)
    divisor, minimum = architecture.divisor, architecture.cells * architecture.divisor
    if architecture.has_encoder:
        divisor = _divisor(spec, network, request)
        minimum = max(architecture.cells * divisor, _ENCODER_STRIDE)
    return SegmentationModel(
        spec, network, auxiliary=architecture.auxiliary, divisor=divisor, minimum=minimum
    )


def _request(spec: ModelSpec, weights: Weights) -> NetworkRequest:
    architecture = ARCHITECTURES.get(spec.arch)
    if architecture is None:
        problem = f"{spec.arch!r} is no architecture"
        raise ConfigError("model.arch", problem, architecture_choices(spec.arch))
    pretrained = weights == "imagenet"
    if pretrained and not (architecture.has_encoder or architecture.has_pretrained):
        raise ConfigError("model.weights", f"{spec.arch} has no imagenet weights", 'Set "none"')
    encoder = "none"
    if architecture.has_encoder:
        encoder = resolve_encoder(spec.encoder, from_timm=architecture.timm_only)
    return NetworkRequest(
        encoder=encoder,
        in_channels=spec.in_channels,
        classes=spec.classes,
        pretrained=pretrained,
        options=_options(spec, architecture),
    )


def _options(spec: ModelSpec, architecture: Architecture) -> ArchitectureOptions:
    try:
        return architecture.options.model_validate(spec.options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(("model.options", *map(str, first["loc"])))
        known = ", ".join(architecture.options.model_fields) or "none"
        raise ConfigError(
            key,
            f"does not suit {spec.arch}: {first['msg'].removeprefix('Value error, ').lower()}",
            f"The options of {spec.arch} are: {known}",
        ) from error


def _build_network(
    spec: ModelSpec, architecture: Architecture, request: NetworkRequest
) -> nn.Module:
    try:
        return architecture.build(request)
    except Exception as error:  # the libraries raise whatever comes to them
        # On the meta device some networks cannot be built; that is no matter of the spec.
        if torch.get_default_device().type == "meta":
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if request.pretrained:
            owner = spec.encoder if architecture.has_encoder else spec.arch
            problem = f"no imagenet weights for {owner} ({reason})"
            cure = 'Check the connection, or set weights = "none"'
        else:
            problem = f"{spec.encoder!r} does not fit {spec.arch} ({reason})"
            cure = "Choose another encoder or architecture"
        raise ConfigError("model.encoder", problem, cure) from error


def _divisor(spec: ModelSpec, network: nn.Module, request: NetworkRequest) -> int:
    """What heights and widths must be divisible by.

    Raises:
        ConfigError: If the encoder takes a single size only.
    """
    encoder: Any = network.encoder
    stride = int(getattr(encoder, "divisor", encoder.output_stride))
    if spec.arch == "dpt":  # the coarsest level of its decoder, whatever the patches
        stride = max(stride, _ENCODER_STRIDE)
    size = fixed_size(request.encoder)
    if size and not _takes(network, spec, 2 * size):
        raise ConfigError(
            "model.encoder",
            f"{spec.encoder!r} takes images of {size} x {size} pixels only",
            "Choose another encoder",
        )
    return math.lcm(stride, size or 1)


def _takes(network: nn.Module, spec: ModelSpec, size: int) -> bool:
    """Whether a network made for one size works on a multiple of it: many attend in windows."""
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, spec.in_channels, size, size))
    except (RuntimeError, AssertionError, ValueError, IndexError):
        return False
    finally:
        network.train()
    return True


def _padded(length: int, minimum: int, divisor: int) -> int:
    """The next length from `minimum` on that `divisor` divides."""
    return -(-max(length, minimum) // divisor) * divisor


def _pad(image: Tensor, target: int, length: int, *, axis: int) -> Tensor:
    """Lengthen one axis at its end: by reflection, or by its last pixel where it is too short."""
    amount = target - length
    if amount == 0:
        return image
    mode = "reflect" if amount < length else "replicate"
    return functional.pad(image, (0, 0, 0, amount) if axis == 2 else (0, amount, 0, 0), mode=mode)
