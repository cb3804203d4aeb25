"""Random changes of training samples, on the device: geometry on image, mask and valid together.

All work on batches whose image is already scaled. What has no pixels gets the image's fill (the
band's mean), the mask's ignore index, and is not valid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Generator, Tensor
from torch.nn import functional

Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.1, le=10)]
Amount = Annotated[float, Field(ge=0, le=5)]


class AugmentConfig(BaseModel):
    """Which changes are made, each sample on its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: Probability = 0.5
    """Probability of a left-right flip, and of an up-down flip."""

    rotate: Probability = 0.5
    """Probability of a turn by 90, 180 or 270 degrees (180 only where samples are not square)."""

    scale: tuple[Factor, Factor] = (0.8, 1.25)
    """Smallest and largest factor by which things grow; the sample keeps its size."""

    brightness: Amount = 0.1
    """Largest shift of all bands, in scaled units (standard deviations by `standardize`)."""

    contrast: Probability = 0.1
    """Largest share by which the distance of pixels from the sample's mean grows or shrinks."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError("scale: the smallest factor comes first")
        return self


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A batch of training samples."""

    image: Tensor
    """(n, bands, height, width), floating, scaled."""

    mask: Tensor
    """(n, height, width) channel indices or the ignore index."""

    valid: Tensor
    """(n, height, width) bool; True where there is data."""


