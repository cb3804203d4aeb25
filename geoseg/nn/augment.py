"""Random changes of training samples: a whole batch at once, on the device it is on.

Geometry moves image, mask and valid together (`geometric`), then values of the image change
(`photometric`), then boxes of other samples come in (`cutmix`). What has no pixels gets the
image's fill (the band's mean), the mask's ignore index, and is not valid.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from geoseg.nn.augment_config import AugmentConfig
from geoseg.nn.chance import Chance
from geoseg.nn.cutmix import Boxes, mix
from geoseg.nn.geometric import Samples, move
from geoseg.nn.photometric import repaint

_CACHED = 4 * 2**20
"""Bytes of images that are changed at once on the CPU: of 4 bands and 512 x 512 pixels one by one
is 1.7 times as fast as eight together, whose every step goes through the memory."""


class Augment:
    """Changes batches at random, as configured.

    Random numbers are drawn on the CPU, one row a sample: the same seed changes samples alike on
    every device (but for rounding), and a sample like itself in every batch (but for `cutmix`).

    Args:
        config: Which changes, how much.
        fill: (bands,) scaled value of missing pixels, `Scaling.fill`; None is 0.
        ignore: Mask value that no loss sees.
        seed: Of the random numbers; None goes with torch's own generator.
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

    @torch.no_grad()
    def __call__(self, image: Tensor, mask: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Change a batch; the inputs stay as they are.

        Args:
            image: (n, bands, height, width), floating, scaled.
            mask: (n, height, width) channel indices or the ignore index, of any integer type.
            valid: (n, height, width) bool.

        Returns:
            The same three of the same shapes and types; where not valid, the mask is ignore.
        """
        chance = Chance.draw(len(image), image.shape[1], self.generator)
        # Under autocast, sums and places to look at would be computed with 8 bits.
        with torch.autocast(image.device.type, enabled=False):
            samples = Samples(image=image.float(), mask=mask, valid=valid)
            samples = self._change_all(samples, chance)
            if self.config.cutmix:
                boxes = Boxes.draw(self.config, chance, (mask.shape[-2], mask.shape[-1]))
                samples = mix(samples, boxes)
        ignored = samples.mask.masked_fill(~samples.valid, self.ignore)
        return samples.image.to(image.dtype), ignored, samples.valid

    def _change_all(self, samples: Samples, chance: Chance) -> Samples:
        """Change all at once; on the CPU as many as its caches can hold.

        Each sample has its own row of chance, so it does not matter how they are grouped.
        """
        count = len(samples.mask)
        group = max(1, _CACHED * count // max(1, samples.image.nbytes))
        if samples.image.device.type != "cpu" or group >= count:
            return self._change(samples, chance)
        groups = torch.split(torch.arange(count), group)
        return Samples.cat([self._change(samples.select(i), chance.select(i)) for i in groups])

    def _change(self, samples: Samples, chance: Chance) -> Samples:
        samples = move(samples, self.config, chance, fill=self.fill, ignore=self.ignore)
        painted = repaint(samples.image, samples.valid, self.config, chance, self.fill)
        return Samples(image=painted, mask=samples.mask, valid=samples.valid)
