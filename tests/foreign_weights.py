"""Files of weights as others publish them, made here instead of downloaded."""

import itertools
import os
from pathlib import Path

import torch

from geoseg.nn.models import ModelSpec
from geoseg.nn.torchgeo_weights import find_weights


def keep_download(home, weights, state):
    """Put a file where torch.hub keeps what it has downloaded, if TORCH_HOME is `home`."""
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / Path(find_weights(weights).entry.url).name)


def shaken(network):
    """A state dict in which no weight is what a network begins with."""
    state = network.state_dict()
    return {
        key: torch.rand_like(value) + 0.5 if value.is_floating_point() else value
        for key, value in state.items()
    }


def spec_of(encoder, bands=3, arch="unet"):
    return ModelSpec(arch=arch, encoder=encoder, in_channels=bands, classes=2)


def clay(width=16, depth=2):
    """A state dict with the names of a checkpoint of Clay, without the network it learnt from."""
    embedding = "encoder.patch_embedding.weight_generator"
    shapes = {
        "encoder.cls_token": (1, 1, width),
        f"{embedding}.weight_tokens": (4, width),
        f"{embedding}.fc_weight.weight": (width, width),
        "encoder.transformer.norm.weight": (width,),
        "encoder.transformer.norm.bias": (width,),
        "decoder.mask_patch": (width,),
    }
    for side, number in itertools.product(("encoder", "decoder"), range(depth)):
        part = f"{side}.transformer.layers.{number}"
        shapes |= {
            f"{part}.0.norm.weight": (width,),
            f"{part}.0.norm.bias": (width,),
            f"{part}.0.to_qkv.weight": (3 * width, width),
            f"{part}.0.to_out.weight": (width, width),
            f"{part}.1.net.0.weight": (width,),
            f"{part}.1.net.1.weight": (width, width),
        }
    return {f"model.{key}": torch.ones(shape) for key, shape in shapes.items()}


class Burglar:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)