class Augment:
    """Changes batches at random, as configured.

    Args:
        config: Which changes, how much.
        fill: (bands,) scaled value of missing pixels, `Scaling.fill`; None is 0.
        ignore: Mask value that no loss sees.
        seed: Of the random numbers, which are drawn on the CPU whatever the device; None goes
            with torch's own generator.
    """

    def __init__(
        self,
        config: AugmentConfig,
        *,
        fill: Tensor | None = None,
        ignore: int = 255,
        seed: int | None = None,
    ) -> None:
        self.config = config
        self.fill = torch.zeros(1) if fill is None else fill
        self.ignore = ignore
        self.generator = None if seed is None else Generator().manual_seed(seed)

    def __call__(self, image: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Change a batch; the inputs stay as they are.

        Args:
            image: (n, bands, height, width), floating, scaled.
            mask: (n, height, width) channel indices or the ignore index.
            valid: (n, height, width) bool.

        Returns:
            The same three of the same shapes and types; where not valid, the mask is ignore.
        """
        samples = Samples(image=image, mask=mask, valid=valid)
        parts = [self._change(_sample(samples, index)) for index in range(len(image))]
        changed = _stack(parts)
        ignored = changed.mask.masked_fill(~changed.valid, self.ignore)
        return changed.image, ignored, changed.valid

    def _change(self, sample: Samples) -> Samples:
        config, height, width = self.config, *sample.mask.shape[-2:]
        if self._happens(config.flip):
            sample = flip(sample, axis=-1)
        if self._happens(config.flip):
            sample = flip(sample, axis=-2)
        if self._happens(config.rotate):
            sample = rotate(sample, 1 + self._below(3) if height == width else 2)
        if config.scale != (1.0, 1.0):
            sample = self._rescale(sample)
        if config.brightness or config.contrast:
            shift = self._between(-config.brightness, config.brightness)
            stretch = self._between(1 - config.contrast, 1 + config.contrast)
            sample = recolor(sample, shift=shift, stretch=stretch)
        return sample

    def _rescale(self, sample: Samples) -> Samples:
        """Grow or shrink, then cut or fill to the old size at a random place."""
        height, width = sample.mask.shape[-2:]
        smallest, largest = (torch.tensor(factor).log().item() for factor in self.config.scale)
        factor = torch.tensor(self._between(smallest, largest)).exp().item()
        grown = resize(sample, (max(1, round(height * factor)), max(1, round(width * factor))))
        rows, cols = grown.mask.shape[-2:]
        row, col = self._below(abs(rows - height) + 1), self._below(abs(cols - width) + 1)
        return place(
            grown,
            (height, width),
            (row if rows < height else -row, col if cols < width else -col),
            fill=self.fill,
            ignore=self.ignore,
        )

    def _happens(self, probability: float) -> bool:
        return self._between(0.0, 1.0) < probability

    def _between(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))


def flip(samples: Samples, *, axis: int) -> Samples:
    """Mirror along an axis: -1 left-right, -2 up-down."""
    return Samples(
        image=samples.image.flip(axis), mask=samples.mask.flip(axis), valid=samples.valid.flip(axis)
    )


def rotate(samples: Samples, turns: int) -> Samples:
    """Turn counterclockwise by `turns` times 90 degrees; odd turns swap height and width."""
    return Samples(
        image=samples.image.rot90(turns, (-2, -1)),
        mask=samples.mask.rot90(turns, (-2, -1)),
        valid=samples.valid.rot90(turns, (-2, -1)),
    )


def resize(samples: Samples, shape: tuple[int, int]) -> Samples:
    """Resample: the image bilinear (averaging where it shrinks), mask and valid by the nearest.

    Pixel centres of image and mask fall on the same places.
    """
    if tuple(samples.mask.shape[-2:]) == shape:
        return samples
    image = functional.interpolate(
        samples.image, size=shape, mode="bilinear", align_corners=False, antialias=True
    )
    return Samples(
        image=image, mask=_nearest(samples.mask, shape), valid=_nearest(samples.valid, shape)
    )


def place(
    samples: Samples,
    shape: tuple[int, int],
    corner: tuple[int, int],
    *,
    fill: Tensor,
    ignore: int,
) -> Samples:
    """Lay samples on an empty frame; what sticks out is cut off.

    Args:
        samples: The batch.
        shape: Height and width of the frame.
        corner: Row and column of the frame where the samples' first pixel goes; may be negative.
        fill: (bands,) or (1,) image value of the empty frame.
        ignore: Mask value of the empty frame.
    """
    image, mask, valid = samples.image, samples.mask, samples.valid
    rows, source_rows = _overlap(corner[0], mask.shape[-2], shape[0])
    cols, source_cols = _overlap(corner[1], mask.shape[-1], shape[1])
    filling = fill.to(image)[None, :, None, None]
    framed = filling.expand(*image.shape[:2], *shape).clone()  # (n, bands, *shape)
    framed[..., rows, cols] = image[..., source_rows, source_cols]
    framed_mask = mask.new_full((len(mask), *shape), ignore)
    framed_mask[..., rows, cols] = mask[..., source_rows, source_cols]
    framed_valid = valid.new_zeros((len(valid), *shape))
    framed_valid[..., rows, cols] = valid[..., source_rows, source_cols]
    return Samples(image=framed, mask=framed_mask, valid=framed_valid)


def recolor(samples: Samples, *, shift: float = 0.0, stretch: float = 1.0) -> Samples:
    """Brighten and stretch: (x - m) stretch + m + shift, m the mean of each sample's band.

    Only valid pixels change, and only they make the mean.
    """
    valid = samples.valid[:, None]  # (n, 1, h, w)
    image = samples.image
    pixels = valid.sum(dim=(-2, -1), keepdim=True).clamp(min=1)
    mean = image.where(valid, 0).sum(dim=(-2, -1), keepdim=True) / pixels  # (n, bands, 1, 1)
    return replace(samples, image=((image - mean) * stretch + mean + shift).where(valid, image))


def _nearest(values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resample (n, h, w) of any type to the value at each new pixel's centre."""
    rows = _centres(values.shape[-2], shape[0], values.device)
    cols = _centres(values.shape[-1], shape[1], values.device)
    return values[..., rows[:, None], cols]


def _centres(length: int, target: int, device: torch.device) -> Tensor:
    """Index of the old pixel that holds the centre of each new one, in whole numbers."""
    return (2 * torch.arange(target, device=device) + 1) * length // (2 * target)


def _overlap(corner: int, length: int, frame: int) -> tuple[slice, slice]:
    """Where a piece laid at `corner` meets the frame: in the frame, and in the piece."""
    start, stop = max(0, corner), min(frame, corner + length)
    return slice(start, stop), slice(start - corner, stop - corner)


def _sample(samples: Samples, index: int) -> Samples:
    """One sample as a batch of one."""
    part = slice(index, index + 1)
    return Samples(image=samples.image[part], mask=samples.mask[part], valid=samples.valid[part])


def _stack(parts: list[Samples]) -> Samples:
    return Samples(
        image=torch.cat([part.image for part in parts]),
        mask=torch.cat([part.mask for part in parts]),
        valid=torch.cat([part.valid for part in parts]),
    )
