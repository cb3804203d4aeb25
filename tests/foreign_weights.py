"""Files of weights as others publish them, made here instead of downloaded."""

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


class Burglar:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch burgled",)
