"""Bare networks, and what is counted of them: papers and reference implementations tell it."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from geoseg.nn.models import ModelSpec, build_model

AUXILIARY = ("auxiliary.", "aux_classifier.")
"""What the names of parameters of auxiliary outputs begin with."""


def build(arch, *, bands=3, classes=2, encoder="none", **options):
    """The network without the padding to its divisor and the resizing of its logits."""
    spec = ModelSpec(
        arch=arch, encoder=encoder, in_channels=bands, classes=classes, options=options
    )
    return build_model(spec).network


def bare_network(arch, encoder="none", classes=19, **options):
    """The same in evaluation mode and without numbers, to be counted."""
    with torch.device("meta"):
        return build(arch, encoder=encoder, classes=classes, **options).eval()


def parameters(network, *, auxiliary=False):
    """Millions of parameters, with or without those of the auxiliary outputs."""
    return 1e-6 * sum(
        p.numel()
        for name, p in network.named_parameters()
        if auxiliary or not name.startswith(AUXILIARY)
    )


def gmacs(network, height, width=None):
    """Milliards of multiply-accumulates of one image, as prediction computes it."""
    image = torch.zeros(1, 3, height, width or height, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return 0.5e-9 * counter.get_total_flops()


def levels_used(network, image):
    """Numbers of the levels of the encoder that change the logits; it is taken off."""
    levels = [level.detach() for level in network.encoder(image)]
    network.encoder = torch.nn.Identity()
    used = []
    with torch.no_grad():
        expected = network(levels)
        for i in range(len(levels)):
            changed = [level + (j == i) for j, level in enumerate(levels)]
            if not torch.allclose(network(changed), expected):
                used.append(i)
    return used
