"""Weights of classes by how many pixels they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WeightMethod = Literal[
    "inverse", "inverse_sqrt", "inverse_log", "effective_number", "median_frequency"
]


def class_weights(
    counts: Sequence[int], method: WeightMethod, *, beta: float | None = None
) -> tuple[float, ...]:
    """Weigh classes so that rare ones count for more.

    With n the pixels of a class, f = n / sum(n) its share of all labelled pixels:

    - `inverse`: 1 / f
    - `inverse_sqrt`: 1 / sqrt(f)
    - `inverse_log`: 1 / ln(1.02 + f), between 1.4 and 50 (ENet, arXiv 1606.02147)
    - `effective_number`: (1 - beta) / (1 - beta^n) (arXiv 1901.05555). Neighbouring pixels are
      alike, so beta tells how soon further ones add nothing; the default 1 - 1 / median(n) puts
      that between the rare classes and the frequent ones, where the paper's constants, for
      thousands of pictures, would weigh millions of pixels all alike.
    - `median_frequency`: median(f) / f (arXiv 1411.4734; SegNet, arXiv 1511.00561). There f
      is the share of a class in the images that show it. Tiles are no images, their borders are
      chance, so here it is the share of all; the median is over the classes with pixels.

    All but `median_frequency` are then divided by their mean, over the classes with pixels.
    Numbers are float64 throughout, and 1 - beta^n is taken as -expm1(n log1p(beta - 1)), because
    float32 ends in 0 / 0 from some ten million pixels on.

    Args:
        counts: Labelled pixels of each class.
        method: One of the above.
        beta: Of `effective_number`, above 0 and below 1.

    Returns:
        One weight per class; 0 for classes without a pixel, for which there is none.

    Raises:
        ValueError: If no class has a pixel.
    """
    pixels = np.asarray(counts, dtype=np.float64)
    present = pixels > 0
    if not present.any():
        raise ValueError("no class has a pixel")
    weights = np.zeros_like(pixels)
    if method == "effective_number":
        weights[present] = _effective_number(pixels[present], beta)
    else:
        weights[present] = _FORMULAS[method](pixels[present] / pixels.sum())
    if method != "median_frequency":
        weights /= weights[present].mean()
    return tuple(float(weight) for weight in weights)


_FORMULAS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "inverse": lambda share: 1 / share,
    "inverse_sqrt": lambda share: 1 / np.sqrt(share),
    "inverse_log": lambda share: 1 / np.log(1.02 + share),
    "median_frequency": lambda share: np.median(share) / share,
}


def _effective_number(pixels: NDArray[np.float64], beta: float | None) -> NDArray[np.float64]:
    rest = 1 / float(np.median(pixels)) if beta is None else 1 - beta
    if rest >= 1:  # beta 0: every class is one sample
        return np.ones_like(pixels)
    weights: NDArray[np.float64] = rest / -np.expm1(pixels * np.log1p(-rest))
    return weights
