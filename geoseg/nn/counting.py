"""What a network costs: its parameters, and the multiplications of one image."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from geoseg.errors import ConfigError, GeosegError
from geoseg.nn.architecture import ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.names import resolve_encoder
from geoseg.nn.models import ModelSpec, build_model

logger = logging.getLogger(__name__)

T = TypeVar("T")

IMAGE_SIZE = 512
"""Height and width of the image whose multiplications are counted, pixels."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs."""

    parameters: int
    """All numbers that training changes, those of auxiliary outputs included."""

    macs: int
    """Multiply-accumulates of convolutions and matrix products for one image, as prediction
    does them: without auxiliary outputs. Many papers write FLOPs and mean these."""


def count_model(spec: ModelSpec, size: int = IMAGE_SIZE) -> Cost:
    """Count what a network costs; nothing is computed and no memory taken, where that can be.

    Args:
        spec: The network.
        size: Height and width of the image, pixels.

    Raises:
        ConfigError: If there is no such network.
    """
    return _without_numbers(lambda: _cost(spec, size))


def count_encoder(name: str) -> int:
    """Count the parameters of an encoder, for 3 bands, as decoders take it.

    Args:
        name: As `resolve_encoder` takes it.

    Raises:
        ConfigError: If there is no such encoder, or it gives no levels to decode.
    """
    request = NetworkRequest(
        encoder=resolve_encoder(name),
        in_channels=3,
        classes=1,
        pretrained=False,
        options=ArchitectureOptions(),
    )
    try:
        return _without_numbers(lambda: count_parameters(build_encoder(request)))
    except Exception as error:  # the libraries raise whatever comes to them
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError("model.encoder", f"{name!r} gives no levels ({reason})") from error


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters())


def _without_numbers(count: Callable[[], T]) -> T:
    """Count on torch's meta device; with real tensors where a network cannot be built there.

    The state of the random generator stays as it is.
    """
    try:
        with torch.device("meta"):
            return count()
    except GeosegError:
        raise
    except Exception as error:  # noqa: BLE001 - of whatever kind: the real ones decide
        logger.debug("no count on the meta device: %s", error)
    with torch.random.fork_rng(devices=[]):
        return count()


def _cost(spec: ModelSpec, size: int) -> Cost:
    network = build_model(spec).eval()
    image = torch.zeros(1, spec.in_channels, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return Cost(parameters=count_parameters(network), macs=counter.get_total_flops() // 2)
