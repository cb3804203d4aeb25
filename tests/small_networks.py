"""A small form of every architecture, quick enough to be run many times on one core."""

from geoseg.models import default_encoder
from geoseg.nn.models import ModelSpec

ENCODER = "resnet18"
"""For all that take any; small, dilates, and has every level."""

ENCODERS = {
    "dpt": "tu-vit_tiny_patch16_224",
    "fcn32s": "vgg11_bn",
    "pspdensenet": "densenet121",
    "denseaspp": "densenet121",
    "lraspp": "tu-mobilenetv3_small_050",
}
"""For those that do not take `ENCODER`, or were made for another kind."""

OPTIONS = {
    "dpt": {
        "decoder_intermediate_channels": [32, 32, 64, 64],
        "decoder_fusion_channels": 32,
    },
    "unet": {"decoder_channels": [64, 32, 32, 16, 16]},
    "unetplusplus": {"decoder_channels": [64, 32, 32, 16, 16]},
    "manet": {"decoder_channels": [64, 64, 64, 64, 16]},
    "upernet": {"decoder_channels": 64},
    "upernet512": {"channels": 64, "pooled_channels": 64, "auxiliary_channels": 32},
    "pspnet": {"channels": 64, "auxiliary_channels": 32},
    "pspdensenet": {"channels": 64, "auxiliary_channels": 32},
    "fcn32s": {"fc_channels": 256, "fc_kernel": 3},
    "fcn16s": {"fc_channels": 256, "fc_kernel": 3},
    "fcn8s": {"fc_channels": 256, "fc_kernel": 3},
    "psanet": {"crop": 65},
    "unet_classic": {"width": 16},
    "resunet": {"width": 16},
}
"""Narrower than the papers' where an architecture lets itself be narrowed."""


def small_spec(arch, encoder=None, **fields):
    """The specification of a small network; `fields` are those of `ModelSpec`."""
    if encoder is None:
        own = "none" if default_encoder(arch) == "none" else ENCODER
        encoder = ENCODERS.get(arch, own)
    given = {"in_channels": 3, "classes": 2, "options": OPTIONS.get(arch, {}), **fields}
    return ModelSpec(arch=arch, encoder=encoder, **given)
