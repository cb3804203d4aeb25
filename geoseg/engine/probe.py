"""Windows of a scene on which run-times are compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from rasterio.windows import Window
from torch import Tensor

from geoseg.engine.layout import Layout
from geoseg.engine.strips import Hide, reflected
from geoseg.geo.raster import Scene

_FIRST_TRIES, _SPREAD_TRIES = 64, 192
"""Windows that are read at the most to find some with data: at the begin, and all over."""

_MOST_BYTES = 256 << 20
"""Of the windows that are read to calibrate."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Windows of a scene that hold data."""

    pixels: Tensor
    """(n, bands, window, window) raw values."""

    valid: Tensor
    """(n, window, window)."""

    def agreement(self, scores: Tensor, reference: Tensor) -> float:
        """Share of the valid pixels in which the highest class is the same."""
        same = scores.argmax(1) == reference.argmax(1)
        return float(same[self.valid.to(same.device)].float().mean())

    def batch(self, count: int) -> Probe:
        """So many windows: the first ones, or all and the first again."""
        places = torch.arange(count) % len(self.pixels)
        return Probe(pixels=_chosen(self.pixels, places), valid=_chosen(self.valid, places))


def first_windows(scene: Scene, layout: Layout, hide: Hide, count: int) -> Probe | None:
    """Read the first windows with data, or else some from all over; None where none is found."""
    cols = layout.cols.offsets
    spread = np.random.default_rng(0).choice(
        layout.count, size=min(_SPREAD_TRIES, layout.count), replace=False
    )
    picks = dict.fromkeys([*range(min(_FIRST_TRIES, layout.count)), *spread.tolist()])
    places = ((layout.rows.offsets[pick // len(cols)], cols[pick % len(cols)]) for pick in picks)
    return _read(scene, layout.window, hide, places, count)


def spread_windows(
    scene: Scene, layout: Layout, hide: Hide, count: int, others: int
) -> tuple[Probe, Probe] | None:
    """Read windows with data from all over a scene, and some others.

    Args:
        scene: As the network sees it.
        layout: Its windows.
        hide: What of it is to be predicted.
        count: Windows of the first kind.
        others: Windows of the second kind.

    Returns:
        Both; the same where the scene has one window with data. None where it has none.
    """
    size = len(scene.bands) * layout.window**2 * np.dtype(scene.dtype).itemsize
    count = max(min(count, _MOST_BYTES // size - others), 1)
    rows, cols = layout.rows.offsets, layout.cols.offsets
    picks = np.linspace(0, len(rows) * len(cols) - 1, 2 * (count + others)).round().astype(int)
    places = [(rows[pick // len(cols)], cols[pick % len(cols)]) for pick in dict.fromkeys(picks)]
    found = _read(scene, layout.window, hide, _shuffled(places), count + others)
    if found is None:
        return None
    total = len(found.pixels)
    own = max(min(count, total - others), (total + 1) // 2) if total > 1 else 1
    split = [torch.arange(own), torch.arange(own, total) if total > 1 else torch.arange(1)]
    first, second = (
        Probe(pixels=_chosen(found.pixels, at), valid=_chosen(found.valid, at)) for at in split
    )
    return first, second


def _shuffled(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In an order in which every beginning lies all over the scene; always the same."""
    order = np.random.default_rng(0).permutation(len(places))
    return [places[place] for place in order]


def _read(
    scene: Scene, size: int, hide: Hide, places: Iterable[tuple[int, int]], count: int
) -> Probe | None:
    pixels, valid = [], []
    height, width = scene.grid.shape
    for row, col in places:
        raster = scene.read(Window(col, row, min(size, width), min(size, height)))
        visible = hide(raster)
        if not visible.any():
            continue
        rows, cols = reflected(raster.data.shape[1], size), reflected(raster.data.shape[2], size)
        pixels.append(np.ascontiguousarray(raster.data[:, rows][:, :, cols]))
        valid.append(visible[rows][:, cols])
        if len(pixels) == count:
            break
    if not pixels:
        return None
    return Probe(pixels=torch.from_numpy(np.stack(pixels)), valid=torch.from_numpy(np.stack(valid)))


def _chosen(values: Tensor, places: Tensor) -> Tensor:
    """Some of them; uint16 cannot be indexed by torch on every device."""
    if torch.equal(places, torch.arange(len(values))):
        return values
    return torch.from_numpy(values.numpy()[places.numpy()])
