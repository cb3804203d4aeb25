"""Which windows of a labelled scene to look at: all in order, at random, or balanced by class.

Tiling and training on the fly draw from here, so that both see the same ground.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import ConfigError
from geoseg.geo.grid import Grid
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.windows import centred_window, check_window, random_windows, sliding_windows

Method = Literal["stride", "random", "balanced"]
METHODS: tuple[Method, ...] = ("stride", "random", "balanced")

_PIXELS_PER_CLASS = 20_000
_STRIP_PIXELS = 8_000_000
_DRAWS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How windows are chosen."""

    method: Method = "stride"
    """`stride` lays them out from left-top to right-bottom, `random` draws places, `balanced`
    draws a class and then one of its pixels as the centre."""

    size: int = 512
    """Height and width of a window in pixels."""

    stride: int | None = None
    """Pixels from one window to the next (`stride` only); None takes `size`."""

    count: int = 100
    """Windows per scene (`random` and `balanced`)."""

    weights: Mapping[str, float] | None = None
    """Relative frequency of classes at the centres (`balanced`), by name; classes that are not
    named are left out. None makes all equal."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                "--method", f"{self.method!r} is unknown", f"Choose {', '.join(METHODS)}"
            )
        check_window(self.size, self.step, "--size")
        if self.count < 1:
            raise ConfigError("--count", f"{self.count} windows per scene", "Give 1 or more")
        weights = self.weights or {}
        wrong = [name for name, weight in weights.items() if not 0 <= weight < np.inf]
        if wrong or (weights and not any(weights.values())):
            raise ConfigError(
                "--weight", f"{dict(weights)} are no weights", "Give 0 or more, one above 0"
            )

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return self.size if self.stride is None else self.stride

    @property
    def layout_step(self) -> int:
        """The step of windows that stand for all that may come: half a window for draws."""
        return self.step if self.method == "stride" else max(self.size // 2, 1)


@dataclass(frozen=True, kw_only=True)
class ClassPlaces:
    """Where each class lies on one scene: a bounded sample of its pixels, all equally likely."""

    values: tuple[int, ...]
    """Values of the classes, in legend order."""

    counts: tuple[int, ...]
    """Pixels of each class on the whole scene."""

    positions: tuple[npt.NDArray[np.int32], ...]
    """Sampled pixels of each class (pixels, 2) as (row, col)."""


def find_places(
    labels: Labels,
    grid: Grid,
    legend: Legend,
    seed: Sequence[int],
    per_class: int = _PIXELS_PER_CLASS,
) -> ClassPlaces:
    """Sample pixels of each class of a scene, reading its labels strip by strip.

    Memory depends on the width of the scene, not on its height.

    Args:
        labels: The labels of the scene.
        grid: The grid of the scene.
        legend: The classes to look for.
        seed: Whole numbers; equal ones give equal places.
        per_class: Most pixels to keep of each class.

    Raises:
        LabelError: If the labels cannot be read.
    """
    samples = [_PixelSample(per_class) for _ in legend.classes]
    rows = max(_STRIP_PIXELS // grid.width, 1)
    for top in range(0, grid.height, rows):
        strip = Window(0, top, grid.width, min(rows, grid.height - top))
        mask = labels.mask(grid.crop(strip)).ravel()
        rng = np.random.default_rng([*seed, top])
        for value, sample in zip(legend.values, samples, strict=True):
            sample.add(np.flatnonzero(mask == value) + top * grid.width, rng)
    return ClassPlaces(
        values=legend.values,
        counts=tuple(sample.count for sample in samples),
        positions=tuple(sample.positions(grid.width) for sample in samples),
    )


def layout_windows(grid: Grid, sampling: Sampling) -> list[Window]:
    """Windows from left-top to right-bottom: those of `stride`, or such as stand for draws."""
    return sliding_windows(grid.shape, sampling.size, sampling.layout_step)


def draw_windows(
    grid: Grid,
    sampling: Sampling,
    rng: np.random.Generator,
    places: ClassPlaces | None = None,
    legend: Legend | None = None,
) -> Iterator[Window]:
    """Draw windows without end; they may repeat and overlap.

    Args:
        grid: The grid of the scene.
        sampling: `random` or `balanced`, with size and weights.
        rng: The source of chance.
        places: Where the classes lie; wanted for `balanced`.
        legend: The names of the classes; wanted for weights.

    Yields:
        Windows; none at all if no class with a weight lies on the scene.

    Raises:
        ConfigError: If `stride` is the method, or `balanced` has no `places`.
        LegendError: If a weight names no class.
    """
    if sampling.method == "random":
        while True:
            yield from random_windows(grid.shape, sampling.size, _DRAWS_AT_ONCE, rng)
    if sampling.method == "stride" or places is None:
        raise ConfigError("--method", f"{sampling.method} cannot draw windows without places")
    chances = class_chances(places, sampling.weights, legend)
    if not chances.any():
        return
    while True:
        positions = places.positions[int(rng.choice(len(chances), p=chances))]
        row, col = positions[int(rng.integers(len(positions)))].tolist()
        yield centred_window(row, col, grid.shape, sampling.size)


def class_chances(
    places: ClassPlaces, weights: Mapping[str, float] | None, legend: Legend | None
) -> npt.NDArray[np.float64]:
    """Chance of each class to be drawn: its weight, 0 where the scene has no pixel of it.

    Returns:
        Chances (classes,) that sum to 1, or all 0 if no weighted class is there.

    Raises:
        LegendError: If a weight names no class.
    """
    chances = np.ones(len(places.values))
    if weights is not None and legend is not None:
        by_value = {legend.class_of(name).value: weight for name, weight in weights.items()}
        chances = np.array([by_value.get(value, 0.0) for value in places.values])
    chances *= np.array(places.counts) > 0
    total = chances.sum()
    return chances / total if total else chances


class _PixelSample:
    """A uniform sample without repeats of bounded size from pixels that come in pieces.

    Every pixel gets a random key, and the smallest keys stay.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self._size = size
        self._keys = np.empty(0)
        self._pixels = np.empty(0, np.int64)

    def add(self, pixels: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
        self.count += len(pixels)
        keys = rng.random(len(pixels))
        if len(self._keys) == self._size:
            near = keys < self._keys.max()
            keys, pixels = keys[near], pixels[near]
        self._keys = np.concatenate([self._keys, keys])
        self._pixels = np.concatenate([self._pixels, pixels])
        if len(self._keys) > self._size:
            kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            self._keys, self._pixels = self._keys[kept], self._pixels[kept]

    def positions(self, width: int) -> npt.NDArray[np.int32]:
        return np.stack(np.divmod(self._pixels, width), axis=1).astype(np.int32)
