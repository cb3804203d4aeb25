"""The encoders that neither segmentation-models-pytorch nor timm has, and how both find them."""

from __future__ import annotations

from typing import Any

from segmentation_models_pytorch.encoders import encoders as smp_encoders
from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder
from segmentation_models_pytorch.encoders.vgg import VGGEncoder

from geoseg.nn.encoders.dilated import DilatedDenseNetEncoder, DilatedVGGEncoder
from geoseg.nn.encoders.resnetv2 import ResNetV2Encoder
from geoseg.nn.encoders.xception39 import Xception39Encoder

_LAYERS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
"""Blocks of the stages of a ResNet, by its number of layers (arXiv 1603.05027)."""


def _entry(encoder_class: type, **params: object) -> dict[str, Any]:
    """An encoder as segmentation-models-pytorch lists it; nobody publishes weights of ours."""
    return {"encoder": encoder_class, "params": params, "pretrained_settings": {}}


OWN_ENCODERS: dict[str, dict[str, Any]] = {
    # Pre-activation ResNet-200, arXiv 1603.05027; timm's list ends with resnetv2_152.
    "resnetv2_200": _entry(ResNetV2Encoder, layers=_LAYERS[200]),
    # resnet_v2_*_separable of Semantic_Segmentation_Keras; in no paper.
    **{
        f"resnetv2_{layers}_separable": _entry(ResNetV2Encoder, layers=blocks, separable=True)
        for layers, blocks in _LAYERS.items()
    },
    # BiSeNet, arXiv 1808.00897, as its authors published it in TorchSeg.
    "xception39": _entry(Xception39Encoder),
}
"""Encoders of geoseg by name, in the form of `segmentation_models_pytorch.encoders.encoders`."""

_DILATED: dict[type, type] = {
    DenseNetEncoder: DilatedDenseNetEncoder,
    VGGEncoder: DilatedVGGEncoder,
}


def add_to_library() -> None:
    """Put the encoders into the dict of segmentation-models-pytorch.

    Its networks look their encoder up there by name and take no module instead, so this is how
    they are built on ours too. Its DenseNets and VGGs make way for those that can be dilated,
    which are the same in all other respects.
    """
    smp_encoders.update(OWN_ENCODERS)
    for entry in smp_encoders.values():
        entry["encoder"] = _DILATED.get(entry["encoder"], entry["encoder"])
