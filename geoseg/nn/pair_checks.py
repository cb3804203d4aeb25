"""What may not be in a pair that is learnt from: labels without data, and infinite values."""

from __future__ import annotations

import numpy as np

from geoseg.errors import InputError
from geoseg.nn.dataset import Pair


def check_pair(pair: Pair, ignore: int, error: type[InputError]) -> Pair:
    """Refuse a pair that would teach nothing, or nonsense.

    A pixel that lacks some bands (NaN there) is right: they are filled. A pixel without any band
    is no data.

    Args:
        pair: As it was read.
        ignore: Value of the mask that stands for no label.
        error: What to raise.

    Returns:
        The same pair.

    Raises:
        InputError: Of the class `error`, if the pair bears labels but no data at all, or a valid
            pixel is infinite in some band.
    """
    if not pair.valid.any() and (pair.mask != ignore).any():
        raise error(
            pair.name,
            "bears labels, but its image holds no data: all is NaN or nodata",
            "Restore the image, or leave it out",
        )
    if pair.image.dtype.kind != "f" or np.isfinite(pair.image).all():
        return pair
    infinite = np.isinf(pair.image) & pair.valid
    if infinite.any():
        band, row, col = (int(i) for i in np.argwhere(infinite)[0])
        raise error(
            pair.name,
            f"has infinite values, such as in band {band + 1} at row {row}, column {col}",
            "Make them nodata or NaN in the scene",
        )
    return pair
