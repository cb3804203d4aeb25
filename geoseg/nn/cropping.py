"""Where a crop lies on a larger image: at random, around a pixel of a class, not too uniform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

CropMode = Literal["random", "center", "resize", "none"]
"""What becomes of an image for a sample: a crop at random, its middle, the whole of it resized, or
the whole as it is."""

CROP_TRIES = 10
"""Crops drawn in search of one that no class covers too much of, the last of which is taken."""


@dataclass(frozen=True, kw_only=True)
class CropRule:
    """How crops are placed."""

    height: int
    """Rows of a crop."""

    width: int
    """Columns of a crop."""

    ignore: int
    """Value of masks that stands for no label."""

    cat_max_ratio: float = 1.0
    """Share of its labelled pixels that one class may cover; 1 takes the first crop."""

    def place(
        self,
        mask: npt.NDArray[np.integer[Any]],
        rng: np.random.Generator,
        centre: int | None = None,
    ) -> tuple[int, int]:
        """Draw the first row and column of a crop.

        Args:
            mask: Class values (height, width).
            rng: The source of chance.
            centre: Value of a class; the crop is centred on one of its pixels, as far as the
                mask reaches. None, or a class that is not there, places it anywhere.
        """
        spare = tuple(
            max(length - side, 0)
            for length, side in zip(mask.shape, (self.height, self.width), strict=True)
        )
        if not any(spare):
            return 0, 0
        centres = None if centre is None else np.flatnonzero(mask == centre)
        row, col = 0, 0
        for _ in range(CROP_TRIES if self.cat_max_ratio < 1 else 1):
            if centres is None or not len(centres):
                row, col = int(rng.integers(spare[0] + 1)), int(rng.integers(spare[1] + 1))
            else:
                middle = divmod(int(centres[rng.integers(len(centres))]), mask.shape[1])
                row = min(max(middle[0] - self.height // 2, 0), spare[0])
                col = min(max(middle[1] - self.width // 2, 0), spare[1])
            if self._is_varied(mask[row : row + self.height, col : col + self.width]):
                break
        return row, col

    def _is_varied(self, mask: npt.NDArray[np.integer[Any]]) -> bool:
        if self.cat_max_ratio >= 1:
            return True
        _, counts = np.unique(mask[mask != self.ignore], return_counts=True)
        return is_varied(counts, self.cat_max_ratio)


def is_varied(class_pixels: npt.NDArray[np.int64], ratio: float) -> bool:
    """Whether there are labelled pixels, and no class covers more than a share of them.

    The rule of mmsegmentation's `RandomCrop`, which draws a crop again where it does not hold.

    Args:
        class_pixels: Labelled pixels of each class (classes,).
        ratio: The share (0 to 1).
    """
    total = int(class_pixels.sum())
    return total > 0 and int(class_pixels.max()) <= ratio * total


def resize_image(
    image: npt.NDArray[Any], known: npt.NDArray[np.bool_], fill: npt.NDArray[np.float32], side: int
) -> npt.NDArray[np.float32]:
    """Scale an image to a square, bilinearly and without aliasing.

    Args:
        image: (bands, height, width) in raw units.
        known: (bands, height, width) or (height, width), True where values are known.
        fill: (bands, 1, 1) what stands elsewhere.
        side: Rows and columns of the square.
    """
    values = torch.from_numpy(np.where(known, image, fill).astype(np.float32))[None]
    square = functional.interpolate(values, (side, side), mode="bilinear", antialias=True)
    resized: npt.NDArray[np.float32] = square[0].numpy()
    return resized


def resize_nearest(values: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Scale values (height, width) to a square: each pixel takes the one its centre lies in."""
    rows, cols = (((np.arange(side) + 0.5) * length / side).astype(int) for length in values.shape)
    return values[np.ix_(rows, cols)]
