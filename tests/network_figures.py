"""Counts of a network as papers and reference implementations state them."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from geoseg.nn.models import ModelSpec, build_model


def bare_network(arch, encoder="none", classes=19, **options):
    """The network without the padding to its divisor, in evaluation mode, without numbers."""
    with torch.device("meta"):
        spec = ModelSpec(
            arch=arch, encoder=encoder, in_channels=3, classes=classes, options=options
        )
        return build_model(spec).network.eval()


def parameters(network, *, auxiliary=False):
    """Millions of parameters, with or without those of the auxiliary outputs."""
    return 1e-6 * sum(
        p.numel()
        for name, p in network.named_parameters()
        if auxiliary or not name.startswith("auxiliary.")
    )


def gmacs(network, height, width=None):
    """Milliards of multiply-accumulates of one image, as prediction computes it."""
    image = torch.zeros(1, 3, height, width or height, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return 0.5e-9 * counter.get_total_flops()
