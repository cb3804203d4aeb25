"""Encoders for the decoders of geoseg, with the output stride they ask for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import segmentation_models_pytorch as smp
from segmentation_models_pytorch.encoders import encoders as smp_encoders

from geoseg.nn.architecture import NetworkRequest
from geoseg.nn.encoders.even import EvenTimmEncoder, is_uneven
from geoseg.nn.encoders.names import TIMM_PREFIX, is_plain, size_options
from geoseg.nn.encoders.pyramid import PyramidEncoder
from geoseg.nn.layers import protect_pooled_norms

_REFUSALS = (TypeError, ValueError, AssertionError, NotImplementedError)
"""What the libraries raise where an encoder has no such output stride."""


def build_encoder(request: NetworkRequest, *, output_stride: int = 32, depth: int = 5) -> Any:  # noqa: ANN401 - the libraries' encoders share no type
    """Build the encoder of a request.

    Args:
        request: Names the encoder and its bands.
        output_stride: Pixels per cell of the last level: 32, 16 or 8. Below 32 the last stages
            keep their resolution and dilate their kernels instead (arXiv 1606.00915).
        depth: Levels beside the image, 3 to 5.

    Returns:
        A module that gives depth + 1 tensors: the image, then level i with
        `encoder.out_channels[i]` channels on cells of `min(2**i, output_stride)` pixels, for
        heights and widths that the last cells divide. Where an encoder has no level of 2
        pixels, that level has 0 channels. Where it begins with convolutions that keep the size
        (VGG), these stand in the place of the image. An encoder of one resolution (a plain
        transformer) becomes a `PyramidEncoder`.

    Raises:
        ValueError: If the encoder has no such output stride.
    """
    try:
        encoder = _build(request, output_stride, depth)
        if _stride(encoder) != min(output_stride, 2**depth):  # timm's may ignore what was asked
            raise ValueError(f"cells of {_stride(encoder)} pixels")
    except _REFUSALS as error:
        if output_stride == 32 or (request.pretrained and _builds(request, output_stride, depth)):
            raise  # it is not the stride that fails
        raise ValueError(
            f"it has no output stride {output_stride}; most ResNets and EfficientNets have"
        ) from error
    protect_pooled_norms(encoder)
    return encoder


@contextmanager
def listed_encoder(request: NetworkRequest) -> Iterator[tuple[str, str | bool | None]]:
    """Name and weights by which the library's networks build the encoder of a request.

    They take their encoder by name only. One that we make of what timm has, such as a pyramid
    over a plain transformer, stands in the library's dict for as long as the network is being
    built.
    """
    encoder_class = _class_over_timm(request.encoder)
    if encoder_class is None:
        yield request.encoder, weights_argument(request)
        return
    # It bears no `tu-` and is of this request alone, whatever other threads build.
    name = f"ours of {request.encoder} for {id(request)}"
    params = {
        "name": request.encoder,
        "in_channels": request.in_channels,
        "pretrained": request.pretrained,
    }
    smp_encoders[name] = {"encoder": encoder_class, "params": params, "pretrained_settings": {}}
    try:
        yield name, None  # it finds its weights by itself
    finally:
        del smp_encoders[name]


def weights_argument(request: NetworkRequest) -> str | bool | None:
    """How segmentation-models-pytorch is asked for the weights of a request."""
    if not request.pretrained:
        return None
    return True if request.encoder.startswith(TIMM_PREFIX) else "imagenet"


def _class_over_timm(name: str) -> type[PyramidEncoder | EvenTimmEncoder] | None:
    """What makes the levels of one of timm's encoders, where the library cannot."""
    if is_plain(name):
        return PyramidEncoder
    return EvenTimmEncoder if is_uneven(name) else None


def _build(request: NetworkRequest, output_stride: int, depth: int) -> Any:  # noqa: ANN401 - as build_encoder
    encoder_class = _class_over_timm(request.encoder)
    if encoder_class is not None:
        return encoder_class(
            request.encoder,
            in_channels=request.in_channels,
            pretrained=request.pretrained,
            depth=depth,
            output_stride=output_stride,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old names, which are ours too
        return smp.encoders.get_encoder(
            request.encoder,
            in_channels=request.in_channels,
            depth=depth,
            weights=weights_argument(request),
            output_stride=output_stride,
            **size_options(request.encoder),
        )


def _stride(encoder: Any) -> int:  # noqa: ANN401 - as build_encoder
    """Pixels per cell of the last level: as timm says, else as the encoder was asked."""
    info: Any = getattr(getattr(encoder, "model", None), "feature_info", None)
    reductions = info.reduction() if hasattr(info, "reduction") else [encoder.output_stride]
    return int(reductions[-1])


def _builds(request: NetworkRequest, output_stride: int, depth: int) -> bool:
    """Whether an encoder can be built as asked when it needs no weights."""
    try:
        encoder = _build(replace(request, pretrained=False), output_stride, depth)
    except _REFUSALS:
        return False
    return bool(_stride(encoder) == min(output_stride, 2**depth))
