"""The architectures of segmentation-models-pytorch, with the options that geoseg offers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import segmentation_models_pytorch as smp
from pydantic import Field, model_validator
from torch import nn

from geoseg.nn.architecture import (
    Architecture,
    ArchitectureOptions,
    Channels,
    Dropout,
    NetworkRequest,
)
from geoseg.nn.encoders.build import listed_encoder, weights_argument
from geoseg.nn.encoders.names import size_options
from geoseg.nn.layers import protect_pooled_norms

Depth = Annotated[int, Field(ge=3, le=5)]
Interpolation = Literal["nearest", "bilinear"]

_UNET_CHANNELS = (256, 128, 64, 32, 16)
_SQUEEZE = 16
_WIDE_SEGFORMERS = ("mit_b2", "mit_b3", "mit_b4", "mit_b5")


class UnetOptions(ArchitectureOptions):
    """Options of U-Net, U-Net++ and MA-Net."""

    encoder_depth: Depth = 5
    decoder_channels: tuple[Channels, ...] | None = None
    decoder_interpolation: Interpolation = "nearest"

    def arguments(self) -> dict[str, Any]:
        """As the library takes them; the channels shorten with the depth."""
        channels = self.decoder_channels or _UNET_CHANNELS[: self.encoder_depth]
        return {**self.model_dump(), "decoder_channels": channels}


class AttentionUnetOptions(UnetOptions):
    """Options of U-Net and U-Net++."""

    decoder_attention_type: Literal["scse"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        narrow = min(self.decoder_channels or _UNET_CHANNELS) < _SQUEEZE
        if self.decoder_attention_type == "scse" and narrow:
            raise ValueError(f"scse needs decoder_channels of {_SQUEEZE} or more")
        return self


class LinknetOptions(ArchitectureOptions):
    """Options of LinkNet."""

    encoder_depth: Depth = 5


class FpnOptions(ArchitectureOptions):
    """Options of FPN."""

    decoder_pyramid_channels: Channels = 256
    decoder_segmentation_channels: Channels = 128
    decoder_merge_policy: Literal["add", "cat"] = "add"
    decoder_dropout: Dropout = 0.2


class PanOptions(ArchitectureOptions):
    """Options of PAN."""

    encoder_output_stride: Literal[16, 32] = 16
    decoder_channels: Channels = 32


class DeepLabOptions(ArchitectureOptions):
    """Options of DeepLabV3 and DeepLabV3+."""

    encoder_output_stride: Literal[8, 16] = 16
    decoder_channels: Channels = 256
    decoder_atrous_rates: tuple[Channels, Channels, Channels] = (12, 24, 36)
    decoder_aspp_dropout: Dropout = 0.5


class UperOptions(ArchitectureOptions):
    """Options of UPerNet."""

    decoder_channels: Channels = 256


class SegformerOptions(ArchitectureOptions):
    """Options of SegFormer."""

    decoder_segmentation_channels: Channels | None = None
    """By default as in the paper: 768 with its encoders B2 to B5, else 256."""


class DptOptions(ArchitectureOptions):
    """Options of DPT."""

    decoder_readout: Literal["ignore", "add", "cat"] = "cat"
    decoder_intermediate_channels: tuple[Channels, Channels, Channels, Channels] = (
        256,
        512,
        1024,
        1024,
    )
    decoder_fusion_channels: Channels = 256


def _builder(network_class: Any) -> Callable[[NetworkRequest], Any]:  # noqa: ANN401 - untyped
    def build(request: NetworkRequest) -> nn.Module:
        options = request.options
        given = options.arguments() if hasattr(options, "arguments") else options.model_dump()
        listed: Any = listed_encoder(request)
        if network_class is smp.DPT:  # takes the tokens of a plain transformer as they are
            listed = nullcontext((request.encoder, weights_argument(request)))
        with warnings.catch_warnings(), listed as (name, weights):
            # The library warns of old names and of readout without prefix tokens: both are ours.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", UserWarning)
            network: nn.Module = network_class(
                encoder_name=name,
                encoder_weights=weights,
                in_channels=request.in_channels,
                classes=request.classes,
                **given,
                **size_options(request.encoder),
            )
        protect_pooled_norms(network)
        return network

    return build


def _build_segformer(request: NetworkRequest) -> nn.Module:
    width = 768 if request.encoder in _WIDE_SEGFORMERS else 256
    width = request.options.decoder_segmentation_channels or width
    options = SegformerOptions(decoder_segmentation_channels=width)
    built: nn.Module = _builder(smp.Segformer)(replace(request, options=options))
    return built


def _build_dpt(request: NetworkRequest) -> nn.Module:
    network: Any = _builder(smp.DPT)(request)
    strides: list[int] = network.encoder.output_strides
    if any(stride & (stride - 1) for stride in strides):
        raise ValueError(f"its patches of {strides[0]} pixels are no power of two")
    built: nn.Module = network
    return built


WRAPPED: dict[str, Architecture] = {
    "unet": Architecture(
        summary="U-Net, arXiv 1505.04597",
        build=_builder(smp.Unet),
        options=AttentionUnetOptions,
    ),
    "unetplusplus": Architecture(
        summary="U-Net++, arXiv 1807.10165",
        build=_builder(smp.UnetPlusPlus),
        options=AttentionUnetOptions,
    ),
    "linknet": Architecture(
        summary="LinkNet, arXiv 1707.03718",
        build=_builder(smp.Linknet),
        options=LinknetOptions,
        default_encoder="resnet18",
    ),
    "fpn": Architecture(
        summary="Feature pyramid network, arXiv 1901.02446",
        build=_builder(smp.FPN),
        options=FpnOptions,
    ),
    "pan": Architecture(
        summary="Pyramid attention network, arXiv 1805.10180",
        build=_builder(smp.PAN),
        options=PanOptions,
        cells=8,  # three poolings by 2 follow
    ),
    "manet": Architecture(
        summary="MA-Net, doi 10.1109/ACCESS.2020.3025372",
        build=_builder(smp.MAnet),
        options=UnetOptions,
    ),
    "deeplabv3": Architecture(
        summary="DeepLabV3, arXiv 1706.05587",
        build=_builder(smp.DeepLabV3),
        options=DeepLabOptions,
    ),
    "deeplabv3plus": Architecture(
        summary="DeepLabV3+, arXiv 1802.02611",
        build=_builder(smp.DeepLabV3Plus),
        options=DeepLabOptions,
    ),
    "upernet": Architecture(
        summary="UPerNet, arXiv 1807.10221", build=_builder(smp.UPerNet), options=UperOptions
    ),
    "segformer": Architecture(
        summary="SegFormer, arXiv 2105.15203",
        build=_build_segformer,
        options=SegformerOptions,
        default_encoder="mit_b2",
    ),
    "dpt": Architecture(
        summary="Dense prediction transformer, arXiv 2103.13413",
        build=_build_dpt,
        options=DptOptions,
        default_encoder="tu-vit_base_patch16_384",
        timm_only=True,
    ),
}
