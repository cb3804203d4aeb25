"""A sample with its prediction, as it is shown to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class SampleView:
    """One sample as it is shown: image, reference and prediction."""

    name: str
    """Where it comes from."""

    image: npt.NDArray[Any]
    """(bands, height, width) in raw units."""

    valid: npt.NDArray[np.bool_]
    """(height, width), True where there is data."""

    reference: npt.NDArray[Any]
    """(height, width) class values, the legend's ignore where unknown."""

    prediction: npt.NDArray[Any]
    """(height, width) class values."""
