"""Every architecture by name."""

from __future__ import annotations

from torch import nn

from geoseg.nn.architecture import Architecture, NetworkRequest
from geoseg.nn.decoders.bisenet import BISENET
from geoseg.nn.decoders.deeplab_duc import DEEPLAB_DUC
from geoseg.nn.decoders.denseaspp import DENSEASPP
from geoseg.nn.decoders.fcn import FCNS
from geoseg.nn.decoders.gcn import GCN_NETWORKS
from geoseg.nn.decoders.icnet import ICNET_ENCODED
from geoseg.nn.decoders.lraspp import LRASPP_NETWORKS
from geoseg.nn.decoders.psanet import PSANET
from geoseg.nn.decoders.pspnet import PSPNETS
from geoseg.nn.decoders.refinenet import REFINENET
from geoseg.nn.decoders.sfnet import SFNET
from geoseg.nn.decoders.srinet import SRINET
from geoseg.nn.decoders.unet_res import UNET_RES
from geoseg.nn.decoders.unet_resnet import UNET_RESNET
from geoseg.nn.decoders.upernet512 import UPERNET512
from geoseg.nn.networks.enet import ENET
from geoseg.nn.networks.icnet import ICNET
from geoseg.nn.networks.mobile_unet import MOBILE_UNET
from geoseg.nn.networks.pidnet import PIDNET
from geoseg.nn.networks.regseg import REGSEG
from geoseg.nn.networks.resunet import RESUNET
from geoseg.nn.networks.segnet import SEGNET
from geoseg.nn.networks.segresnet import SEGRESNET
from geoseg.nn.networks.unet_classic import UNET_CLASSIC
from geoseg.nn.torchvision_networks import TORCHVISION
from geoseg.nn.wrapped import WRAPPED


def _build_linear(request: NetworkRequest) -> nn.Module:
    return nn.Conv2d(request.in_channels, request.classes, kernel_size=1)


ARCHITECTURES: dict[str, Architecture] = {
    **WRAPPED,
    **UPERNET512,
    **PSPNETS,
    **FCNS,
    **DENSEASPP,
    **DEEPLAB_DUC,
    **REFINENET,
    **GCN_NETWORKS,
    **BISENET,
    **SFNET,
    **PSANET,
    **LRASPP_NETWORKS,
    **UNET_RESNET,
    **UNET_RES,
    **UNET_CLASSIC,
    **SEGRESNET,
    **SEGNET,
    **RESUNET,
    **MOBILE_UNET,
    **ENET,
    **SRINET,
    **ICNET_ENCODED,
    **ICNET,
    **PIDNET,
    **REGSEG,
    **TORCHVISION,
    "linear": Architecture(
        summary="A 1x1 convolution: each pixel by itself, the baseline of every comparison",
        build=_build_linear,
        has_encoder=False,
    ),
}
"""Every architecture by the name that `ModelSpec.arch` takes."""
