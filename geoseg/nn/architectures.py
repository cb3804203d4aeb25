"""Every architecture by name."""

from __future__ import annotations

from torch import nn

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.wrapped import WRAPPED


def _build_linear(request: NetworkRequest) -> nn.Module:
    return nn.Conv2d(request.in_channels, request.classes, kernel_size=1)


ARCHITECTURES: dict[str, Architecture] = {
    **WRAPPED,
    "linear": Architecture(
        summary="A 1x1 convolution: each pixel by itself, the baseline of every comparison",
        build=_build_linear,
        has_encoder=False,
    ),
}
"""Every architecture by the name that `ModelSpec.arch` takes."""
