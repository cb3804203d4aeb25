"""Work on valid pixels only: a Gaussian blur, each sample by its own width."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.nn.chance import send

_REACH = 3
"""Standard deviations after which the Gaussian is cut off."""


def blur(image: Tensor, valid: Tensor, sigma: Tensor) -> Tensor:
    """Average each valid pixel with its valid neighbours, weighted by a Gaussian.

    The weights of pixels without data, and of those beyond the border, are 0 and the rest are
    scaled up to sum to 1: blurs of torchvision and kornia (and resizes) would let the fill value
    bleed into the data, and torchvision's takes one width for a whole batch.

    Args:
        image: (n, bands, height, width) float32 or float64.
        valid: (n, height, width) bool.
        sigma: (n,) standard deviation in pixels, on the CPU; 0 leaves a sample as it is.

    Returns:
        Of the shape of `image`; pixels that are not valid are as before.
    """
    blurred = sigma > 0
    if not blurred.any():
        return image
    if blurred.all():
        return _blur(image, valid, sigma)
    index = blurred.nonzero()[:, 0]
    chosen = send(index, image.device)
    return image.index_copy(0, chosen, _blur(image[chosen], valid[chosen], sigma[index]))


def keep_valid(image: Tensor, valid: Tensor, otherwise: Tensor) -> Tensor:
    """The image where it is valid, else other finite values of a shape that fits.

    `lerp` gives exactly its ends for the weights 0 and 1, and on the CPU is three times as fast
    as `where` with a mask that all bands share.

    Args:
        image: (n, bands, height, width), finite.
        valid: (n, height, width) bool.
        otherwise: Finite values of the same shape, or of one that broadcasts to it.
    """
    return torch.lerp(otherwise.expand_as(image), image, valid[:, None].to(image.dtype))


def _blur(image: Tensor, valid: Tensor, sigma: Tensor) -> Tensor:
    weight = valid[:, None].to(image.dtype)  # (n, 1, h, w)
    stacked = torch.cat([image * weight, weight], dim=1)
    count, channels, height, width = stacked.shape
    radius = math.ceil(_REACH * float(sigma.max()))
    kernels = send(_kernels(sigma, radius), stacked.device, stacked.dtype)
    kernels = kernels.repeat_interleave(channels, dim=0)[:, None]
    # Each channel of each sample is a group of its own, so that each has its own kernel.
    groups = count * channels
    flat = stacked.reshape(1, groups, height, width)
    flat = functional.conv2d(flat, kernels[..., None], padding=(radius, 0), groups=groups)
    flat = functional.conv2d(flat, kernels[:, :, None], padding=(0, radius), groups=groups)
    sums = flat.reshape(stacked.shape)
    mean = sums[:, :-1] / sums[:, -1:]  # 0 / 0 only far from valid pixels
    return torch.where(valid[:, None], mean, image)


def _kernels(sigma: Tensor, radius: int) -> Tensor:
    """(n, 2 radius + 1): the Gaussian of each sample, 0 beyond its own reach."""
    distance = torch.arange(-radius, radius + 1, dtype=torch.float64)
    sigma = sigma.double()[:, None]
    kernels = torch.exp(-0.5 * (distance / sigma) ** 2)
    kernels = kernels.where(distance.abs() <= (_REACH * sigma).ceil(), 0.0)
    return kernels / kernels.sum(dim=1, keepdim=True)
