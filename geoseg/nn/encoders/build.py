"""Encoders for the decoders of geoseg, with the output stride they ask for."""

from __future__ import annotations

import warnings
from typing import Any

import segmentation_models_pytorch as smp
from torch import nn

from geoseg.nn.architecture import NetworkRequest
from geoseg.nn.encoders.names import TIMM_PREFIX, size_options
from geoseg.nn.layers import protect_pooled_norms


def build_encoder(request: NetworkRequest, *, output_stride: int = 32, depth: int = 5) -> Any:  # noqa: ANN401 - the libraries' encoders share no type
    """Build the encoder of a request.

    Args:
        request: Names the encoder and its bands.
        output_stride: Pixels per cell of the last level: 32, 16 or 8. Below 32 the last stages
            keep their resolution and dilate their kernels instead (arXiv 1606.00915).
        depth: Levels beside the image, 3 to 5.

    Returns:
        A module that gives depth + 1 tensors: the image, then level i with
        `encoder.out_channels[i]` channels on cells of `min(2**i, output_stride)` pixels. Where
        an encoder has no level of 2 pixels, that level has 0 channels.

    Raises:
        ValueError: If the encoder has no such output stride.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old names, which are ours too
        encoder: nn.Module = smp.encoders.get_encoder(
            request.encoder,
            in_channels=request.in_channels,
            depth=depth,
            weights=weights_argument(request),
            output_stride=output_stride,
            **size_options(request.encoder),
        )
    protect_pooled_norms(encoder)
    return encoder


def weights_argument(request: NetworkRequest) -> str | bool | None:
    """How segmentation-models-pytorch is asked for the weights of a request."""
    if not request.pretrained:
        return None
    return True if request.encoder.startswith(TIMM_PREFIX) else "imagenet"
