"""A small form of every architecture, quick enough to be run many times on one core."""

from geoseg.models import default_encoder
from geoseg.nn.models import ModelSpec

ENCODER = "resnet18"
"""For all that take any; small, dilates, and has every level."""

ENCODERS = {"dpt": "tu-vit_tiny_patch16_224"}
"""For those that do not take `ENCODER`."""

OPTIONS = {
    "dpt": {
        "decoder_intermediate_channels": [32, 32, 64, 64],
        "decoder_fusion_channels": 32,
    },
    "unet": {"decoder_channels": [64, 32, 32, 16, 16]},
    "unetplusplus": {"decoder_channels": [64, 32, 32, 16, 16]},
    "manet": {"decoder_channels": [64, 32, 32, 16, 16]},
    "upernet": {"decoder_channels": 64},
}
"""Narrower than the papers' where an architecture lets itself be narrowed."""


def small_spec(arch, encoder=None, **fields):
    """The specification of a small network; `fields` are those of `ModelSpec`."""
    if encoder is None:
        own = "none" if default_encoder(arch) == "none" else ENCODER
        encoder = ENCODERS.get(arch, own)
    given = {"in_channels": 3, "classes": 2, "options": OPTIONS.get(arch, {}), **fields}
    return ModelSpec(arch=arch, encoder=encoder, **given)
