"""Chance of augmentation: the same numbers on every device, and for a sample in every batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

_COLUMNS = (
    *("flip_cols", "flip_rows", "rotate", "turns"),
    *("scale?", "scale", "row", "col", "angle?", "angle", "shift?", "shift_row", "shift_col"),
    *("shear?", "shear", "perspective?", "perspective_row", "perspective_col"),
    *("elastic?", "elastic", "blur?", "blur", "gamma?", "gamma"),
    *("brightness?", "brightness", "contrast?", "contrast"),
    *("band_shift?", "band_gain?", "noise?", "noise", "noise_seed"),
    *("cutmix?", "cutmix", "cutmix_row", "cutmix_col", "cutmix_partner"),
)
_BAND_COLUMNS = ("band_shift", "band_gain", "band_drop")
_PLACES = {name: place for place, name in enumerate(_COLUMNS)}
_MIX, _MIX_AGAIN = -2048144789, -1028477387
"""The constants of murmur3's finalizer (0x85ebca6b, 0xc2b2ae35) as signed numbers."""


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Random numbers of a batch: one row a sample, one column for each thing that is drawn.

    All columns are drawn whether they are used or not, so that switching one change on does not
    alter what the others draw; and rows follow each other, so that a sample's numbers do not
    depend on how many come after it.
    """

    samples: Tensor
    """(n, columns) float64 on the CPU, evenly from 0 to 1."""

    of_bands: Tensor
    """(n, columns, bands) float64 on the CPU, evenly from 0 to 1."""

    @classmethod
    def draw(cls, count: int, bands: int, generator: Generator | None) -> Chance:
        """Draw all numbers of a batch.

        Args:
            count: Samples of the batch.
            bands: Bands of the image.
            generator: On the CPU; None goes with torch's own.
        """
        own, shape = len(_COLUMNS), (len(_BAND_COLUMNS), bands)
        columns = own + math.prod(shape)
        table = torch.rand((count, columns), generator=generator, dtype=torch.float64)
        return cls(samples=table[:, :own], of_bands=table[:, own:].reshape(count, *shape))

    def __len__(self) -> int:
        return len(self.samples)

    def select(self, index: Tensor) -> Chance:
        """The chance of some samples."""
        return Chance(samples=self.samples[index], of_bands=self.of_bands[index])

    def share(self, name: str) -> Tensor:
        """(n,) float64, evenly from 0 to 1."""
        return self.samples[:, _PLACES[name]]

    def happens(self, name: str, probability: float) -> Tensor:
        """(n,) bool: True with that probability."""
        return self.share(name) < probability

    def between(self, name: str, low: float, high: float) -> Tensor:
        """(n,) float64, evenly from `low` to `high`."""
        return low + (high - low) * self.share(name)

    def factor(self, name: str, low: float, high: float) -> Tensor:
        """(n,) float64 from `low` to `high`, evenly in the logarithm: 1/2 as often as 2."""
        return self.between(name, math.log(low), math.log(high)).exp()

    def bands(self, name: str) -> Tensor:
        """(n, bands) float64, evenly from 0 to 1."""
        return self.of_bands[:, _BAND_COLUMNS.index(name)]

    def seeds(self, name: str) -> Tensor:
        """(n,) int32 seeds for `uniform_field` and `normal_field`."""
        return (self.share(name) * 2.0**32 - 2.0**31).floor().to(torch.int32)


def send(values: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Copy numbers of the CPU to a device, without waiting for what it is still computing.

    A plain copy halts the process until a GPU has done all that it was given, and so leaves it
    without work at each step. CUDA takes the numbers aside before it returns, so nothing is lost
    if they change or go.

    Args:
        values: On the CPU.
        device: Where they are wanted.
        dtype: As what; None leaves it.
    """
    return values.to(device=device, dtype=dtype, non_blocking=True)


def uniform_field(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw many numbers on the device of the seeds, the very same on each.

    A generator of torch gives other numbers on a GPU than on the CPU, and drawing a whole image
    on the CPU would keep the GPU waiting. So the place of a number is hashed with the seed of
    its sample; the mixer is murmur3's 32-bit finalizer (A. Appleby, public domain).

    Args:
        seeds: (n,) int32.
        shape: Of one sample.

    Returns:
        (n, *shape) float32, evenly between 0 and 1, both excluded.
    """
    places = torch.arange(math.prod(shape), dtype=torch.int32, device=seeds.device)
    mixed = _mix(_mix(places)[None] ^ seeds[:, None])  # (n, prod(shape))
    # 24 bits are what float32 holds exactly.
    shares = ((mixed >> 8) & 0xFFFFFF).float().mul_(2.0**-24).add_(2.0**-25)
    return shares.reshape(len(seeds), *shape)


def normal_field(seeds: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Draw normal deviates by Box and Muller (doi 10.1214/aoms/1177706645).

    Args:
        seeds: (n,) int32.
        shape: Of one sample.

    Returns:
        (n, *shape) float32 of mean 0 and standard deviation 1, at most 5.9 from 0.
    """
    size = math.prod(shape)
    half = -(-size // 2)
    shares = uniform_field(seeds, (2, half))
    radius = shares[:, 0].log_().mul_(-2).sqrt_()  # (n, half)
    angle = shares[:, 1].mul_(2 * math.pi)
    deviates = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return deviates[:, :size].reshape(len(seeds), *shape)


def _mix(bits: Tensor) -> Tensor:
    """Scramble int32 so that each bit hangs on each; products wrap around, shifts bring in 0."""
    bits = bits ^ ((bits >> 16) & 0xFFFF)
    bits *= _MIX
    bits ^= (bits >> 13) & 0x7FFFF
    bits *= _MIX_AGAIN
    bits ^= (bits >> 16) & 0xFFFF
    return bits
