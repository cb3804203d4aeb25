"""Geometry of augmentation: image, mask and valid of a batch move together.

A sample that is only flipped or turned is copied pixel by pixel. Every other movement of a
sample is composed into one place to look at per pixel, so that it is resampled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.blur import blur, keep_valid
from geoseg.nn.chance import Chance, send, uniform_field
from geoseg.nn.movements import Turns, Warp

_SHARP = 1 / 3
"""A blur of a smaller standard deviation (pixels) gives each neighbour 1 % or less: left out."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A batch of training samples."""

    image: Tensor
    """(n, bands, height, width), floating, scaled."""

    mask: Tensor
    """(n, height, width) channel indices or the ignore index."""

    valid: Tensor
    """(n, height, width) bool; True where there is data."""

    def select(self, index: Tensor) -> Samples:
        """Some of the samples; the index is on the samples' device."""
        return Samples(image=self.image[index], mask=self.mask[index], valid=self.valid[index])

    @classmethod
    def cat(cls, parts: Sequence[Samples]) -> Samples:
        """Lay batches after each other."""
        return cls(
            image=torch.cat([part.image for part in parts]),
            mask=torch.cat([part.mask for part in parts]),
            valid=torch.cat([part.valid for part in parts]),
        )


def move(
    samples: Samples, config: AugmentConfig, chance: Chance, *, fill: Tensor, ignore: int
) -> Samples:
    """Draw and make all movements of a batch.

    Args:
        samples: The batch.
        config: Which movements, how large.
        chance: Of the batch.
        fill: (bands,) or (1,) image value where there is nothing.
        ignore: Mask value where there is nothing.
    """
    height, width = samples.mask.shape[-2:]
    turns = Turns.draw(config, chance, square=height == width)
    warp = Warp.draw(config, chance, (height, width))
    moves = warp.moves()
    if not moves.any():
        return turn(samples, turns)
    if moves.all():
        return resample(samples, turns, warp, fill=fill, ignore=ignore)
    device = samples.mask.device
    still, moved = (~moves).nonzero()[:, 0], moves.nonzero()[:, 0]
    parts = (
        turn(samples.select(send(still, device)), turns.select(still)),
        resample(
            samples.select(send(moved, device)),
            turns.select(moved),
            warp.select(moved),
            fill=fill,
            ignore=ignore,
        ),
    )
    return Samples.cat(parts).select(send(torch.cat([still, moved]).argsort(), device))


def turn(samples: Samples, turns: Turns) -> Samples:
    """Flip and turn a batch; pixels are copied as they are."""
    if not turns.turns().any():
        return samples
    height, width = samples.mask.shape[-2:]
    index = turns.index((height, width), samples.mask.device).flatten(1)  # (n, h * w)
    bands = samples.image.shape[1]
    pixels = samples.image.flatten(2).gather(2, index[:, None].expand(-1, bands, -1))
    return Samples(
        image=pixels.reshape(samples.image.shape),
        mask=_gather(samples.mask, index),
        valid=_gather(samples.valid, index),
    )


def resample(samples: Samples, turns: Turns, warp: Warp, *, fill: Tensor, ignore: int) -> Samples:
    """Turn, then warp a batch: the image bilinear, mask and valid by the nearest pixel.

    Image and mask look at the same places. Where an image shrinks it is blurred first, see
    `_soften`. What is not valid afterwards becomes `fill`; the last pixel before it may hold
    some of it.

    Args:
        samples: The batch.
        turns: Flips and turns, made first.
        warp: All other movements.
        fill: (bands,) or (1,) image value where there is nothing.
        ignore: Mask value where there is nothing.
    """
    height, width = samples.mask.shape[-2:]
    cols, rows = places(turns, warp, (height, width), samples.image.device)
    inside = (cols >= -0.5) & (cols < width - 0.5) & (rows >= -0.5) & (rows < height - 0.5)
    # Whole numbers by indexing: as floats, grid_sample would round large class numbers.
    nearest_col = (cols + 0.5).long().clamp_(0, width - 1)
    nearest_row = (rows + 0.5).long().clamp_(0, height - 1)
    index = (nearest_row * width + nearest_col).flatten(1)
    valid = _gather(samples.valid, index) & inside
    image = functional.grid_sample(
        _soften(samples, warp.factor),
        _normalise(cols, rows),
        padding_mode="border",
        align_corners=False,
    )
    return Samples(
        image=keep_valid(image, valid, send(fill, image.device, image.dtype)[:, None, None]),
        mask=_gather(samples.mask, index).masked_fill_(~inside, ignore),
        valid=valid,
    )


