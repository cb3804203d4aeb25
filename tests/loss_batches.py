"""Batches for the tests of losses, and what numpy makes of their logits."""

import numpy as np
import torch

IGNORE = 255


def make_batch(classes=3, ignore_share=0.3, seed=0, shape=(2, 5, 7)):
    """Logits (n, classes, h, w) with a gradient, and a target (n, h, w) of uint8."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape[0], classes, *shape[1:], generator=generator)
    target = torch.randint(classes, shape, generator=generator)
    ignored = torch.rand(shape, generator=generator) < ignore_share
    return logits.requires_grad_(), target.masked_fill(ignored, IGNORE).to(torch.uint8)


def labelled_pixels(logits, target, ignore=IGNORE):
    """Logits (pixels, classes) in float64 and classes (pixels,) of what is labelled."""
    values = logits.detach().double().numpy().transpose(0, 2, 3, 1)
    seen = target.numpy() != ignore
    return values[seen], target.numpy()[seen].astype(int)


def softmax(logits):
    """Of (pixels, classes)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def number(loss):
    """The value of a scalar tensor."""
    return loss.detach().item()
