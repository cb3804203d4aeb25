"""The segmentation networks of torchvision, for any number of bands."""

from __future__ import annotations

from typing import Any

from timm.models import adapt_input_conv
from torch import Tensor, nn
from torchvision.models import (
    MobileNet_V3_Large_Weights,
    ResNet50_Weights,
    ResNet101_Weights,
    segmentation,
)

from geoseg.nn.architecture import Architecture, Auxiliary, NetworkRequest
from geoseg.nn.layers import protect_pooled_norms

_GUIDANCE = (Auxiliary(name="aux", weight=0.5),)
"""As in the training that torchvision publishes beside its weights."""


class TorchvisionNetwork(nn.Module):
    """A network of torchvision that gives its logits as they are, not resized.

    Its keys are torchvision's, so that its published weights fit.

    Args:
        model: What one of `torchvision.models.segmentation` built.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - torchvision publishes no hints
        super().__init__()
        self.backbone: nn.Module = model.backbone
        self.classifier: nn.Module = model.classifier
        self.aux_classifier: nn.Module | None = getattr(model, "aux_classifier", None)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Compute logits at 1/8 or 1/16.

        Args:
            image: (n, bands, height, width).

        Returns:
            (n, classes, h, w) logits; in training, where there is an auxiliary classifier, also
            those of it.
        """
        levels = self.backbone(image)
        # The head of LRASPP takes a fine and a coarse level, the others the last one.
        logits: Tensor = self.classifier(levels.get("out", levels))
        if self.training and self.aux_classifier is not None:
            return logits, self.aux_classifier(levels["aux"])
        return logits


def _entry(
    summary: str,
    make: Any,  # noqa: ANN401 - as above
    weights: Any,  # noqa: ANN401 - as above
    *,
    divisor: int,
    guided: bool = True,
) -> Architecture:
    """An architecture of torchvision, by its function and its backbone's ImageNet weights."""

    def build(request: NetworkRequest) -> nn.Module:
        model = make(
            weights=None,
            weights_backbone=weights if request.pretrained else None,
            num_classes=request.classes,
            **({"aux_loss": True} if guided else {}),
        )
        if request.in_channels != 3:
            _adapt_bands(model.backbone, request.in_channels, pretrained=request.pretrained)
        network = TorchvisionNetwork(model)
        protect_pooled_norms(network)
        if not request.pretrained:
            _follow_quickly(network)
        return network

    return Architecture(
        summary=summary,
        build=build,
        auxiliary=_GUIDANCE if guided else (),
        has_encoder=False,
        has_pretrained=True,
        divisor=divisor,
    )


def _follow_quickly(network: nn.Module) -> None:
    """Let normalisations take on new statistics as fast as everywhere else.

    Those of MobileNetV3 keep 99 % at each step, for a training of months. The small values of
    its first random weights would be divided by the initial 1 for a thousand steps.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1


def _adapt_bands(backbone: nn.Module, bands: int, *, pretrained: bool) -> None:
    """Put a first convolution for other bands in place; pretrained kernels repeat over them."""
    convs: Any = (pair for pair in backbone.named_modules() if isinstance(pair[1], nn.Conv2d))
    name, first = next(convs)
    conv = nn.Conv2d(
        bands,
        first.out_channels,
        first.kernel_size,
        stride=first.stride,
        padding=first.padding,
        bias=False,
    )
    if pretrained:
        conv.weight.data = adapt_input_conv(bands, first.weight.data)
    else:
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    parent, _, child = name.rpartition(".")
    setattr(backbone.get_submodule(parent), child, conv)


TORCHVISION: dict[str, Architecture] = {
    "fcn_resnet50": _entry(
        "FCN of torchvision over a dilated ResNet-50, arXiv 1411.4038",
        segmentation.fcn_resnet50,
        ResNet50_Weights.IMAGENET1K_V1,
        divisor=8,
    ),
    "fcn_resnet101": _entry(
        "FCN of torchvision over a dilated ResNet-101, arXiv 1411.4038",
        segmentation.fcn_resnet101,
        ResNet101_Weights.IMAGENET1K_V1,
        divisor=8,
    ),
    "deeplabv3_resnet50": _entry(
        "DeepLabV3 of torchvision over a dilated ResNet-50, arXiv 1706.05587",
        segmentation.deeplabv3_resnet50,
        ResNet50_Weights.IMAGENET1K_V1,
        divisor=8,
    ),
    "deeplabv3_resnet101": _entry(
        "DeepLabV3 of torchvision over a dilated ResNet-101, arXiv 1706.05587",
        segmentation.deeplabv3_resnet101,
        ResNet101_Weights.IMAGENET1K_V1,
        divisor=8,
    ),
    "deeplabv3_mobilenet_v3_large": _entry(
        "DeepLabV3 of torchvision over MobileNetV3-Large, arXiv 1706.05587",
        segmentation.deeplabv3_mobilenet_v3_large,
        MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        divisor=16,
    ),
    "lraspp_mobilenet_v3_large": _entry(
        "LRASPP of torchvision over MobileNetV3-Large, fast, arXiv 1905.02244",
        segmentation.lraspp_mobilenet_v3_large,
        MobileNet_V3_Large_Weights.IMAGENET1K_V1,
        divisor=16,
        guided=False,
    ),
}
"""The networks of torchvision by the names it gives them."""