def places(
    turns: Turns, warp: Warp, shape: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Tell where each pixel of the result looks at.

    Written out instead of `affine_grid`, whose matrix product would run in bfloat16 under
    autocast or in TF32, and be off by pixels.

    Args:
        turns: Flips and turns, made first.
        warp: All other movements.
        shape: Height and width of the samples.
        device: Where to compute.

    Returns:
        Columns and rows of the source, (n, height, width) float32; 0 is the middle of the
        first pixel.
    """
    middle_col, middle_row = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    x = torch.arange(shape[1], device=device, dtype=torch.float32)[None, None] - middle_col
    y = torch.arange(shape[0], device=device, dtype=torch.float32)[None, :, None] - middle_row
    if warp.elastic.any():
        bend = displacement(warp, shape, device)  # (n, 2, h, w)
        x, y = x + bend[:, 0], y + bend[:, 1]
    matrices = turns.matrices() @ warp.matrices(shape)  # (n, 3, 3)
    on_device = send(matrices.float(), device)[..., None, None]
    (a, b, c), (d, e, f), (g, h, _) = (row.unbind(1) for row in on_device.unbind(1))
    cols, rows = a * x + (b * y + c), d * x + (e * y + f)
    if matrices[:, 2, :2].any():
        depth = g * x + (h * y + 1)
        cols, rows = cols / depth, rows / depth
    return cols + middle_col, rows + middle_row


def displacement(warp: Warp, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Displace points of a coarse net at random, and the pixels between by bicubic splines.

    As Simard et al. (doi 10.1109/ICDAR.2003.1227801) displace pixels by smoothed noise, but the
    noise is drawn as coarse as it is smooth.

    Args:
        warp: Largest displacement, spacing of the net, and seeds.
        shape: Height and width of the samples.
        device: Where to compute.

    Returns:
        (n, 2, height, width) float32: pixels along columns and rows.
    """
    net = tuple(max(2, round(side / warp.spacing) + 1) for side in shape)
    points = uniform_field(send(warp.seeds, device), (2, *net)) * 2 - 1
    points = points * send(warp.elastic.float(), device)[:, None, None, None]
    return functional.interpolate(points, size=shape, mode="bicubic", align_corners=True)


def _normalise(cols: Tensor, rows: Tensor) -> Tensor:
    """(n, height, width, 2) as `grid_sample` counts: -1 to 1 from border to border of an image."""
    grid = cols.new_empty((*cols.shape, 2))
    for axis, (place, side) in enumerate(((cols, cols.shape[-1]), (rows, cols.shape[-2]))):
        # (2 place + 1) / side - 1, written into its place at once
        torch.add(place.new_full((), 1 / side - 1), place, alpha=2 / side, out=grid[..., axis])
    return grid


def _gather(values: Tensor, index: Tensor) -> Tensor:
    """Pick from (n, h, w) of any type by (n, h * w) numbers of pixels."""
    return values.flatten(1).gather(1, index).reshape(values.shape)


def _soften(samples: Samples, factor: Tensor) -> Tensor:
    """Blur images that shrink, so that fine texture is averaged and does not alias.

    With bilinear interpolation after it, the Gaussian has the variance of the triangle that
    an antialiased bilinear resize averages with: (1 / factor^2 - 1) / 6 + 1 / 6.
    """
    sigma = ((1 / factor**2 - 1) / 6).clamp(min=0).sqrt()  # (n,)
    return blur(samples.image, samples.valid, sigma.where(sigma > _SHARP, 0.0))
